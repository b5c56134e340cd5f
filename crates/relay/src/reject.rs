//! Why a request is refused: the client is told a code, the operator is told the rest.

use std::time::Duration;

use wire::Malformed;

use crate::policy::Denial;
use crate::{Alternate, ConnectError, OpenError, PeerAddr};

/// A refusal. RFC 8489 §14.8, RFC 8656 §19, RFC 6062 §6.3, RFC 7635 §7.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No MESSAGE-INTEGRITY: the normal first step of every client.
    #[error("no credentials yet")]
    Challenge,
    /// MESSAGE-INTEGRITY without USERNAME, REALM or NONCE.
    #[error("USERNAME, REALM or NONCE is missing")]
    IncompleteCredentials,
    /// PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS are not what was offered. RFC 8489 §9.2.4.
    #[error("password algorithms are not those offered: somebody between may bid them down")]
    BidDown,
    /// The client does not use SHA-256.
    #[error("SHA-256 is required (key `sha256` in [auth])")]
    Sha256Required,
    /// REALM is none that a client could have been challenged with here.
    #[error("REALM is none of this server's (key `realm`)")]
    UnknownRealm,
    /// No user has this name.
    #[error("unknown user")]
    UnknownUser,
    /// No user has this name. It resembles one of time-limited credentials, but holds no time.
    #[error(
        "unknown user, and no expiry in the name: time-limited credentials are for EXPIRY:USER, \
         USER:EXPIRY or EXPIRY, in seconds since 1970 (EXPIRY first where USER is a number)"
    )]
    NoExpiry,
    /// A time-limited name would be good for thousands of years.
    #[error("the expiry in the name is in milliseconds, and must be in seconds since 1970")]
    ExpiryInMilliseconds,
    /// Time-limited credentials or an access token after their time.
    #[error("credentials expired {} ago", humane(.since))]
    Expired {
        /// How long ago.
        since: Duration,
    },
    /// USERNAME names no key that opens access tokens.
    #[error("no key of this id opens access tokens (table [[oauth.key]])")]
    UnknownKey,
    /// The key that opens the access token is not in use yet, or no longer.
    #[error(
        "the access token's key is not good now (keys `not-before`, `expires` in [[oauth.key]])"
    )]
    KeyNotValid,
    /// The access token cannot be opened.
    #[error("the access token is not sealed with this key for this server name, or is no token")]
    BadToken,
    /// The access token was issued later than now, and not by a little.
    #[error("the access token was issued {} from now: a clock is wrong", humane(.by))]
    TokenEarly {
        /// How far ahead its timestamp is.
        by: Duration,
    },
    /// The password is wrong, or the token's key, or the realm that a precomputed key is bound to.
    #[error("bad integrity: wrong password, secret, realm or key of the access token")]
    BadIntegrity,
    /// The nonce is too old or not ours.
    #[error("the nonce is too old, or of before a restart: the client tries again with a new one")]
    StaleNonce,
    /// The allocation is another user's.
    #[error("the allocation belongs to another user")]
    WrongUser,
    /// An attribute cannot be read.
    #[error("malformed: {0}")]
    Malformed(Malformed),
    /// A required attribute is missing.
    #[error("attribute {0:#06x} is missing")]
    MissingAttribute(u16),
    /// Comprehension-required attributes that are not known.
    #[error("unknown comprehension-required attributes {}", first_of(.0))]
    UnknownAttributes(Vec<u16>),
    /// The 5-tuple has an allocation already.
    #[error("this 5-tuple has an allocation")]
    AllocationExists,
    /// The 5-tuple has no allocation.
    #[error("this 5-tuple has no allocation")]
    NoAllocation,
    /// Tickets are neither given nor taken. RFC 8016 §3.1.2.
    #[error("mobility is off (key `mobility` in [allocation])")]
    MobilityForbidden,
    /// MOBILITY-TICKET in an Allocate is not empty. RFC 8016 §3.1.2.
    #[error("a ticket that is asked for is empty")]
    TicketInAllocate,
    /// MOBILITY-TICKET is none of ours.
    #[error("the ticket is not one of this server")]
    BadTicket,
    /// The ticket was used already.
    #[error("the ticket was used, and a newer one given")]
    UsedTicket,
    /// The ticket comes from the 5-tuple that the allocation has.
    #[error("the client of the ticket is where it was")]
    NotMoved,
    /// The allocation of the ticket is over.
    #[error("the allocation of the ticket is over")]
    AllocationOver,
    /// TCP allocations are not granted. RFC 6062 §5.1.
    #[error("TCP relaying is off (key `tcp` in [allocation])")]
    TcpForbidden,
    /// A client over UDP or DTLS asks for a TCP allocation, or to be one end of a connection with a
    /// peer. RFC 6062 §5.1, §5.4.
    #[error("the client has no connection: TCP is relayed over TCP and TLS only")]
    NotAStream,
    /// An Allocate for TCP with DONT-FRAGMENT, EVEN-PORT or RESERVATION-TOKEN. RFC 6062 §5.1.
    #[error("attribute {0:#06x} has no meaning for a TCP allocation")]
    NotForTcp(u16),
    /// An Allocate for TCP that asks for a ticket: connections do not move.
    #[error("a TCP allocation cannot move")]
    TcpCannotMove,
    /// A Connect of a client whose allocation is for UDP.
    #[error("this 5-tuple has no TCP allocation")]
    NoTcpAllocation,
    /// A ChannelBind of a client whose allocation is for TCP.
    #[error("a TCP allocation has no channels")]
    ChannelOfTcp,
    /// The allocation has a connection with this peer, or makes one. RFC 6062 §5.2.
    #[error("there is a connection with this peer")]
    ConnectionExists,
    /// The connection with the peer was not made. RFC 6062 §5.2.
    #[error("cannot connect to the peer: {0}")]
    NotConnected(ConnectError),
    /// CONNECTION-ID names no connection that waits. RFC 6062 §5.4.
    #[error("the connection is unknown, bound already, or was bound too late")]
    NoConnection,
    /// The allocation has as many connections with peers as allowed: 403 as for permissions.
    #[error("too many connections with peers (key `connections` in [allocation])")]
    TooManyConnections,
    /// REQUESTED-TRANSPORT is neither UDP nor TCP.
    #[error("transport protocol {0} is not supported")]
    UnsupportedTransport(u8),
    /// There is no relay address of that family.
    #[error("no relay address of the requested family (key `addresses` in [relay])")]
    UnsupportedFamily,
    /// The peer's or the requested family is not the allocation's.
    #[error("the allocation is of another address family")]
    FamilyMismatch,
    /// The peer policy denies the peer.
    #[error("peer {denial}")]
    PeerDenied {
        /// The peer asked for.
        peer: PeerAddr,
        /// The rule that decided.
        denial: Denial,
    },
    /// An allocation that moves would have its client at the IP address of a peer. The peer could
    /// be a server that has this allocation for a client.
    #[error(
        "a client that moves may not be at an IP address that it has a permission or channel for"
    )]
    ClientIsPeer,
    /// The client's own address is one of this server's.
    #[error("the client comes from a listener or relayed address of this server")]
    ClientIsServer,
    /// The client's own address is one that a tunnel leads to.
    #[error("the client comes through a 6to4, Teredo or ISATAP tunnel")]
    TunnelledClient,
    /// CHANNEL-NUMBER is outside 0x4000-0x7FFF.
    #[error("channel number {0:#06x} is out of range")]
    ChannelRange(u16),
    /// The channel has another peer, or the peer another channel.
    #[error("channel or peer is bound otherwise")]
    ChannelConflict,
    /// The client is to try another server. RFC 8489 §10.
    #[error("the client is sent to {} (table [[redirect]])", .0.same)]
    TryAlternate(Alternate),
    /// The server grants no new allocations, and ends with the last one. There is no code for it:
    /// 508 makes clients turn to another server at once and come back to this one after a minute
    /// (RFC 8656 §7.4), 486 would tell the user of a quota, and 403 not to come back.
    #[error("the server drains and grants no new allocations")]
    Draining,
    /// The listener that the client came to was taken out of the configuration, and serves the
    /// allocations that there are on it to their end. 508 as above: a client that hears nothing would
    /// ask for half a minute before it tries its next server.
    #[error("the listener is no more in the configuration, and grants no new allocations")]
    ListenerRetires,
    /// The user has as many allocations as allowed.
    #[error("the user's quota is reached (key `per-user` in [allocation] or [[auth.realm]])")]
    UserQuota,
    /// The user's realm has as many allocations as allowed.
    #[error("the realm's quota is reached (key `total` in [[auth.realm]])")]
    RealmQuota,
    /// The user or its realm has used up the data of this month.
    #[error("the data of this month is used up (key `month` in [[cap]])")]
    DataCap,
    /// The server has as many allocations as allowed.
    #[error("the server's quota is reached (key `total` in [allocation])")]
    TotalQuota,
    /// The allocation has as many permissions as allowed. The RFC's code is 508, at which Firefox
    /// gives up the whole server; at 403 every client goes on with its other peers.
    #[error("too many permissions (key `permissions` in [allocation])")]
    TooManyPermissions,
    /// The allocation has as many channels as allowed: 403 as for permissions.
    #[error("too many channels (key `channels` in [allocation])")]
    TooManyChannels,
    /// Attributes that exclude each other.
    #[error("the request has attributes that exclude each other")]
    Contradiction,
    /// Too many ports are reserved.
    #[error("too many ports are reserved already")]
    TooManyReservations,
    /// RESERVATION-TOKEN names no port that is kept for this user.
    #[error("the reservation is unknown, used, over or another user's")]
    NoReservation,
    /// No port of the range is free.
    #[error("no free port (key `ports` in [relay])")]
    NoPort,
    /// The relay socket could not be opened.
    #[error("cannot open a relay socket: {0}")]
    CannotOpen(OpenError),
}

impl Reject {
    /// The name of the cause in logs and metrics.
    pub const fn cause(&self) -> &'static str {
        self.refusal().cause()
    }

    /// Whether the answer carries realm and nonce for the next try. RFC 8489 §9.2.4.
    pub(crate) const fn is_challenge(&self) -> bool {
        matches!(self.code(), 401 | 438)
    }

    /// Whether this is a proof of identity that failed: a guess could be refused so. The names of
    /// users must not be told apart, so an unknown name is one, too.
    pub const fn is_failed_proof(&self) -> bool {
        matches!(
            self,
            Self::BadIntegrity
                | Self::UnknownUser
                | Self::NoExpiry
                | Self::ExpiryInMilliseconds
                | Self::UnknownKey
                | Self::BadToken
        )
    }

    /// The error code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::TryAlternate(_) => 300,
            Self::IncompleteCredentials
            | Self::BidDown
            | Self::Malformed(_)
            | Self::MissingAttribute(_)
            | Self::Contradiction
            | Self::ChannelRange(_)
            | Self::ChannelConflict
            | Self::TicketInAllocate
            | Self::BadTicket
            | Self::UsedTicket
            | Self::NotMoved
            | Self::NotAStream
            | Self::NotForTcp(_)
            | Self::NoConnection => 400,
            Self::Challenge
            | Self::Sha256Required
            | Self::UnknownRealm
            | Self::UnknownUser
            | Self::NoExpiry
            | Self::ExpiryInMilliseconds
            | Self::Expired { .. }
            | Self::UnknownKey
            | Self::KeyNotValid
            | Self::BadToken
            | Self::TokenEarly { .. }
            | Self::BadIntegrity => 401,
            Self::PeerDenied { .. }
            | Self::ClientIsPeer
            | Self::ClientIsServer
            | Self::TunnelledClient
            | Self::TooManyPermissions
            | Self::TooManyChannels
            | Self::TcpForbidden
            | Self::ChannelOfTcp
            | Self::TooManyConnections => 403,
            Self::MobilityForbidden | Self::TcpCannotMove => 405,
            Self::UnknownAttributes(_) => 420,
            Self::AllocationExists
            | Self::NoAllocation
            | Self::AllocationOver
            | Self::NoTcpAllocation => 437,
            Self::StaleNonce => 438,
            Self::UnsupportedFamily => 440,
            Self::WrongUser => 441,
            Self::UnsupportedTransport(_) => 442,
            Self::FamilyMismatch => 443,
            Self::ConnectionExists => 446,
            Self::NotConnected(_) => 447,
            Self::UserQuota | Self::RealmQuota | Self::DataCap => 486,
            Self::Draining
            | Self::ListenerRetires
            | Self::TotalQuota
            | Self::TooManyReservations
            | Self::NoReservation
            | Self::NoPort
            | Self::CannotOpen(_) => 508,
        }
    }

    /// The reason phrase for people; only clients that have authenticated get it.
    pub const fn phrase(&self) -> &'static str {
        match self.code() {
            300 => "Try Alternate",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            405 => "Mobility Forbidden",
            420 => "Unknown Attribute",
            437 => "Allocation Mismatch",
            438 => "Stale Nonce",
            440 => "Address Family not Supported",
            441 => "Wrong Credentials",
            442 => "Unsupported Transport Protocol",
            443 => "Peer Address Family Mismatch",
            446 => "Connection Already Exists",
            447 => "Connection Timeout or Failure",
            486 => "Allocation Quota Reached",
            _ => "Insufficient Capacity",
        }
    }
}

macro_rules! refusals {
    ($($variant:ident = $code:literal $cause:literal,)*) => {
        /// A [`Reject`] without what it says of one request: what is counted apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants of `Reject` have them")]
        pub enum Refusal { $($variant,)* }

        impl Refusal {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The error code.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name of the cause in logs and metrics.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)* }
            }
        }

        impl Reject {
            /// The refusal as it is counted.
            pub const fn refusal(&self) -> Refusal {
                match self { $(Self::$variant { .. } => Refusal::$variant,)* }
            }
        }
    };
}

refusals! {
    Challenge = 401 "challenge",
    IncompleteCredentials = 400 "incomplete-credentials",
    BidDown = 400 "bid-down",
    Sha256Required = 401 "sha256-required",
    UnknownRealm = 401 "unknown-realm",
    UnknownUser = 401 "unknown-user",
    NoExpiry = 401 "no-expiry",
    ExpiryInMilliseconds = 401 "expiry-in-milliseconds",
    Expired = 401 "credentials-expired",
    UnknownKey = 401 "unknown-key",
    KeyNotValid = 401 "key-not-valid",
    BadToken = 401 "bad-token",
    TokenEarly = 401 "token-early",
    BadIntegrity = 401 "bad-integrity",
    StaleNonce = 438 "stale-nonce",
    WrongUser = 441 "wrong-user",
    Malformed = 400 "malformed",
    MissingAttribute = 400 "missing-attribute",
    UnknownAttributes = 420 "unknown-attributes",
    AllocationExists = 437 "allocation-exists",
    NoAllocation = 437 "no-allocation",
    MobilityForbidden = 405 "mobility-forbidden",
    TicketInAllocate = 400 "ticket-in-allocate",
    BadTicket = 400 "bad-ticket",
    UsedTicket = 400 "used-ticket",
    NotMoved = 400 "not-moved",
    AllocationOver = 437 "allocation-over",
    TcpForbidden = 403 "tcp-forbidden",
    NotAStream = 400 "not-a-stream",
    NotForTcp = 400 "not-for-tcp",
    TcpCannotMove = 405 "tcp-cannot-move",
    NoTcpAllocation = 437 "no-tcp-allocation",
    ChannelOfTcp = 403 "channel-of-tcp",
    ConnectionExists = 446 "connection-exists",
    NotConnected = 447 "not-connected",
    NoConnection = 400 "no-connection",
    TooManyConnections = 403 "too-many-connections",
    UnsupportedTransport = 442 "unsupported-transport",
    UnsupportedFamily = 440 "unsupported-family",
    FamilyMismatch = 443 "family-mismatch",
    PeerDenied = 403 "peer-denied",
    ClientIsPeer = 403 "client-is-peer",
    ClientIsServer = 403 "client-is-server",
    TunnelledClient = 403 "tunnelled-client",
    ChannelRange = 400 "channel-range",
    ChannelConflict = 400 "channel-conflict",
    TryAlternate = 300 "try-alternate",
    Draining = 508 "draining",
    ListenerRetires = 508 "listener-retires",
    UserQuota = 486 "user-quota",
    RealmQuota = 486 "realm-quota",
    DataCap = 486 "cap",
    TotalQuota = 508 "total-quota",
    TooManyPermissions = 403 "too-many-permissions",
    TooManyChannels = 403 "too-many-channels",
    Contradiction = 400 "contradiction",
    TooManyReservations = 508 "too-many-reservations",
    NoReservation = 508 "no-reservation",
    NoPort = 508 "no-port",
    CannotOpen = 508 "cannot-open",
}

impl From<Malformed> for Reject {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The first few types: a stranger's request may have many.
fn first_of(types: &[u16]) -> String {
    const SHOWN: usize = 8;
    let first = &types[..types.len().min(SHOWN)];
    match types.len() - first.len() {
        0 => format!("{first:04x?}"),
        more => format!("{first:04x?} and {more} more"),
    }
}

/// A duration to the second or coarser, for a sentence.
fn humane(duration: &Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
