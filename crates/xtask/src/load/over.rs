//! The transports of the load, as coturn's client takes them.

use std::fmt;

/// The transport of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Over {
    Udp,
    Tcp,
    Tls,
}

impl Over {
    pub(crate) const fn is_stream(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The options of the client.
    pub(crate) const fn flags(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => "-t",
            Self::Tls => "-t -S -p 5349",
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}
