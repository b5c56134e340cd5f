//! File descriptors: every allocation takes one, every TCP client another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises this process's limit as far as allowed. Returns how many TCP clients may be served at once,
/// so that they leave a descriptor for every port; logs if these are fewer than configured.
pub(super) fn raise(ports: usize, connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "cannot raise the limit of open files");
        }
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let free = usize::try_from(granted).unwrap_or(usize::MAX);
    let free = free.saturating_sub(OTHERS);
    let share = share(free, ports, connections);
    if share < connections {
        warn!(
            granted,
            wanted = ports + connections + OTHERS,
            connections = share,
            allocations = ports.min(free - share),
            "the limit of open files is lower than relay ports and TCP clients together: only so \
             many connections are served, and so many allocations (LimitNOFILE= in the unit, or \
             `ulimit -n`; keys `connections` in [tcp], `ports` in [relay])"
        );
    }
    share
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
    fn tcp_clients_take_what_the_ports_leave_and_a_quarter_at_least() {
        assert_eq!(share(524_032, 16_384, 16_384), 16_384);
        assert_eq!(share(20_000, 16_384, 16_384), 5_000);
        assert_eq!(share(24_000, 16_384, 16_384), 7_616);
        assert_eq!(share(768, 16_384, 16_384), 192);
        assert_eq!(share(768, 16_384, 100), 100);
        assert_eq!(share(0, 16_384, 100), 0);
    }
}
