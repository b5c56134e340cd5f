//! The configuration of a client.

use wire::Transport;

use crate::{Credentials, Retransmission, Sha256};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The transport of the messages.
    pub transport: Transport,
    /// The user name and password; without them a 401 ends a request.
    pub credentials: Option<Credentials>,
    /// How the client uses SHA-256.
    pub sha256: Sha256,
    /// When requests are sent again and given up.
    pub retransmission: Retransmission,
    /// Whether allocation, permissions and channels are refreshed before they expire.
    pub keep_alive: bool,
    /// Whether every message ends with FINGERPRINT. RFC 8489 §7.
    pub fingerprint: bool,
}

impl Config {
    /// A client without credentials that sends no request of its own accord.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            credentials: None,
            sha256: Sha256::default(),
            retransmission: Retransmission::default(),
            keep_alive: false,
            fingerprint: false,
        }
    }
}
