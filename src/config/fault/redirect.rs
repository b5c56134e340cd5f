//! What can be wrong with a `[[redirect]]`.

use std::borrow::Cow;
use std::net::SocketAddr;

/// A mistake in a `[[redirect]]`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedirectFault {
    /// Clients would be sent back to where they are.
    #[error("`[[redirect]] to` names {address}, where this server listens itself")]
    Itself {
        /// As written.
        address: SocketAddr,
    },
    /// Nobody can send to port 0.
    #[error("`[[redirect]] to` has port 0, which no client can send to")]
    PortZero,
    /// A rule for nobody.
    #[error("`[[redirect]] realm` is none of this server's")]
    UnknownRealm {
        /// Those that there are.
        known: Vec<String>,
    },
}

impl RedirectFault {
    /// What to write instead.
    pub(crate) fn help(&self) -> Cow<'static, str> {
        match self {
            Self::Itself { .. } => "name another server, as its clients reach it".into(),
            Self::PortZero => "3478 is the usual one".into(),
            Self::UnknownRealm { known } => format!("there is {}", known.join(", ")).into(),
        }
    }
}
