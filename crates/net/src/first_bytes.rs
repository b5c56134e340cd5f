//! What the first bytes of a client tell. RFC 7983, RFC 9443, RFC 8489 §6.2.2.

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// STUN in the clear.
    Stun,
    /// ChannelData in the clear.
    ChannelData,
    /// A TLS handshake. RFC 8446 §5.1.
    Tls,
    /// Nothing of these.
    Other,
}

/// What a stream begins with, as soon as it can be told.
pub(crate) fn stream(bytes: &[u8]) -> Option<Stream> {
    Some(match bytes.first()? {
        0..=3 => Stream::Stun,
        22 => Stream::Tls,
        64..=79 => Stream::ChannelData,
        _ => Stream::Other,
    })
}
