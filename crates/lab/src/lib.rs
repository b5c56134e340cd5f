//! The lab: a small world of its own for every black-box test, servers running in it, and clients.
//!
//! A test says which server it wants (`Setup`, to which it adds the keys that it is about), starts it
//! (`serving`, `World::serve`, `Server::start`, `servers::hairpin`), runs clients against it and reads
//! what they and the server wrote. The server is a process, the binary that Cargo has built: nothing
//! here links its crates. Only `live`, the project's own client, knows packets.

pub mod authority;
pub mod bad_line;
pub mod board;
pub mod browser;
pub mod credentials;
pub mod daemons;
pub mod driven;
pub mod foreign;
pub mod internet;
pub mod live;
pub mod machine;
pub mod modules;
pub mod namespaces;
pub mod nat;
pub mod pebble;
pub mod program;
pub mod raw;
pub mod sdp;
pub mod server;
pub mod servers;
pub mod setup;
pub mod socket;
pub mod talks;
pub mod terminal;
pub mod tls;
pub mod traffic;
pub mod turn_client;
pub mod world;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Longer than any answer takes on a busy machine, and short enough to wait for in vain.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until there is a value; fails with `what` if there never is.
#[track_caller]
pub fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a mutex guards, also after a thread has panicked with it: a test that fails still tells what it knows.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
