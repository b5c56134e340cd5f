//! Faults: reasons why the shards cannot start, which the operator has to mend.

use std::io;
use std::net::SocketAddr;

use crate::Transports;

/// Why the shards cannot start. Each names the key to change.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A listener cannot be bound.
    #[error(
        "cannot listen on {} {listen}: {source} (key `listen` of a [[listener]]){}",
        .transports.protocol(),
        hint(*.transports, .source)
    )]
    Listen {
        /// The transports of the listener.
        transports: Transports,
        /// The address of the listener.
        listen: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A new listener would take the clients of another one, whose calls go on.
    #[error(
        "cannot listen on {} {listen} while the server runs: {other} has the port, and the calls on it \
         would break (key `listen` of a [[listener]]); restart the server for this, or take another port",
        .transports.protocol()
    )]
    Overlaps {
        /// The transports of the new listener.
        transports: Transports,
        /// Its address.
        listen: SocketAddr,
        /// The other's address.
        other: SocketAddr,
    },
    /// A listener would no longer understand the clients that it has.
    #[error(
        "the listener udp {listen} cannot become {} from {} while the server runs: it serves clients of \
         both by one socket (key `transport` of a [[listener]]); restart the server for this",
        .new.name(),
        .old.name()
    )]
    Unlearned {
        /// The address of the listener.
        listen: SocketAddr,
        /// The transports that it takes.
        old: Transports,
        /// Those that it would take.
        new: Transports,
    },
    /// A shard cannot take the socket of a listener.
    #[error("cannot serve the new listeners: {0} (table [[listener]])")]
    Listeners(io::Error),
    /// The port for the partner cannot be bound.
    #[error(
        "cannot listen for the partner on udp {listen}: {source} (key `port` in [nat-discovery]){}",
        hint(Transports::Datagrams, .source)
    )]
    Partner {
        /// The address for the partner.
        listen: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The offer for clients over TLS cannot be made.
    #[error("cannot serve TLS: {0} (table [tls])")]
    Tls(rustls::Error),
    /// The library for DTLS finds its own cryptography wrong.
    #[error("cannot serve DTLS: its cryptography fails its own test (table [dtls])")]
    Dtls,
    /// A listener takes TLS or DTLS, and there is nothing to show its clients.
    #[error(
        "the listener {listen} needs a certificate, and there is none (key `certificates` in [tls])"
    )]
    NoCertificate {
        /// The address of the listener.
        listen: SocketAddr,
    },
    /// A shard's thread or runtime cannot be made.
    #[error("cannot start a shard: {0} (key `threads`)")]
    Shard(io::Error),
}

fn hint(transports: Transports, source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AddrInUse {
        if transports.are_streams() {
            "; another program, perhaps another TURN server, has this port: `ss -lntp` shows which"
        } else {
            "; another program, perhaps another TURN server, has this port: `ss -lnup` shows which"
        }
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        "; ports below 1024 need CAP_NET_BIND_SERVICE, which the systemd unit grants, or pass the socket: \
         packaging/systemd/hairpin.socket"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_shows_who_has_a_port_is_that_of_its_transport() {
        for (transports, command) in [
            (Transports::Datagrams, "`ss -lnup`"),
            (Transports::Streams, "`ss -lntp`"),
        ] {
            let fault = Fault::Listen {
                transports,
                listen: SocketAddr::from(([0; 4], 3478)),
                source: io::ErrorKind::AddrInUse.into(),
            };
            assert!(fault.to_string().contains(command), "{fault}");
        }
    }
}
