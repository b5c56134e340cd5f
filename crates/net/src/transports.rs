//! The transports that one listener takes.

use relay::Transport;

/// The transports that a listener takes. Where there are several, the first bytes of a client tell
/// which is its own. RFC 7983, RFC 8489 §6.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transports {
    /// One.
    Only(Transport),
    /// Byte streams: TCP and TLS.
    Streams,
    /// Datagrams: UDP and DTLS.
    Datagrams,
}

impl Transports {
    /// Whether clients come to it by TCP connections; they come by UDP datagrams otherwise.
    pub const fn are_streams(self) -> bool {
        match self {
            Self::Only(transport) => transport.is_stream(),
            Self::Streams => true,
            Self::Datagrams => false,
        }
    }

    /// Whether it takes clients of this transport.
    pub const fn has(self, transport: Transport) -> bool {
        match (self, transport) {
            (Self::Streams, Transport::Tcp | Transport::Tls)
            | (Self::Datagrams, Transport::Udp | Transport::Dtls)
            | (Self::Only(Transport::Udp), Transport::Udp)
            | (Self::Only(Transport::Tcp), Transport::Tcp)
            | (Self::Only(Transport::Tls), Transport::Tls)
            | (Self::Only(Transport::Dtls), Transport::Dtls) => true,
            (Self::Only(_) | Self::Streams | Self::Datagrams, _) => false,
        }
    }

    /// Each transport that it takes.
    pub fn each(self) -> impl Iterator<Item = Transport> {
        let all = Transport::ALL.into_iter();
        all.filter(move |transport| self.has(*transport))
    }

    /// The protocol of the socket, as `ss` shows it.
    pub const fn protocol(self) -> &'static str {
        if self.are_streams() { "tcp" } else { "udp" }
    }

    /// The name in logs and configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Only(transport) => transport.name(),
            Self::Streams | Self::Datagrams => "auto",
        }
    }
}

impl From<Transport> for Transports {
    fn from(transport: Transport) -> Self {
        Self::Only(transport)
    }
}
