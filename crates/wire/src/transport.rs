//! The transport between client and server.

/// The transport between client and server. RFC 8656 §2.1, RFC 8489 §6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams in the clear.
    Udp,
    /// A byte stream in the clear.
    Tcp,
    /// A byte stream, encrypted: TLS over TCP.
    Tls,
    /// Datagrams, encrypted: DTLS over UDP.
    Dtls,
}

impl Transport {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// The name in logs and configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }

    /// Whether it loses nothing and has no boundaries, so that frames mark their ends themselves.
    /// Otherwise it carries datagrams, which may be lost.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether nobody on the way can read it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Dtls)
    }
}
