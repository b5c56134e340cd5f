//! Counts of packets that the client ignored, by their reasons.

/// Why something received was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Neither a readable STUN message nor ChannelData, or a message without the attributes that
    /// its method must have.
    Malformed,
    /// FINGERPRINT is wrong. RFC 8489 §6.3.
    BadFingerprint,
    /// A request, or an indication other than Data: servers send neither.
    NotForClients,
    /// An indication with comprehension-required attributes that this client does not know.
    /// RFC 8489 §6.3.2.
    UnknownAttribute,
    /// An answer to no request, or to one that was answered already.
    NoTransaction,
    /// An answer to a signed request that is unsigned or signed with another key. RFC 8489 §9.2.5.
    BadIntegrity,
    /// An answer whose nonce announces PASSWORD-ALGORITHMS, but which has none: an attacker between
    /// may have taken them away. RFC 8489 §9.2.5.
    BidDown,
    /// ChannelData on a channel that was never asked for. RFC 8656 §12.6.
    NoChannel,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::BadFingerprint,
        Self::NotForClients,
        Self::UnknownAttribute,
        Self::NoTransaction,
        Self::BadIntegrity,
        Self::BidDown,
        Self::NoChannel,
    ];
}

/// A count per reason.
#[derive(Debug, Default)]
pub(crate) struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    pub(crate) fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }
}
