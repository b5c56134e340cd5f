//! An allocation: all that one client has. RFC 8656 §3.2.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use wire::attributes::ReservationToken;
use wire::{AddressFamily, ChannelNumber, MacKey, TransactionId};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::auth::Signed;
use crate::bandwidth::Meter;
use crate::keys::Grant;
use crate::mobility::{Holder, Mobile};
use crate::nonce::Issued;
use crate::permissions::Permissions;
use crate::ports::Parity;
use crate::quality::Tally;
use crate::realms::{Account, RealmId};
use crate::story::{Event, Story};
use crate::tcp::Tcp;
use crate::{AllocationId, ClientTuple, OpenError, Reject, RelayId, Way};

/// Packets and bytes of application data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Their payload, without any header.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) const fn count(&mut self, payload: usize) {
        self.packets += 1;
        self.bytes += payload as u64;
    }
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) id: AllocationId,
    pub(crate) client: ClientTuple,
    pub(crate) realm: RealmId,
    /// The user who opened it: the name without the realm.
    pub(crate) user: Arc<str>,
    /// The name that it is counted under. It stays the same when the rules change, so that what was
    /// counted up is counted down.
    pub(crate) account: Arc<str>,
    /// Verifies what the client signs and signs what it is answered.
    pub(crate) key: MacKey,
    /// When the nonce was made that the Allocate was signed under.
    pub(crate) opened_with: Issued,
    /// The grant of the token whose key this is; `None` if the key is of a password.
    pub(crate) grant: Option<Box<Grant>>,
    /// The transaction of the Allocate that opened it: a retransmission of that gets the same
    /// answer.
    pub(crate) transaction: TransactionId,
    /// The lifetime that Allocate was granted, in seconds.
    pub(crate) lifetime: u32,
    pub(crate) born: Instant,
    pub(crate) relays: Relays,
    /// Why a dual allocation has one relay socket only.
    pub(crate) refused: Option<Box<RefusedFamily>>,
    /// Names the port that was reserved with this allocation.
    pub(crate) token: Option<ReservationToken>,
    pub(crate) phase: Phase,
    pub(crate) permissions: Permissions,
    /// The client's channels, each of which has an entry in [`crate::routes::Routes`].
    pub(crate) channels: Vec<ChannelNumber>,
    /// Whether the client has shown that it knows RFC 8489's algorithms.
    pub(crate) knows_rfc8489: bool,
    /// Whether the client has sent an empty datagram itself, so that one may be sent to it.
    pub(crate) sends_empty: bool,
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
    /// The counts of its data; `None` before it may have any, and if nothing is counted.
    pub(crate) tally: Option<Box<Tally>>,
    /// How fast data may pass; `None` if that is without limit.
    pub(crate) meter: Option<Box<Meter>>,
    /// The state of mobility; `None` if the client asked for no ticket. RFC 8016.
    pub(crate) mobile: Option<Box<Mobile>>,
    /// Its connections, if it is a TCP allocation; `None` if it is for UDP. RFC 6062.
    pub(crate) tcp: Option<Box<Tcp>>,
    /// Its last control events.
    pub(crate) story: Story,
}

/// How far an allocation is. The client hears success only when the outcome of every socket is
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A socket is being opened; the client waits for its answer.
    Opening {
        /// Whether the answer is to have a FINGERPRINT.
        fingerprint: bool,
        /// Whether the answer is to have a ticket.
        ticket: bool,
    },
    /// The client has heard success.
    Open,
}

/// The family that a client asked for and was not granted.
#[derive(Debug)]
pub(crate) struct RefusedFamily {
    pub(crate) family: AddressFamily,
    pub(crate) why: NoRelay,
}

/// Why there is no relay socket of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoRelay {
    /// The server has no relay address of it.
    UnsupportedFamily,
    /// No port that fits is free.
    NoPort,
    /// The host refused the socket.
    CannotOpen(OpenError),
}

impl From<NoRelay> for Reject {
    fn from(why: NoRelay) -> Self {
        match why {
            NoRelay::UnsupportedFamily => Self::UnsupportedFamily,
            NoRelay::NoPort => Self::NoPort,
            NoRelay::CannotOpen(why) => Self::CannotOpen(why),
        }
    }
}

/// The relay sockets of an allocation: at most one per family, IPv4 first. They are boxed since few
/// allocations have both.
#[derive(Debug, Default)]
pub(crate) struct Relays([Option<Box<Relay>>; 2]);

/// A relay socket of an allocation, by its two faces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// The ports that may be tried if this one is in use; `None` if no other may be.
    pub(crate) parity: Option<Parity>,
    /// The address of this host that the socket is bound to.
    pub(crate) local: SocketAddr,
    /// The relayed transport address: the one that peers send to.
    pub(crate) relayed: SocketAddr,
    pub(crate) socket: RelaySocket,
    /// When the lifetime ends; it is counted from the success response.
    pub(crate) deadline: Instant,
}

/// How far a relay socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelaySocket {
    /// The shard has been asked to open it.
    AskedFor {
        /// How many ports were tried before this one.
        tries: u32,
    },
    /// It is bound.
    Bound,
}

impl Allocation {
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Adds an event to its story.
    pub(crate) fn note(&mut self, at: Instant, event: &Event) {
        let since = at.saturating_duration_since(self.born);
        self.story.note(since, event);
    }

    /// The data that has passed.
    pub(crate) fn traffic(&self, way: Way) -> Traffic {
        match (&self.tcp, way) {
            (Some(tcp), way) => tcp.passage.traffic(way),
            (None, Way::Out) => self.sent,
            (None, Way::In) => self.received,
        }
    }

    /// Whether it belongs to this user, given by the name without the realm.
    pub(crate) fn is_of(&self, realm: RealmId, user: &str) -> bool {
        self.realm == realm && *self.user == *user
    }

    /// Whether it was opened with a password, by this user.
    pub(crate) fn is_of_password(&self, realm: RealmId, user: &str) -> bool {
        self.grant.is_none() && self.is_of(realm, user)
    }

    /// Whether the signer of this request may change the allocation: it must be the user who opened
    /// it, RFC 8656 §5. A token names no user, so the bearer of any token may change what was
    /// opened with one: RFC 7635 §9 has clients renew with a new token, which may be of another
    /// key.
    pub(crate) fn belongs_to(&self, request: &Signed<'_>) -> bool {
        match (&self.grant, &request.grant) {
            (Some(_), Some(_)) => self.realm == request.realm,
            (None, None) => self.is_of(request.realm, &request.user),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether the signer of this request may move the allocation to another 5-tuple. A ticket can
    /// be seen on its way, and several clients can share a 5-tuple. So with tokens only the bearer
    /// of the very token that the allocation lives on may move it.
    pub(crate) fn follows(&self, request: &Signed<'_>) -> bool {
        let same = |grant: &Grant, shown: &Grant| {
            grant.nonce == shown.nonce && self.is_of(request.realm, &request.user)
        };
        self.belongs_to(request)
            && (self.grant.as_ref().zip(request.grant.as_ref()))
                .is_none_or(|(grant, shown)| same(grant, shown))
    }

    /// The limit of its bandwidth by a cap of data.
    pub(crate) fn capped_rate(&self) -> Option<NonZeroU64> {
        match &self.tcp {
            Some(tcp) => tcp.passage.meter().and_then(|meter| meter.capped),
            None => self.meter.as_ref().and_then(|meter| meter.capped),
        }
    }

    /// Whose quota it falls under.
    pub(crate) fn account(&self) -> Account<'_> {
        Account {
            realm: self.realm,
            name: &self.account,
        }
    }

    /// Puts the allocation under the token that renewed it: that token's key signs from now on. The
    /// quota stays that of the token that opened it. RFC 7635 §9.
    pub(crate) fn renew(&mut self, request: &Signed<'_>) {
        let (Some(grant), Some(renewed)) = (&mut self.grant, &request.grant) else {
            return;
        };
        grant.validity = renewed.validity;
        grant.nonce = renewed.nonce;
        self.key = request.key.clone();
        if *self.user != *request.user {
            self.user = Arc::from(&*request.user);
        }
    }

    /// The user who holds it, if a password opened it: tokens are verified anew with every request.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let Self {
            realm,
            user,
            key,
            opened_with,
            ..
        } = self;
        self.grant.is_none().then(|| Holder {
            realm: *realm,
            user: Arc::clone(user),
            key: key.clone(),
            opened_with: *opened_with,
        })
    }

    /// The relay socket of a family, whether or not there is one.
    pub(crate) const fn relay_id(&self, family: AddressFamily) -> RelayId {
        RelayId {
            allocation: self.id,
            family,
        }
    }
}

impl Relays {
    /// One or two sockets of different families.
    pub(crate) fn new(relays: impl IntoIterator<Item = Relay>) -> Self {
        let mut all = Self::default();
        for relay in relays {
            all.set(relay);
        }
        all
    }

    /// Whether there is a socket of this family.
    pub(crate) const fn has(&self, family: AddressFamily) -> bool {
        self.0[place(family)].is_some()
    }

    pub(crate) fn get(&self, family: AddressFamily) -> Option<&Relay> {
        self.0[place(family)].as_deref()
    }

    pub(crate) fn get_mut(&mut self, family: AddressFamily) -> Option<&mut Relay> {
        self.0[place(family)].as_deref_mut()
    }

    /// Puts a socket in its place; returns the one that was there.
    pub(crate) fn set(&mut self, relay: Relay) -> Option<Relay> {
        let earlier = self.0[place(relay.family())].replace(Box::new(relay));
        earlier.map(|relay| *relay)
    }

    pub(crate) fn take(&mut self, family: AddressFamily) -> Option<Relay> {
        self.0[place(family)].take().map(|relay| *relay)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Relay> {
        self.0.iter().flatten().map(|relay| &**relay)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Relay> {
        self.0.iter_mut().flatten().map(|relay| &mut **relay)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.0, [None, None])
    }

    /// The relayed transport addresses, IPv4 first.
    pub(crate) fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        self.iter().map(|relay| relay.relayed)
    }
}

impl Relay {
    pub(crate) const fn family(&self) -> AddressFamily {
        AddressFamily::of(self.local.ip())
    }

    /// The next port, if it was taken along to be reserved and is not promised yet.
    pub(crate) fn next(&self) -> Option<Self> {
        let next = |address: SocketAddr| SocketAddr::new(address.ip(), address.port() + 1);
        (self.parity == Some(Parity::EvenAndNext)).then(|| Self {
            parity: None,
            local: next(self.local),
            relayed: next(self.relayed),
            socket: RelaySocket::AskedFor { tries: 0 },
            deadline: self.deadline,
        })
    }
}

const fn place(family: AddressFamily) -> usize {
    match family {
        AddressFamily::V4 => 0,
        AddressFamily::V6 => 1,
    }
}
