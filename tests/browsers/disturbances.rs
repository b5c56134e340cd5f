//! Peers, and hosts that forge a peer's address, cannot disturb a call.
//!
//! A permission is for an address, so any program of a peer's host can send to a browser's relayed
//! address, and so can a host that forges that address. Each browser calls itself over UDP and over
//! TCP, and permits a stranger, which then disturbs all four ends.

use std::{
    collections::HashSet,
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use lab::{
    PATIENCE,
    browser::Browser,
    raw::{tell_unreachable, udp_packet},
    setup::Setup,
    talks::{End, Plan, Stranger, Talks},
    wait_for,
    world::{PEER_V4, World, in_own_world},
};

#[test]
fn a_large_datagram_of_a_peer_does_not_end_a_call_in_chromium() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Chromium, Setup::default(), send_large);
        assert_said(&log, r#" cause="indication-too-long" packets=4"#);
    });
}

/// Firefox ends its connection to the server at a Data indication of more than 2,048 bytes.
#[test]
fn a_large_datagram_of_a_peer_does_not_end_a_call_in_firefox() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Firefox, Setup::default(), send_large);
        assert_said(&log, r#" cause="indication-too-long" packets=4"#);
    });
}

#[test]
fn an_empty_datagram_of_a_peer_does_not_end_a_call_in_chromium() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Chromium, Setup::default(), send_empty);
        assert_said(&log, r#" cause="empty-datagram" packets=4"#);
    });
}

#[test]
fn an_empty_datagram_of_a_peer_does_not_end_a_call_in_firefox() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Firefox, Setup::default(), send_empty);
        assert_said(&log, r#" cause="empty-datagram" packets=4"#);
    });
}

#[test]
fn a_peers_closed_port_does_not_end_a_call_in_chromium() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Chromium, told_of_losses(), close_port);
        assert_said(&log, " icmp=4");
    });
}

#[test]
fn a_peers_closed_port_does_not_end_a_call_in_firefox() {
    in_own_world(|world| {
        let log = disturb(world, Browser::Firefox, told_of_losses(), close_port);
        assert_said(&log, " icmp=4");
    });
}

/// The setup of a server that tells every client of ICMP errors.
fn told_of_losses() -> Setup {
    Setup::default().with("allocation.icmp = 'always'")
}

/// Lets a browser call itself, and a stranger that it permits act on every relayed address of it,
/// twice over UDP and twice over TCP. Returns the server's log.
#[track_caller]
fn disturb(
    world: &World,
    browser: Browser,
    setup: Setup,
    disturbance: impl Fn(&UdpSocket, SocketAddrV4),
) -> String {
    let mut server = world.serve(setup);
    let call = |transport| [End { browser, transport }; 2];
    let stranger = UdpSocket::bind(STRANGER).expect("a free port");
    let mut talks = Talks::begin(Plan {
        calls: &[call("udp"), call("tcp")],
        strangers: &[Stranger {
            at: STRANGER,
            is_first: true,
        }],
        meets_again: false,
        duration: Duration::from_secs(4),
    });
    let mut permitted = HashSet::new();
    for relayed in talks.relayed() {
        // Its connectivity check comes through the relay, once there is a permission.
        wait_for("a check of the browser", PATIENCE, || {
            permitted
                .contains(&relayed.into())
                .then_some(())
                .or_else(|| {
                    permitted.insert(heard_from(&stranger)?);
                    None
                })
        });
        disturbance(&stranger, relayed);
    }
    talks.assert_went_on();
    server.stop().output
}

fn heard_from(stranger: &UdpSocket) -> Option<SocketAddr> {
    let patience = Some(Duration::from_millis(100));
    stranger.set_read_timeout(patience).expect("not zero");
    let (_, from) = stranger.recv_from(&mut [0; 512]).ok()?;
    Some(from)
}

#[track_caller]
fn assert_said(log: &str, what: &str) {
    assert!(
        log.lines().any(|line| line.ends_with(what)),
        "{what}: {log}"
    );
}

/// Datagrams of three sizes: the largest that Firefox takes over TCP, the next one, and a larger
/// one.
fn send_large(stranger: &UdpSocket, relayed: SocketAddrV4) {
    for length in [2_012, 2_013, 2_100] {
        let sent = stranger.send_to(&vec![b'x'; length], relayed);
        sent.expect("a datagram that fits");
    }
}

fn send_empty(stranger: &UdpSocket, relayed: SocketAddrV4) {
    stranger.send_to(&[], relayed).expect("an empty datagram");
}

/// The stranger's host reports that it refused an empty datagram of the relay.
fn close_port(_: &UdpSocket, relayed: SocketAddrV4) {
    let refused = udp_packet(&[], relayed, STRANGER);
    tell_unreachable(3, 0, &refused, *STRANGER.ip(), *relayed.ip());
}

const STRANGER: SocketAddrV4 = SocketAddrV4::new(PEER_V4, 9999);
