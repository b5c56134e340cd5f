//! Third parties: a host at an address that a client has tried, or one that forges it, reaches the
//! client. No datagram from there may end its call.

use std::{fmt::Debug, net::Ipv4Addr, ops::RangeBounds, time::Duration};

use lab::{
    internet::{Internet, on_the_internet},
    nat::Nat,
    program::number_after,
    raw::forge,
    sdp::with_candidate,
    server::{Server, serving},
    servers::hairpin,
    setup::Setup,
    world::PEER_V4,
};

use crate::{
    call::Call,
    stack::{
        End,
        Stack::{self, Aiortc, Chromium, Firefox, Libnice, NodeDatachannel, Pion},
    },
    turn_crate,
};

/// pion stops reading at a Data indication without DATA, which RFC 8656 §11.5 makes of an ICMP error.
#[test]
fn a_closed_port_among_the_candidates_does_not_end_a_call_of_pion() {
    on_the_internet(|internet| {
        let server = hairpin(&[1], "");
        // Its router answers that the port is closed.
        let _third = internet.home(3, Nat::None);
        let ends = [Pion.over_udp(), Aiortc.over_udp()];
        let mut call = Call::connect_told(internet, ends, |description| {
            with_candidate(description, Ipv4Addr::new(203, 0, 113, 3))
        });
        call.goes_on_for(SHORT);
        assert_dropped(&log_of(server, call), "icmp-unasked", 1..);
    });
}

/// As for pion: both have the same origin.
#[test]
fn a_closed_port_does_not_end_a_call_of_the_turn_crate() {
    serving(Setup::default(), |_, server| {
        turn_crate::converse_for(SHORT, Some((PEER_V4, 9).into()));
        assert_dropped(&server.stop().output, "icmp-unasked", 1..);
    });
}

/// They take an empty message for the end of the connection.
#[test]
fn empty_datagrams_do_not_end_a_call_of_node_datachannel() {
    on_the_internet(|internet| nothing_is_sent_to(internet, NodeDatachannel));
}

#[test]
fn empty_datagrams_do_not_end_a_call_of_aiortc() {
    on_the_internet(|internet| nothing_is_sent_to(internet, Aiortc));
}

/// As a Data indication it would be longer than the 16 bits in which pion counts a frame on a stream.
#[test]
fn the_largest_datagram_does_not_end_a_call_of_pion_over_tcp() {
    on_the_internet(|internet| the_largest_is_sent_to(internet, Pion));
}

/// Its buffer for a frame on a stream has 65,536 bytes.
#[test]
fn the_largest_datagram_does_not_end_a_call_of_libnice_over_tcp() {
    on_the_internet(|internet| the_largest_is_sent_to(internet, Libnice));
}

/// Chromium gets them on a channel, which has no limit but the stream's.
#[test]
fn large_datagrams_do_not_end_a_call_of_chromium() {
    on_the_internet(|internet| {
        let log = large_ones_are_sent_to(internet, [Chromium.over_tcp(), Chromium.over_udp()]);
        let received = number_after(&log, " received_bytes=");
        assert!(received > Some(65_507), "{log}");
        // The last one, with a channel's header, does not fit into a datagram to the end on UDP.
        assert_dropped(&log, "too-large", 1..=1);
    });
}

#[test]
fn large_datagrams_do_not_end_a_call_of_firefox() {
    on_the_internet(|internet| {
        let log = large_ones_are_sent_to(internet, [Firefox.over_tcp(), Firefox.over_udp()]);
        assert_dropped(&log, "indication-too-long", 3..=3);
        assert_dropped(&log, "too-large", 1..=1);
    });
}

/// A third host sends datagrams of all lengths to both ends of a call, each in the name of the
/// other. Returns the server's log.
fn large_ones_are_sent_to(internet: &Internet, ends: [End; 2]) -> String {
    let server = hairpin(&[1], "");
    let mut call = Call::connect(internet, ends);
    let [first, second] = call.relayed;
    for length in [2_013, 9_000, 65_507] {
        forge(&vec![b'x'; length], first, second);
        forge(&vec![b'x'; length], second, first);
        call.goes_on_for(SHORT / 3);
    }
    log_of(server, call)
}

/// A third host sends empty datagrams to both ends of a call, each in the name of the other.
fn nothing_is_sent_to(internet: &Internet, stack: Stack) {
    let server = hairpin(&[1], "");
    let mut call = Call::connect(internet, [stack.over_udp(); 2]);
    let [first, second] = call.relayed;
    for _ in 0..3 {
        forge(b"", first, second);
        forge(b"", second, first);
        call.goes_on_for(SHORT / 3);
    }
    assert_dropped(&log_of(server, call), "empty-datagram", 6..=6);
}

/// Both ends have tried a third party, which sends them the largest datagram over IPv4.
fn the_largest_is_sent_to(internet: &Internet, stack: Stack) {
    let server = hairpin(&[1], "");
    let third = internet.home(3, Nat::PortRestricted);
    let ends = [stack.over_tcp(); 2];
    let mut call = Call::connect_told(internet, ends, |description| {
        with_candidate(description, third.outside)
    });
    let socket = third.host.peer(third.inside).0;
    for _ in 0..3 {
        for relayed in call.relayed {
            let sent = socket.send_to(&[0; 65_507], relayed);
            sent.expect("it is sent");
        }
        call.goes_on_for(SHORT / 3);
    }
    assert_dropped(&log_of(server, call), "indication-too-long", 6..=6);
}

/// The log of a server that is stopped while the call still goes on.
#[track_caller]
fn log_of(mut server: Server, mut call: Call) -> String {
    // Peers report received data once a second: the last report may be about data from before the
    // last disturbance.
    call.goes_on_for(SHORT / 3);
    server.stop().output
}

/// A server that has stopped dropped so many packets for this cause: they reached it, and this rule
/// kept them from a client.
#[track_caller]
fn assert_dropped(log: &str, cause: &str, packets: impl RangeBounds<u64> + Debug) {
    let dropped = number_after(log, &format!(r#" cause="{cause}" packets="#)).unwrap_or(0);
    assert!(
        packets.contains(&dropped),
        "{cause}: {dropped}, not {packets:?}: {log}"
    );
}

const SHORT: Duration = Duration::from_secs(4);
