//! Why nothing could be measured.

use std::io;
use std::net::SocketAddr;

use client::Failure;

/// A sentence for the person who measures.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The plan makes no sense.
    #[error("{0}")]
    Plan(&'static str),
    /// The host refused a socket or a thread.
    #[error("cannot {doing}: {source}")]
    Host {
        /// The action that was tried.
        doing: &'static str,
        /// The host's words.
        source: io::Error,
    },
    /// The server cannot be reached.
    #[error("cannot connect to {server}: {source}")]
    Connect {
        /// The server.
        server: SocketAddr,
        /// The host's words.
        source: io::Error,
    },
    /// The server refused a request that the load needs.
    #[error("{what} was not granted: {why}{hint}", hint = hint(.why, *.peer))]
    Refused {
        /// The request.
        what: &'static str,
        /// The server's words.
        why: Failure,
        /// The peer that it was about.
        peer: Option<SocketAddr>,
    },
    /// The server did not answer while the load was prepared.
    #[error("{server} does not answer (request {what})")]
    Silent {
        /// The server.
        server: SocketAddr,
        /// The request.
        what: &'static str,
    },
    /// A client's packets do not come out at the relayed address.
    #[error(
        "no packet gets through: {from} has an allocation at {relayed}, but nothing that it sends arrives at \
         {to} from there. Does a firewall or a NAT stand between?"
    )]
    NoWay {
        /// The client.
        from: SocketAddr,
        /// The relayed transport address, as the server says.
        relayed: SocketAddr,
        /// The receiver.
        to: SocketAddr,
    },
    /// A peer's packets to the relayed address do not come to the client.
    #[error(
        "no packet gets back: {relayed} should be the relayed address of {to}, but nothing that {from} sends to it \
         arrives. It may be somebody else's, so no load goes there. Does a firewall or a NAT stand between?"
    )]
    NoWayBack {
        /// The peer.
        from: SocketAddr,
        /// The relayed transport address, as the server says.
        relayed: SocketAddr,
        /// The client.
        to: SocketAddr,
    },
    /// The process cannot be looked at.
    #[error("cannot read the accounts of process {pid}: {source} (option --pid)")]
    Process {
        /// Its id.
        pid: i32,
        /// Why not.
        source: procfs::ProcError,
    },
    /// The certificates cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread failed, which only a fault in this program can bring about.
    #[error("a thread of the load failed")]
    Thread,
}

impl Fault {
    pub(crate) fn host(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { doing, source }
    }

    pub(crate) fn errno(doing: &'static str) -> impl FnOnce(nix::errno::Errno) -> Self {
        move |errno| Self::Host {
            doing,
            source: errno.into(),
        }
    }
}

/// How the person who measures their own server gets on.
fn hint(why: &Failure, peer: Option<SocketAddr>) -> String {
    match (why, peer) {
        (Failure::Refused { code: 403, .. }, Some(peer)) => format!(
            ". The server denies peer {}: allow it while you measure (`allow` in [peers] of Hairpin, \
             --allow-loopback-peers or --allowed-peer-ip of coturn), or name another address of \
             this host with --peer",
            peer.ip()
        ),
        (Failure::Refused { code: 486, .. }, _) => {
            ". The server allows one user, or the realm, fewer allocations: raise that limit while you \
             measure (`per-user` in [allocation] of Hairpin, or `total` of the realm; the cause is in its \
             log), or lower --flows"
                .to_owned()
        }
        (Failure::Refused { code: 401, .. }, _) => {
            ". User and password, or the secret, are not the server's".to_owned()
        }
        _ => String::new(),
    }
}
