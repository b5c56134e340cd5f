//! The marking of a packet: how routers are to treat it, by its IP header. RFC 8656 §13-16.

/// DSCP and ECN as they stand together in the second octet of an IPv4 header and in the traffic
/// class of an IPv6 one: translation between the families copies all eight bits (RFC 7915 §4, §5).
///
/// TTL and hop limit are not carried on. RFC 8656 §13 wants them either decremented, with an ICMP
/// error where they reach zero, or set to the system's default. The error takes a raw socket, which
/// an unprivileged server does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marking(pub(crate) u8);

impl Marking {
    /// Best effort, Not-ECT: the marking of a packet that asks for nothing.
    pub(crate) const PLAIN: Self = Self(0);

    /// The DSCP with Not-ECT, for data from a stream: the stream answers to its own congestion
    /// marks. RFC 8656 §15.
    pub(crate) const fn without_ecn(self) -> Self {
        Self(self.0 & !ECN)
    }
}

/// The bits of ECN. RFC 3168.
const ECN: u8 = 0b11;
