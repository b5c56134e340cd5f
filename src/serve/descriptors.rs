//! File descriptors: every allocation takes one, every TCP client another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises this process's limit as far as allowed, and logs if that is too little for all ports and
/// all TCP clients at once.
pub(super) fn raise(ports: usize, connections: usize) {
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
    let granted = getrlimit(Resource::Nofile).current;
    let wanted = (ports + connections) as u64 + OTHERS;
    if granted.is_some_and(|granted| granted < wanted) {
        warn!(
            granted,
            wanted,
            "the limit of open files is lower than relay ports and TCP clients together: \
             allocations will be refused with 508 before the ports are used up \
             (LimitNOFILE= in the unit, or `ulimit -n`; keys `ports` in [relay], `connections` \
             in [tcp])"
        );
    }
}

/// For listeners, runtimes and logs.
const OTHERS: u64 = 256;
