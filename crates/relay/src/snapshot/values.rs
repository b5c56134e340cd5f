//! The values of a snapshot, each by all its fields.

use std::collections::BTreeSet;

use wire::attributes::ReservationToken;
use wire::{Algorithm, ChannelNumber, MacKey, TransactionId};

use super::field::{variants, written_as};
use super::{Field, Reader, Unreadable, Writer, fields};
use crate::allocation::{
    Allocation, NoRelay, Phase, RefusedFamily, Relay, RelaySocket, Relays, Traffic,
};
use crate::bandwidth::Meter;
use crate::keys::{Grant, Validity};
use crate::mobility::{Arrival, Mobile, Move, Path};
use crate::ports::Parity;
use crate::request::Head;
use crate::routes::Bound;
use crate::tcp::{Awaiting, PeerConnection, State, Tcp};
use crate::{
    AddressFamily, AllocationId, ClientTuple, ConnectionId, Method, OpenError, Passage, PeerAddr,
    RelayId, ShardId, Transport, Way,
};

fields!(Allocation: id, client, realm, user, account, key, opened_with, grant, transaction,
    lifetime, born, relays, refused, token, phase, permissions, channels, knows_rfc8489,
    sends_empty, sent, received, tally, meter, mobile, tcp,
    story);
// The rules say it again, and what was charged is earned within seconds.
impl Field for Option<Box<Meter>> {
    fn write(&self, _: &mut Writer) {}

    fn read(_: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(None)
    }
}

fields!(PeerConnection: peer, state, deadline);
fields!(Awaiting: head, key, local, to);
fields!(ConnectionId(id));
fields!(Relay: parity, local, relayed, socket, deadline);
fields!(Mobile: number, moves, last, next, via, lost);
fields!(Move: transaction, client, lifetime);
fields!(Path: client, via);
fields!(RefusedFamily: family, why);
fields!(Grant: validity, account, nonce);
fields!(Validity: issued, lifetime);
fields!(Traffic: packets, bytes);
fields!(Bound: relay, peer, deadline);
fields!(ClientTuple: transport, client, server);
fields!(AllocationId: slot, generation);
fields!(RelayId: allocation, family);
fields!(PeerAddr(address));
fields!(ShardId(number));
fields!(ReservationToken(bytes));

variants!(Transport { Udp = 0, Tcp = 1, Tls = 2, Dtls = 3 });
variants!(AddressFamily { V4 = 1, V6 = 2 });
variants!(Algorithm { Sha1 = 0, Sha256 = 1 });
variants!(Parity { Any = 0, Even = 1, EvenAndNext = 2 });
variants!(OpenError { InUse = 0, Exhausted = 1, NotLocal = 2, System = 3 });

impl Field for MacKey {
    fn write(&self, to: &mut Writer) {
        self.algorithm().write(to);
        for byte in &*self.to_bytes() {
            byte.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let algorithm = Algorithm::read(from)?;
        let key = match algorithm {
            Algorithm::Sha1 => Self::from_bytes(algorithm, &<[u8; 56]>::read(from)?),
            Algorithm::Sha256 => Self::from_bytes(algorithm, &<[u8; 80]>::read(from)?),
        };
        key.ok_or(Unreadable::Value)
    }
}

written_as!(TransactionId as [u8; 16], |it| *it.as_bytes(), |bytes| Ok(
    Self::from_header(bytes)
));
written_as!(ChannelNumber as u16, |it| it.get(), |number| Self::new(
    number
)
.ok_or(Unreadable::Value));
written_as!(
    Phase as Option<(bool, bool)>,
    |it| match *it {
        Self::Opening {
            fingerprint,
            ticket,
        } => Some((fingerprint, ticket)),
        Self::Open => None,
    },
    |opening| Ok(
        opening.map_or(Self::Open, |(fingerprint, ticket)| Self::Opening {
            fingerprint,
            ticket
        })
    )
);
written_as!(
    RelaySocket as Option<u32>,
    |it| match *it {
        Self::AskedFor { tries } => Some(tries),
        Self::Bound => None,
    },
    |tries| Ok(tries.map_or(Self::Bound, |tries| Self::AskedFor { tries }))
);
written_as!(
    NoRelay as (bool, Option<OpenError>),
    |it| match *it {
        Self::UnsupportedFamily => (false, None),
        Self::NoPort => (true, None),
        Self::CannotOpen(why) => (true, Some(why)),
    },
    |why| match why {
        (false, None) => Ok(Self::UnsupportedFamily),
        (true, None) => Ok(Self::NoPort),
        (true, Some(why)) => Ok(Self::CannotOpen(why)),
        (false, Some(_)) => Err(Unreadable::Value),
    }
);

written_as!(
    Head as (TransactionId, (u16, bool)),
    |it| (it.transaction, (it.method.code(), it.fingerprint)),
    |(transaction, (method, fingerprint))| Ok(Self {
        method: Method::from_code(method),
        transaction,
        fingerprint
    })
);

impl Field for State {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Connecting(awaiting) => {
                0_u8.write(to);
                awaiting.write(to);
            }
            Self::Pending => 1_u8.write(to),
            Self::Bound(shard) => {
                2_u8.write(to);
                shard.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        match u8::read(from)? {
            0 => Ok(Self::Connecting(Field::read(from)?)),
            1 => Ok(Self::Pending),
            2 => Ok(Self::Bound(Field::read(from)?)),
            _ => Err(Unreadable::Value),
        }
    }
}

/// The counts, and the connections by their ids. The rules set the limits again.
impl Field for Tcp {
    fn write(&self, to: &mut Writer) {
        let Self {
            connections,
            passage,
        } = self;
        passage.traffic(Way::Out).write(to);
        passage.traffic(Way::In).write(to);
        (connections.len() as u32).write(to);
        for (connection, it) in connections {
            connection.write(to);
            it.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let passage = Passage::with(Field::read(from)?, Field::read(from)?);
        let all = Vec::<(ConnectionId, PeerConnection)>::read(from)?;
        let is_sorted = all.is_sorted_by(|(one, _), (next, _)| one < next);
        is_sorted
            .then(|| Self {
                connections: all.into_iter().collect(),
                passage,
            })
            .ok_or(Unreadable::Conflict)
    }
}

impl Field for Relays {
    fn write(&self, to: &mut Writer) {
        self.iter().copied().collect::<Vec<_>>().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut all = Self::default();
        for relay in Vec::<Relay>::read(from)? {
            let is_one = AddressFamily::of(relay.relayed.ip()) == relay.family();
            // The port behind an even one, which may be taken along, must be one.
            if !is_one || relay.local.port() == u16::MAX && relay.next().is_some() {
                return Err(Unreadable::Value);
            }
            if all.set(relay).is_some() {
                return Err(Unreadable::Conflict);
            }
        }
        Ok(all)
    }
}

impl Field for Arrival {
    fn write(&self, to: &mut Writer) {
        let Self {
            allocation,
            channels,
        } = self;
        allocation.write(to);
        channels.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut allocation = Allocation::read(from)?;
        // Mostly the same, and then kept once.
        if allocation.account == allocation.user {
            allocation.account = std::sync::Arc::clone(&allocation.user);
        }
        let arrival = Self {
            allocation,
            channels: Field::read(from)?,
        };
        arrival.check()?;
        Ok(arrival)
    }
}

impl Arrival {
    /// Whether the parts of one allocation fit together.
    fn check(&self) -> Result<(), Unreadable> {
        let Self {
            allocation,
            channels,
        } = self;
        let relays = &allocation.relays;
        let is_awaited = |relay: &Relay| relay.socket != RelaySocket::Bound;
        // One that waits for no socket would be answered never, and one without any has ended.
        let goes_on = if allocation.is_open() {
            !relays.is_empty() && !relays.iter().any(is_awaited)
        } else {
            relays.iter().any(is_awaited) && allocation.channels.is_empty()
        };
        let mut peers = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        let is_bound = channels.iter().all(|(number, bound)| {
            let family = AddressFamily::of(bound.peer.0.ip());
            bound.relay == allocation.relay_id(family)
                && relays.has(family)
                && peers.insert(bound.peer)
                && numbers.insert(number.get())
        });
        let listed = channels.iter().map(|(number, _)| number);
        if goes_on
            && is_bound
            && allocation.id.slot < MOST_SLOTS
            && allocation.channels.iter().eq(listed)
        {
            Ok(())
        } else {
            Err(Unreadable::Value)
        }
    }
}

/// More than a shard can have allocations: each has a port of one of two relay addresses. The table
/// is made for the last slot, so that must not be any number.
const MOST_SLOTS: u32 = 1 << 17;
