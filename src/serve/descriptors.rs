//! File descriptors: every allocation takes one, every TCP client another, or two if it is a web
//! server's, and every browser one.

use net::{QUIC_FLOWS, WebOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// How many connections may be served at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Of TCP clients of the relay.
    pub(super) tcp: usize,
    /// Of browsers.
    pub(super) http: usize,
}

/// Raises this process's limit as far as allowed. Returns how many connections may be served at once,
/// so that they leave a descriptor for every port and flow of QUIC; logs if these are fewer than
/// configured.
pub(super) fn raise(ports: usize, connections: usize, web: WebOptions, browsers: usize) -> Shares {
    let sockets = ports + web.quic.map_or(0, |_| QUIC_FLOWS);
    let of_connection = web.https.map_or(1, |_| 2);
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "descriptors.unraised: cannot raise the limit of open files");
        }
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let free = usize::try_from(granted).unwrap_or(usize::MAX);
    let free = free.saturating_sub(OTHERS);
    let http = of_browsers(free, browsers);
    let free = free - http;
    let share = share(free, sockets, connections * of_connection) / of_connection;
    if share < connections || http < browsers {
        warn!(
            granted,
            wanted = sockets + connections * of_connection + browsers + OTHERS,
            connections = share,
            browsers = http,
            allocations = ports.min(free - share * of_connection),
            "descriptors.limited: the limit of open files is lower than relay ports and TCP clients together, so that no more \
             connections and allocations are served than these (raise LimitNOFILE= in the unit, or \
             `ulimit -n`; or lower `connections` in [tcp] and [http], or `ports` in [relay])"
        );
    }
    Shares { tcp: share, http }
}

/// The descriptors that browsers may take of those that are free: an eighth, for the relay comes first.
fn of_browsers(free: usize, browsers: usize) -> usize {
    browsers.min(free / 8)
}

/// The descriptors that TCP clients may take of those that are free: the ports come first. Where the
/// ports alone are too many, a quarter is left to TCP, which is the only way in for some clients.
fn share(free: usize, ports: usize, connections: usize) -> usize {
    let left = free.saturating_sub(ports).max(free / 4);
    connections.min(left)
}

/// For listeners, runtimes and logs.
const OTHERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_take_an_eighth_at_most() {
        assert_eq!(of_browsers(524_032, 8192), 8192);
        assert_eq!(of_browsers(20_000, 8192), 2500);
        assert_eq!(of_browsers(0, 8192), 0);
    }

    #[test]
    fn tcp_clients_take_what_the_ports_leave_and_a_quarter_at_least() {
        assert_eq!(share(524_032, 16_384, 16_384), 16_384);
        assert_eq!(share(20_000, 16_384, 16_384), 5_000);
        assert_eq!(share(24_000, 16_384, 16_384), 7_616);
        assert_eq!(share(768, 16_384, 16_384), 192);
        assert_eq!(share(768, 16_384, 100), 100);
        assert_eq!(share(0, 16_384, 100), 0);
    }
}
