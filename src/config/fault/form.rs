//! The meanings of values.

/// The meaning of the text of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Form {
    /// An IP address and a port.
    #[error("an IP address and a port")]
    SocketAddress,
    /// The same where all addresses of a family are no choice.
    #[error("an IP address and a port")]
    OneSocketAddress,
    /// The same, of one transport or of both.
    #[error("an IP address and a port, alone or with /udp or /tcp")]
    Target,
    /// An IP address.
    #[error("an IP address")]
    Address,
    /// A time span.
    #[error("a duration")]
    Duration,
    /// A size.
    #[error("a number of bytes")]
    Bytes,
    /// A port range.
    #[error("a port range")]
    Ports,
    /// The key of a user.
    #[error("a key: that is 32 hexadecimal digits")]
    Key,
}

impl Form {
    /// How to write it.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::SocketAddress => {
                "write \"0.0.0.0:3478\" for every IPv4 address, \"[::]:3478\" for every IPv6 address, \
                 or one address and port"
            }
            Self::OneSocketAddress => {
                "write one address and port, such as \"203.0.113.8:3479\" or \"[2001:db8::8]:3479\""
            }
            Self::Target => {
                "write \"203.0.113.9:3478\" for clients over UDP and TCP, \"203.0.113.9:3478/udp\" or \
                 \"203.0.113.9:443/tcp\" for those of one"
            }
            Self::Address => {
                "write it without port and brackets, such as \"192.0.2.7\" or \"2001:db8::7\""
            }
            Self::Duration => "write a number and a unit, such as \"90s\", \"10m\" or \"1h 30m\"",
            Self::Bytes => {
                "write a number and a unit, such as \"16KiB\" or \"2MiB\", or \"unlimited\""
            }
            Self::Ports => "write the first and the last port, such as \"49152-65535\"",
            Self::Key => "make one with `printf 'USER:REALM:PASSWORD' | md5sum`",
        }
    }
}
