//! The parts of QUIC packets that are the same in every version. RFC 8999.

use arrayvec::ArrayVec;

/// A connection ID.
pub(super) type Id<'p> = &'p [u8];

/// A connection ID that is kept: of at most 20 bytes, as in every version so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    length: u8,
    bytes: [u8; LONGEST],
}

impl ConnectionId {
    fn of(id: Id<'_>) -> Option<Self> {
        let id: ArrayVec<u8, LONGEST> = id.try_into().ok()?;
        let mut bytes = [0; LONGEST];
        bytes[..id.len()].copy_from_slice(&id);
        Some(Self {
            length: id.len() as u8,
            bytes,
        })
    }

    /// One that cannot be guessed: quic-go's have four bytes, others more.
    pub(super) fn of_server(id: Id<'_>) -> Option<Self> {
        Self::of(id).filter(|id| id.length >= 4)
    }

    fn as_bytes(&self) -> Id<'_> {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A packet with a long header. RFC 8999 §5.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long<'p> {
    first: u8,
    version: u32,
    pub(super) destination: Id<'p>,
    pub(super) source: Id<'p>,
}

impl<'p> Long<'p> {
    /// The first packet of a datagram.
    pub(super) fn read(datagram: &'p [u8]) -> Option<Self> {
        let (&first, rest) = datagram.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (destination, rest) = id(rest)?;
        let (source, _) = id(rest)?;
        (first & 0x80 != 0).then_some(Self {
            first,
            version: u32::from_be_bytes(*version),
            destination,
            source,
        })
    }

    /// Whether it is no Version Negotiation.
    pub(super) const fn is_of_a_version(&self) -> bool {
        self.version != 0
    }

    /// Whether it may be an Initial packet: that of an unknown version cannot be told.
    const fn may_be_initial(&self) -> bool {
        let kind = self.first >> 4 & 0b11;
        match self.version {
            0 => false,
            1 => kind == 0,
            VERSION_2 => kind == 1,
            _ => true,
        }
    }
}

/// The connection ID that a client invented, if a datagram may begin a connection: its size is what
/// keeps a server's answer from being many times as long. RFC 9000 §14.1, §7.2.
pub(super) fn begins_connection(datagram: &[u8]) -> Option<ConnectionId> {
    let packet = Long::read(datagram)?;
    let is_whole = datagram.len() >= 1200 && packet.destination.len() >= 8;
    (is_whole && packet.may_be_initial())
        .then(|| ConnectionId::of(packet.destination))
        .flatten()
}

/// Whether a datagram is sent to this connection ID.
pub(super) fn names(datagram: &[u8], id: &ConnectionId) -> bool {
    let id = id.as_bytes();
    match Long::read(datagram) {
        Some(packet) => packet.destination == id,
        // A short header has nothing before it but one byte. RFC 8999 §5.2
        None => datagram.get(1..).is_some_and(|rest| rest.starts_with(id)),
    }
}

fn id(bytes: &[u8]) -> Option<(Id<'_>, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}

const LONGEST: usize = 20;
/// RFC 9369 §3.1.
const VERSION_2: u32 = 0x6B33_43CF;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A datagram that begins with a long header of these parts.
    pub(in crate::quic) fn long(
        first: u8,
        version: u32,
        destination: Id<'_>,
        source: Id<'_>,
    ) -> Vec<u8> {
        let lengths = [destination, source].map(|id| u8::try_from(id.len()).unwrap());
        let mut datagram = vec![first];
        datagram.extend(version.to_be_bytes());
        for (length, id) in lengths.into_iter().zip([destination, source]) {
            datagram.push(length);
            datagram.extend(id);
        }
        datagram.resize(1200, 0);
        datagram
    }

    #[test]
    fn only_an_initial_packet_of_full_size_begins_a_connection() {
        let initial = long(0xC3, 1, b"invented", b"own");
        assert_eq!(begins_connection(&initial), ConnectionId::of(b"invented"));
        assert!(begins_connection(&long(0xD3, VERSION_2, b"invented", b"")).is_some());
        assert!(begins_connection(&long(0xF3, 0x0A0A_0A0A, b"invented", b"")).is_some());
        for other in [
            &initial[..1199],
            &long(0xE3, 1, b"invented", b"own"),
            &long(0xC3, VERSION_2, b"invented", b"own"),
            &long(0xC3, 0, b"invented", b"own"),
            &long(0xC3, 1, b"short", b"own"),
            &long(0xC3, 1, &[7; 21], b"own"),
            &long(0x43, 1, b"invented", b"own"),
            b"",
        ] {
            assert_eq!(
                begins_connection(other),
                None,
                "{:02x?}",
                &other[..other.len().min(40)]
            );
        }
    }

    #[test]
    fn a_packet_names_the_connection_that_it_belongs_to() {
        let id = ConnectionId::of_server(b"chosen").unwrap();
        assert!(names(b"\x5Fchosen and the rest", &id));
        assert!(names(&long(0xE0, 1, b"chosen", b"own"), &id));
        assert!(!names(b"\x5Fchose", &id));
        assert!(!names(&long(0xE0, 1, b"chosen other", b"own"), &id));
        assert_eq!(ConnectionId::of_server(b"abc"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1300)) {
            let id = ConnectionId::of_server(b"chosen").unwrap();
            let _ = (begins_connection(&bytes), names(&bytes, &id));
        }
    }
}
