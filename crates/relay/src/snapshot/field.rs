//! How values are written and read: in the order of their fields, numbers in network order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::realms::RealmId;
use crate::snapshot::Unreadable;

/// A value of a snapshot.
pub(crate) trait Field: Sized {
    fn write(&self, to: &mut Writer);

    /// # Errors
    /// If there are too few bytes, or they are no value of this kind.
    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable>;
}

/// Bytes that are wiped, also where they were while there was too little room.
pub(crate) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    now: Instant,
}

impl Writer {
    /// Leaves room for a head.
    pub(super) fn new(head: usize, now: Instant) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        bytes.resize(head, 0);
        Self { bytes, now }
    }

    fn put(&mut self, more: &[u8]) {
        let needed = self.bytes.len() + more.len() + super::SEAL;
        if needed > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}

/// The bytes that are still to be read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    now: Option<Instant>,
    /// How long ago they were written.
    elapsed: Duration,
    /// The ids of realms by those that they had.
    pub(crate) realms: Vec<RealmId>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            now: None,
            elapsed: Duration::ZERO,
            realms: Vec::new(),
        }
    }

    /// The moment of reading, so long after the writing.
    pub(super) const fn at(&mut self, now: Instant, elapsed: Duration) {
        self.now = Some(now);
        self.elapsed = elapsed;
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let split = self.bytes.split_at_checked(length);
        let (taken, rest) = split.ok_or(Unreadable::Length)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Unreadable> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(Unreadable::Length)
        }
    }
}

/// Describes a struct by all its fields: one that is left out does not compile.
macro_rules! fields {
    ($type:ident: $($field:ident),*) => {
        impl $crate::snapshot::Field for $type {
            fn write(&self, to: &mut $crate::snapshot::Writer) {
                let Self { $($field),* } = self;
                $($crate::snapshot::Field::write($field, to);)*
            }

            fn read(
                from: &mut $crate::snapshot::Reader<'_>,
            ) -> Result<Self, $crate::snapshot::Unreadable> {
                Ok(Self { $($field: $crate::snapshot::Field::read(from)?),* })
            }
        }
    };
    ($type:ident($field:ident)) => {
        impl $crate::snapshot::Field for $type {
            fn write(&self, to: &mut $crate::snapshot::Writer) {
                let Self($field) = self;
                $crate::snapshot::Field::write($field, to);
            }

            fn read(
                from: &mut $crate::snapshot::Reader<'_>,
            ) -> Result<Self, $crate::snapshot::Unreadable> {
                Ok(Self($crate::snapshot::Field::read(from)?))
            }
        }
    };
}
pub(crate) use fields;

/// Describes an enum by the numbers of its variants.
macro_rules! variants {
    ($type:ident { $($variant:ident = $code:literal),* $(,)? }) => {
        impl Field for $type {
            fn write(&self, to: &mut Writer) {
                let code: u8 = match self { $(Self::$variant => $code),* };
                code.write(to);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                match u8::read(from)? {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(Unreadable::Value),
                }
            }
        }
    };
}
pub(super) use variants;

/// Describes a type by another that is written in its place.
macro_rules! written_as {
    ($type:ty as $other:ty, $to:expr, $from:expr) => {
        impl Field for $type {
            fn write(&self, to: &mut Writer) {
                let other: fn(&Self) -> $other = $to;
                other(self).write(to);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                let this: fn($other) -> Result<Self, Unreadable> = $from;
                this(Field::read(from)?)
            }
        }
    };
}
pub(super) use written_as;

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn write(&self, to: &mut Writer) {
                to.put(&self.to_be_bytes());
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                let bytes = from.take(size_of::<Self>())?.try_into();
                bytes.map(Self::from_be_bytes).map_err(|_| Unreadable::Length)
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i64);

written_as!(bool as u8, |it| u8::from(*it), |byte| match byte {
    0 => Ok(false),
    1 => Ok(true),
    _ => Err(Unreadable::Value),
});

impl<const N: usize> Field for [u8; N] {
    fn write(&self, to: &mut Writer) {
        to.put(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.take(N)?.try_into().map_err(|_| Unreadable::Length)
    }
}

// Nanoseconds.
written_as!(
    Duration as u64,
    |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX),
    |nanos| Ok(Self::from_nanos(nanos))
);

/// Nanoseconds from the moment of writing: a deadline is what is left, and negative once it has
/// passed, as a birth is. The time between writing and reading counts.
impl Field for Instant {
    fn write(&self, to: &mut Writer) {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let left = nanos(self.saturating_duration_since(to.now));
        let past = nanos(to.now.saturating_duration_since(*self));
        (left - past).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let offset = i64::read(from)?;
        let now = from.now.ok_or(Unreadable::Value)?;
        let away = Duration::from_nanos(offset.unsigned_abs());
        if offset > 0 {
            let left = away.saturating_sub(from.elapsed);
            let late = from.elapsed.saturating_sub(away);
            // A clock cannot go below its zero: what ended before that has just ended.
            let ended = now.checked_sub(late).unwrap_or(now);
            return ended.checked_add(left).ok_or(Unreadable::Value);
        }
        Ok(now.checked_sub(away + from.elapsed).unwrap_or(now))
    }
}

impl Field for IpAddr {
    fn write(&self, to: &mut Writer) {
        self.is_ipv6().write(to);
        match self {
            Self::V4(ip) => ip.octets().write(to),
            Self::V6(ip) => ip.octets().write(to),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(if bool::read(from)? {
            <[u8; 16]>::read(from)?.into()
        } else {
            <[u8; 4]>::read(from)?.into()
        })
    }
}

/// With flow and scope, which tell IPv6 clients on links apart.
impl Field for SocketAddr {
    fn write(&self, to: &mut Writer) {
        self.ip().write(to);
        self.port().write(to);
        if let Self::V6(v6) = self {
            v6.flowinfo().write(to);
            v6.scope_id().write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut address = Self::new(Field::read(from)?, Field::read(from)?);
        if let Self::V6(v6) = &mut address {
            v6.set_flowinfo(Field::read(from)?);
            v6.set_scope_id(Field::read(from)?);
        }
        Ok(address)
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        bool::read(from)?.then(|| T::read(from)).transpose()
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

impl<T: Field> Field for Box<T> {
    fn write(&self, to: &mut Writer) {
        (**self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        T::read(from).map(Self::new)
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self, to: &mut Writer) {
        (self.len() as u32).write(to);
        for value in self {
            value.write(to);
        }
    }

    /// Grows with what is read, not with the number that is claimed.
    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let count = u32::read(from)?;
        let values: Result<Self, _> = (0..count).map(|_| T::read(from)).collect();
        values.map(|mut values| {
            values.shrink_to_fit();
            values
        })
    }
}

impl Field for Arc<str> {
    fn write(&self, to: &mut Writer) {
        (self.len() as u32).write(to);
        to.put(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let length = u32::read(from)? as usize;
        let text = std::str::from_utf8(from.take(length)?);
        text.map(Self::from).map_err(|_| Unreadable::Value)
    }
}

written_as!(Box<str> as Arc<str>, |it| Arc::from(&**it), |text| Ok(
    Self::from(&*text)
));
