//! The lab: a small world of its own for every test, the server running in it, and programs that
//! nobody here wrote as its clients.
//!
//! Nothing here but `session`, the project's own client, knows a packet. A test says what it wants of the server (`Setup`), starts it
//! (`World::serve`), lets a client loose on it and reads what the client says.

pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod world;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than any answer takes on a busy machine, short enough to wait for in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until there is something, and fails with `what` was awaited when there never is.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
