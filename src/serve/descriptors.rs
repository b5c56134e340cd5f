//! File descriptors: every allocation takes one, every TCP client another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises this process's limit as far as it may, and says so if that is too little for `ports`.
pub(super) fn raise(ports: usize) {
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
    let wanted = ports as u64 + OTHERS;
    if granted.is_some_and(|granted| granted < wanted) {
        warn!(
            granted,
            wanted,
            "the limit of open files is lower than the relay ports: allocations will be refused \
             with 508 before the ports are used up (LimitNOFILE= in the unit, or `ulimit -n`)"
        );
    }
}

/// Listeners, runtimes, logs, and some TCP clients.
const OTHERS: u64 = 256;
