//! What a client is told once.

use crate::{Credentials, Retransmission, Sha256};

/// What carries messages between client and server, as far as the protocol cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, which may be lost: UDP, and DTLS above it.
    Udp,
    /// A byte stream, which loses nothing and knows no boundaries: TCP, and TLS above it.
    Tcp,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What carries the messages.
    pub transport: Transport,
    /// Who the client is; without, a 401 ends a request.
    pub credentials: Option<Credentials>,
    /// What the client makes of SHA-256.
    pub sha256: Sha256,
    /// When requests are sent again and given up.
    pub retransmission: Retransmission,
    /// Whether allocation, permissions and channels are refreshed before they expire.
    pub keep_alive: bool,
    /// Whether every message ends with FINGERPRINT. RFC 8489 §7.
    pub fingerprint: bool,
}

impl Config {
    /// A client without credentials that asks only what it is told to ask.
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
