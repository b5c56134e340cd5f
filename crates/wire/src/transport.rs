//! The transport between client and server.

/// The transport between client and server, as far as the protocol depends on it: whether messages
/// may be lost, and who marks their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams, which may be lost: UDP, or DTLS over it.
    Udp,
    /// A byte stream, which loses nothing and has no boundaries: TCP, or TLS over it.
    Tcp,
}

impl Transport {
    /// The name in logs, configurations and URIs. RFC 7065 §3.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}
