//! Why packets are dropped: one list for the counter, the log field and the tests' expectations.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet was dropped. The sender is not told; each reason has a counter of its own.
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
    /// The first byte is neither that of STUN nor of ChannelData. RFC 7983.
    Foreign = "foreign",
    /// The first byte announces STUN or ChannelData, but the packet cannot be read.
    Malformed = "malformed",
    /// FINGERPRINT does not match. RFC 8489 §6.3.
    BadFingerprint = "bad-fingerprint",
    /// A TURN method without the magic cookie. RFC 8489 §5.
    NoCookie = "no-cookie",
    /// A response, although the server sends no requests.
    UnexpectedResponse = "unexpected-response",
    /// A request with a method the server does not know. RFC 8489 §6.3.
    UnknownMethod = "unknown-method",
    /// An indication with a method that has no indications.
    UnknownIndication = "unknown-indication",
    /// A request that is not authenticated, and whose answer would be longer than the request,
    /// while the budget for such answers is used up.
    OverBudget = "over-budget",
    /// A request whose integrity is wrong, beyond the number of such that its network is answered.
    TooManyFailures = "too-many-failures",
    /// A request, a connection or a handshake from a network that is not served. Table `[clients]`.
    ClientDenied = "client-denied",
    /// The same from a network that is banned because it kept failing to authenticate. Key `ban-after`
    /// in `[clients]`.
    ClientBanned = "client-banned",
    /// Data faster than the limit of its allocation or user.
    BandwidthExceeded = "bandwidth-exceeded",
    /// An indication with a comprehension-required attribute that is not known. RFC 8489 §6.3.2.
    UnknownAttribute = "unknown-attribute",
    /// A Send indication without XOR-PEER-ADDRESS or DATA. RFC 8656 §11.2.
    IncompleteSend = "incomplete-send",
    /// A Send indication from a client without an allocation.
    NoAllocation = "no-allocation",
    /// An Allocate that came again while its socket is being opened.
    AllocationOpening = "allocation-opening",
    /// A Send indication on a TCP allocation. RFC 6062 has none.
    TcpAllocation = "tcp-allocation",
    /// A peer that connects to a TCP allocation, beyond the number of its connections.
    TooManyConnections = "too-many-connections",
    /// ChannelData on a channel that is not bound.
    NoChannel = "no-channel",
    /// A packet of a client that moves to this shard, beyond the number that is kept until its
    /// allocation arrives.
    MoveQueueFull = "move-queue-full",
    /// A packet of a client that moved, and newer packets of that client were handled already.
    MovedOn = "moved-on",
    /// A request with the ticket of an allocation that is on its way between two shards.
    AllocationMoving = "allocation-moving",
    /// A request whose key is being fetched, and that is not kept until the key comes: one that was
    /// sent again, or in the name of a client with an allocation.
    KeyAwaited = "key-awaited",
    /// A request of a client whose key is being fetched or is to be, beyond the number that is kept
    /// or the keys that are fetched at once.
    KeyQueueFull = "key-queue-full",
    /// A request whose key could not be fetched in time. The answer would have to be signed with
    /// that key: clients ignore any other (RFC 8489 §9.2.5), and send the request again.
    KeyUnavailable = "key-unavailable",
    /// Data for a client whose connection ended and that has not come back with its ticket.
    ClientAway = "client-away",
    /// Data for a peer without a permission.
    NoPermission = "no-permission",
    /// Data, or a connection, from a peer without a permission.
    NoPeerPermission = "no-peer-permission",
    /// Data to or from a peer that the policy denies on this port, or its connection.
    PeerDenied = "peer-denied",
    /// Data to or from an address and port of ours that no allocation has.
    NoRelay = "no-relay",
    /// An ICMP error of a type that clients are not told of. RFC 8656 §11.5.
    IcmpType = "icmp-type",
    /// An ICMP error for a client that has not shown that it knows such indications. Key `icmp` in
    /// `[allocation]`.
    IcmpUnasked = "icmp-unasked",
    /// An empty datagram from a peer, for a client that has sent none itself.
    EmptyDatagram = "empty-datagram",
    /// A peer's packet for a relay socket that is gone.
    RelayGone = "relay-gone",
    /// A packet on the port for partners that is not from the partner's address.
    NoPartner = "no-partner",
    /// A partner's note that is not sealed with our secret, or names other addresses or ports than
    /// expected.
    BadNote = "bad-note",
    /// A partner's note that is too old, came before, or names another session of this server.
    StaleNote = "stale-note",
    /// Data that is TURN itself, to or from an allocation that may move, or under more of TURN's
    /// headers than servers in a row put there: it would go round in a loop. RFC 8656 §21.4.
    TurnWithin = "turn-within",
    /// Data too large for one datagram.
    TooLarge = "too-large",
    /// A Data indication that is longer than a client on a stream may be sent. Key
    /// `data-indication` in `[tcp]`.
    IndicationTooLong = "indication-too-long",
}
