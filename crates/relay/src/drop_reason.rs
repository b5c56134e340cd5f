//! Why packets go nowhere: one list is the counter, the log field, the test's expectation.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet went nowhere. Nobody is told; each has a counter of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in logs and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Neither STUN nor ChannelData by its first byte. RFC 7983.
    Foreign = "foreign",
    /// Announced as STUN or ChannelData, and cannot be read.
    Malformed = "malformed",
    /// FINGERPRINT does not match. RFC 8489 §6.3.
    BadFingerprint = "bad-fingerprint",
    /// A TURN method without the magic cookie. RFC 8489 §5.
    NoCookie = "no-cookie",
    /// A response, which nobody asked for.
    UnexpectedResponse = "unexpected-response",
    /// A request with a method the server does not know. RFC 8489 §6.3.
    UnknownMethod = "unknown-method",
    /// An indication with a method that is none.
    UnknownIndication = "unknown-indication",
    /// A request of someone who has not authenticated, whose answer is longer than itself while the
    /// budget for such answers is used up.
    OverBudget = "over-budget",
    /// An indication with an attribute that must be understood and is not. RFC 8489 §6.3.2.
    UnknownAttribute = "unknown-attribute",
    /// A Send indication without XOR-PEER-ADDRESS or DATA. RFC 8656 §11.2.
    IncompleteSend = "incomplete-send",
    /// A Send indication from a client without allocation.
    NoAllocation = "no-allocation",
    /// An Allocate again while its socket is being opened.
    AllocationOpening = "allocation-opening",
    /// ChannelData on a channel that is not bound.
    NoChannel = "no-channel",
    /// From a client that moves to this shard and sends more than is kept until its allocation is here.
    MoveQueueFull = "move-queue-full",
    /// From a client that moved and was overtaken by newer packets of its own.
    MovedOn = "moved-on",
    /// With the ticket of an allocation that is between two shards.
    AllocationMoving = "allocation-moving",
    /// To a client whose connection ended and that has not come back with its ticket.
    ClientAway = "client-away",
    /// To a peer without permission.
    NoPermission = "no-permission",
    /// From a peer without permission.
    NoPeerPermission = "no-peer-permission",
    /// To or from a peer that the policy denies on this port.
    PeerDenied = "peer-denied",
    /// To or from a relayed address of ours that nobody has.
    NoRelay = "no-relay",
    /// An ICMP error of a type that concerns no client. RFC 8656 §11.5.
    IcmpType = "icmp-type",
    /// An ICMP error for a client that has not shown that it knows what that is. Key `icmp` in
    /// `[allocation]`.
    IcmpUnasked = "icmp-unasked",
    /// From a peer, without a payload, to a client that has sent no such datagram itself.
    EmptyDatagram = "empty-datagram",
    /// A peer's packet for a relay socket that is gone.
    RelayGone = "relay-gone",
    /// On the port for partners, from somebody else.
    NoPartner = "no-partner",
    /// A partner's note that is not sealed with our secret, or says what it should not.
    BadNote = "bad-note",
    /// A partner's note that is too old, was heard before, or is for another life of this server.
    StaleNote = "stale-note",
    /// Too large for one datagram.
    TooLarge = "too-large",
    /// A Data indication that is longer than a client on a stream may be sent. Key
    /// `data-indication` in `[tcp]`.
    IndicationTooLong = "indication-too-long",
}
