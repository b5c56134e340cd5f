//! The forwarder as a program. `cargo xtask bench` shows that packets pass.

use std::net::UdpSocket;
use std::process::{Command, Output};

#[test]
fn a_forwarder_that_is_not_told_how_says_how_it_is_used() {
    for arguments in [&[][..], &["sideways", "127.0.0.1:0"], &["plain"]] {
        let refused = forwarder(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains("plain|offload"), "{told}");
    }
}

#[test]
fn a_forwarder_ends_where_its_address_is_taken() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address").to_string();
    for how in ["plain", "offload"] {
        assert_eq!(forwarder(&[how, &listen]).status.code(), Some(1), "{how}");
    }
}

fn forwarder(arguments: &[&str]) -> Output {
    let mut forwarder = Command::new(env!("CARGO_BIN_EXE_forwarder"));
    forwarder.args(arguments).output().expect("the forwarder")
}
