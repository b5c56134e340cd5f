//! The server of these tests, on the test's own host.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
};

use lab::{program::here, setup::Setup};

/// The server's address, unless a test says otherwise. The host is the test's own, and so is the
/// port.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3478);

/// The server of most tests.
pub(crate) fn setup() -> Setup {
    setup_at(&[SERVER])
}

/// The same at these addresses. One shard, so that all clients share it and any disturbance reaches
/// them; its relay ports are below those that clients get from the system.
pub(crate) fn setup_at(listeners: &[SocketAddr]) -> Setup {
    Setup::at(listeners, &[SERVER.ip()])
        .with("threads = 1\nrelay.ports = '20000-29999'\nauth.failures-per-minute = 0\npeers.allow = ['127.0.0.0/8']")
}

/// A program that may use only this processor.
pub(crate) fn on_processor(number: &str, program: &str) -> Command {
    let mut taskset = here("taskset");
    taskset.args(["-c", number, program]);
    taskset
}
