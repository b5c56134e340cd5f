//! Application data: Send and Data indications, ChannelData. RFC 8656 §11, §12.

use std::net::SocketAddr;

use relay::DropReason::{
    EmptyDatagram, IncompleteSend, IndicationTooLong, Malformed, NoAllocation, NoCookie,
    NoPermission, NoRelay, TooLarge, UnknownAttribute,
};
use relay::{AddressFamily, Traffic};
use sim::Outcome::{AtClient, Lost, Silent};
use sim::{LOCAL, Request, World, assert_lost, minutes};
use wire::attributes::{Data, XorPeerAddress};
use wire::{Attribute, Method, TransactionId};

use crate::icmp::allocate_both;

#[test]
fn a_payload_of_any_length_arrives_whole() {
    let mut world = World::ruled(|rules| rules.limits.stream_indication = 65_535);
    let (alice, peer) = (world.client("alice"), world.peer());
    let (bob, far) = (world.tcp_client("bob"), world.peer());
    for (client, peer) in [(alice, peer), (bob, far)] {
        client.allocate(&mut world, minutes(10));
        client.permit(&mut world, peer);
        let bound = peer.on_port(9);
        let channel = client.bind(&mut world, bound);
        for length in [0, 1, 2, 3, 4, 5, 1199, 1200, 1201, 9000] {
            let payload = &vec![0xA5; length];
            client.reaches(&mut world, peer, payload);
            peer.reaches(&mut world, client, payload);
            client.reaches(&mut world, bound, payload);
            bound.reaches_on(&mut world, client, channel, payload);
        }
    }
}

#[test]
fn ipv6_peers_are_reached_the_same_way() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer_v6());
    let v6 = Request::allocate().family(AddressFamily::V6);
    assert!(alice.ask(&mut world, v6).is_success());
    alice.relayed(&world);
    alice.permit(&mut world, peer);
    alice.reaches(&mut world, peer, b"hi");
    peer.reaches(&mut world, alice, b"ho");
    let channel = alice.bind(&mut world, peer);
    peer.reaches_on(&mut world, alice, channel, b"ho");
}

#[test]
fn a_send_indication_lacking_peer_or_data_is_dropped() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let send = || Request::indication(Method::Send);
    for incomplete in [
        send().peer(peer),
        send().put(Data(b"x")),
        send().put_raw(XorPeerAddress::TYPE, b"?").put(Data(b"x")),
        send().put_raw(XorPeerAddress::TYPE, b"?"),
    ] {
        assert_lost(alice.tell(&mut world, incomplete), IncompleteSend);
    }
}

/// pjnath sends it as its keepalive.
#[test]
fn a_send_indication_with_neither_peer_nor_data_is_a_keepalive_and_no_error() {
    let mut world = World::new();
    let (alice, stranger) = (world.client("alice"), world.client("bob"));
    alice.allocate(&mut world, minutes(10));
    for client in [alice, stranger] {
        let blank = Request::indication(Method::Send);
        assert_eq!(client.tell(&mut world, blank), Silent);
    }
    assert_eq!(world.counters().dropped(IncompleteSend), 0);
    // It is still a message whose required attributes must be understood.
    let strange = Request::indication(Method::Send).put_raw(0x7FFF, b"");
    assert_lost(alice.tell(&mut world, strange), UnknownAttribute);
}

#[test]
fn a_send_indication_that_is_not_understood_is_dropped_without_a_word() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let strange = Request::send(peer, b"x").put_raw(0x7FFF, b"");
    assert_lost(alice.tell(&mut world, strange), UnknownAttribute);
    let relayed = alice.relayed(&world);
    let harmless = Request::send(peer, b"x").put_raw(0x8FFF, b"");
    assert_eq!(alice.tell(&mut world, harmless), peer.hears(relayed, b"x"));
}

#[test]
fn a_send_indication_without_the_cookie_is_dropped() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let old = Request::send(peer, b"x").in_transaction(TransactionId::from_header([1; 16]));
    assert_lost(alice.tell(&mut world, old), NoCookie);
}

#[test]
fn a_send_indication_without_allocation_is_dropped() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    assert_lost(alice.send(&mut world, peer, b"x"), NoAllocation);
}

#[test]
fn a_client_may_put_a_fingerprint_under_its_indications() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let request = Request::send(peer, b"x").fingerprint();
    assert_eq!(alice.tell(&mut world, request), peer.hears(relayed, b"x"));
}

#[test]
fn channel_data_may_be_padded_and_the_padding_is_not_data() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    for padded in [&[0x40, 0, 0, 1, b'x'][..], &[0x40, 0, 0, 1, b'x', 0, 0, 0]] {
        assert_eq!(alice.packet(&mut world, padded), peer.hears(relayed, b"x"));
    }
}

#[test]
fn channel_data_longer_than_its_packet_is_dropped() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    for cut in [&[0x40, 0, 0, 2, b'x'][..], &[0x40, 0, 0], &[0x40]] {
        assert_lost(alice.packet(&mut world, cut), Malformed);
    }
}

#[test]
fn what_fits_no_datagram_is_dropped_and_counted() {
    let mut world = World::new();
    let (alice, peer) = (world.tcp_client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    let largest = &vec![1; 65_507];
    alice.reaches(&mut world, peer, largest);
    assert_lost(alice.send(&mut world, peer, &vec![1; 65_508]), TooLarge);
    assert_eq!(world.counters().dropped(TooLarge), 1);
}

#[test]
fn what_does_not_fit_with_its_header_is_dropped_and_counted() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let bound = peer.on_port(9);
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    alice.bind(&mut world, bound);
    // 65,507 bytes of a datagram, less a header of 4, or of 36 with padding to 4.
    for (from, fits) in [(bound, 65_503), (peer, 65_468)] {
        let outcome = from.send(&mut world, relayed, &vec![1; fits]);
        assert!(matches!(outcome, AtClient { .. }), "{fits}");
        let outcome = from.send(&mut world, relayed, &vec![1; fits + 1]);
        assert_eq!(outcome, Lost(TooLarge), "{fits} and one");
    }
}

#[test]
fn the_largest_datagram_of_an_ipv4_peer_reaches_a_client_on_a_stream_by_channel() {
    let mut world = World::new();
    let (alice, peer) = (world.tcp_client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    let payload = &vec![1; 65_507];
    peer.reaches_on(&mut world, alice, channel, payload);
}

/// Firefox ends its connection at a Data indication of more than 2,048 bytes, and any peer of its
/// could send one.
#[test]
fn no_data_indication_on_a_stream_is_longer_than_the_limit() {
    let mut world = World::new();
    let (alice, bob) = (world.tcp_client("alice"), world.client("bob"));
    let (peer, far) = (world.peer(), world.peer_v6());
    for (client, is_stream) in [(alice, true), (bob, false)] {
        let both = allocate_both(&mut world, client);
        client.permit(&mut world, peer);
        client.permit(&mut world, far);
        // 2,048 bytes less a header of 36, or of 48 where the peer has an IPv6 address.
        for (from, relayed, fits) in [(peer, both[0], 2_012), (far, both[1], 2_000)] {
            let outcome = from.send(&mut world, relayed, &vec![1; fits]);
            assert!(matches!(outcome, AtClient { .. }), "{fits}");
            let outcome = from.send(&mut world, relayed, &vec![1; fits + 1]);
            if is_stream {
                assert_lost(outcome, IndicationTooLong);
            } else {
                assert!(matches!(outcome, AtClient { .. }));
            }
        }
    }
}

/// libnice writes behind the end of its buffer and pion falls out of step.
#[test]
fn no_frame_on_a_stream_is_longer_than_65_535_bytes_whatever_is_configured() {
    let mut world = World::ruled(|rules| rules.limits.stream_indication = usize::MAX);
    let (alice, peer) = (world.tcp_client("alice"), world.peer());
    let bound = peer.on_port(9);
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    alice.bind(&mut world, bound);
    for (from, fits, beyond) in [(bound, 65_507, TooLarge), (peer, 65_496, IndicationTooLong)] {
        let outcome = from.send(&mut world, relayed, &vec![1; fits]);
        assert!(matches!(outcome, AtClient { .. }), "{fits}");
        let outcome = from.send(&mut world, relayed, &vec![1; fits + 1]);
        assert_eq!(outcome, Lost(beyond));
        // The length fields have sixteen bits, and no peer of a real host sends as much.
        for length in [65_520, 0x1_0000, 0x1_0001] {
            let outcome = from.send(&mut world, relayed, &vec![1; length]);
            assert_eq!(outcome, Lost(TooLarge), "{length}");
        }
    }
}

/// libdatachannel and aiortc take an empty datagram for the end of the call, and a permission is for
/// an address: whoever can forge one packet could end it.
#[test]
fn an_empty_datagram_reaches_only_a_client_that_has_sent_one_itself() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let (bob, far) = (world.tcp_client("bob"), world.peer());
    for (client, peer) in [(alice, peer), (bob, far)] {
        let bound = peer.on_port(9);
        for way in [peer, bound] {
            let relayed = client.allocate(&mut world, minutes(10));
            client.permit(&mut world, peer);
            let channel = client.bind(&mut world, bound);
            for from in [peer, bound] {
                assert_lost(from.send(&mut world, relayed, b""), EmptyDatagram);
            }
            assert_eq!(client.send(&mut world, way, b""), way.hears(relayed, b""));
            assert_eq!(peer.send(&mut world, relayed, b""), client.hears(peer, b""));
            bound.reaches_on(&mut world, client, channel, b"");
            // The next allocation begins without it.
            client.delete(&mut world);
        }
    }
}

#[test]
fn an_empty_datagram_that_never_left_shows_nothing() {
    let mut world = World::new();
    let (alice, peer, other) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    assert_lost(alice.send(&mut world, other, b""), NoPermission);
    let nobody = SocketAddr::new(LOCAL, 60_000);
    alice.permit(&mut world, nobody);
    assert_lost(alice.send(&mut world, nobody, b""), NoRelay);
    assert_lost(peer.send(&mut world, relayed, b""), EmptyDatagram);
}

#[test]
fn traffic_is_counted_both_ways_without_headers() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    alice.send(&mut world, peer, b"four");
    alice.bind(&mut world, peer);
    alice.send(&mut world, peer, b"fives");
    peer.send(&mut world, relayed, b"three");
    alice.delete(&mut world);
    let reports = world.reports();
    let Some(relay::Report::Ended { sent, received, .. }) = reports.last() else {
        panic!("{reports:?}");
    };
    let (out, back) = (
        Traffic {
            packets: 2,
            bytes: 9,
        },
        Traffic {
            packets: 1,
            bytes: 5,
        },
    );
    assert_eq!((*sent, *received), (out, back));
    assert_eq!(world.counters().sent, out);
    assert_eq!(world.counters().received, back);
}

#[test]
fn data_for_an_allocation_that_is_gone_finds_no_socket() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    alice.delete(&mut world);
    assert_eq!(peer.send(&mut world, relayed, b"x"), sim::Outcome::NoSocket);
}
