//! The lab: a small world of its own for every test, the server running in it, and clients that
//! were not written here.
//!
//! Only `live`, the project's own client, knows packets. A test describes its server (`Setup`),
//! starts it (`World::serve`), runs a client against it and reads the client's output.

pub mod authority;
pub mod board;
pub mod browser;
pub mod credentials;
pub mod foreign;
pub mod internet;
pub mod live;
pub mod machine;
pub mod namespaces;
pub mod nat;
pub mod program;
pub mod raw;
pub mod sdp;
pub mod server;
pub mod servers;
pub mod setup;
pub mod socket;
pub mod talks;
pub mod turn_client;
pub mod world;

use std::{
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
