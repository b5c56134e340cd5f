//! Signaling as browsers and ill-behaved clients see it: the server's WebSocket, at the wire.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crowd;
mod rights;
mod wire;

use std::net::{IpAddr, SocketAddr};

use lab::{setup::Setup, world::SERVER_V4};

/// The same server with open rooms.
fn open(setup: Setup) -> Setup {
    setup.with(
        "http.listen = '0.0.0.0:8080'\nsignal.enabled = true\nsignal.open = true\n\
         auth.secrets = ['3vQ0cW1hZ2ljIG51bWJlcnM=']",
    )
}

/// Waits for what clients do.
fn run<T>(clients: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(clients)
}

/// Where the rooms of a server of [`lab::server::serving`] are.
const SIGNAL: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER_V4), 8080);
