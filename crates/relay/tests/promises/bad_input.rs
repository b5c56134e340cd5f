//! Bytes that no client should send: nothing panics, only requests are answered, and the session
//! beside them loses nothing. The world checks every answer that is given.

use relay::DropReason::{self, UnexpectedResponse, UnknownIndication};
use sim::Outcome::{Answered, AnsweredAs, AtClient, AtPeer, IcmpAtClient, Lost, NoSocket, Silent};
use sim::{Client, Outcome, Peer, Request, World, assert_lost, minutes};
use wire::{Kind, Message};

/// The packets of a whole session, from the first Binding to the end, and of its mistakes.
fn session(world: &mut World, client: Client, peer: Peer) -> Vec<Vec<u8>> {
    let requests = [
        Request::binding().fingerprint(),
        Request::allocate().unsigned(),
        Request::allocate().lifetime(minutes(10)).fingerprint(),
        Request::create_permission([peer, peer.on_port(9)]),
        Request::channel_bind(0x4000, peer),
        Request::send(peer, b"hello"),
        Request::send(peer, b"hello").fingerprint(),
        Request::refresh(minutes(20)),
        Request::refresh(minutes(0)).fingerprint(),
    ];
    let mut packets: Vec<_> = requests
        .iter()
        .map(|request| client.write(world, request))
        .collect();
    packets.push(vec![0x40, 0x00, 0x00, 0x05, b'h', b'e', b'l', b'l', b'o']);
    packets
}

/// A session that goes on whatever happens beside it.
struct Bystander {
    client: Client,
    peer: Peer,
}

impl Bystander {
    fn new(world: &mut World) -> Self {
        let (client, peer) = (world.client("bob"), world.peer());
        client.allocate(world, minutes(60));
        client.bind(world, peer);
        Self { client, peer }
    }

    #[track_caller]
    fn assert_undisturbed(&self, world: &mut World) {
        let relayed = self.client.relayed(world);
        self.client.reaches(world, self.peer, b"out");
        let heard = self.peer.send(world, relayed, b"in");
        assert!(matches!(heard, AtClient { client, .. } if client == self.client));
    }
}

/// A packet that is no request, or no message at all, must not be answered.
#[track_caller]
fn assert_fitting(packet: &[u8], outcome: &Outcome) {
    match outcome {
        // The world has checked that this is a request and the answer its own.
        Answered(_) | AnsweredAs(..) | Lost(_) | Silent => {}
        AtPeer { .. } | AtClient { .. } => assert!(
            Kind::of(packet) == Some(Kind::ChannelData) || Message::parse(packet).is_ok(),
            "relayed, and yet no message"
        ),
        NoSocket => panic!("sent to a port of this host"),
        IcmpAtClient { .. } => panic!("nobody has said so"),
    }
}

#[test]
fn every_prefix_of_every_packet_is_harmless() {
    let mut world = World::new();
    let beside = Bystander::new(&mut world);
    let (alice, peer) = (world.client("alice"), world.peer());
    for packet in session(&mut world, alice, peer) {
        for length in 0..packet.len() {
            let prefix = &packet[..length];
            let outcome = alice.packet(&mut world, prefix);
            assert!(
                matches!(outcome, Lost(DropReason::Malformed | DropReason::Foreign)),
                "{length} of {}: {outcome:?}",
                packet.len()
            );
        }
        beside.assert_undisturbed(&mut world);
        // The whole packet still has its effect, and the next one meets another state.
        assert_fitting(&packet, &alice.packet(&mut world, &packet));
    }
    beside.assert_undisturbed(&mut world);
}

#[test]
fn every_byte_of_every_packet_may_be_wrong() {
    let mut world = World::new();
    let beside = Bystander::new(&mut world);
    let (alice, peer) = (world.client("alice"), world.peer());
    for packet in session(&mut world, alice, peer) {
        for at in 0..packet.len() {
            for change in [0x01, 0x80, 0xFF, 0x7F, 0x10] {
                let mut wrong = packet.clone();
                wrong[at] ^= change;
                let outcome = alice.packet(&mut world, &wrong);
                assert_fitting(&wrong, &outcome);
            }
        }
        beside.assert_undisturbed(&mut world);
        alice.packet(&mut world, &packet);
    }
}

#[test]
fn every_first_byte_leads_where_it_should() {
    let (mut world, alice) = World::of_alice();
    let packet = alice.write(&mut world, &Request::binding());
    for first in 0..=255 {
        let mut packet = packet.clone();
        packet[0] = first;
        let outcome = alice.packet(&mut world, &packet);
        let expected = match first {
            0x00 => {
                assert!(matches!(outcome, Answered(_)));
                continue;
            }
            0x01 => UnexpectedResponse,
            // Other methods: 0x0081 and up.
            0x02 => DropReason::UnknownMethod,
            0x03 => UnexpectedResponse,
            0x40..=0x7F => DropReason::NoChannel,
            _ => DropReason::Foreign,
        };
        assert_eq!(outcome, Lost(expected), "{first:#04x}");
    }
}

#[test]
fn packets_of_one_byte_repeated_are_harmless() {
    let mut world = World::new();
    let beside = Bystander::new(&mut world);
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    for byte in 0..=255 {
        for length in [1, 3, 4, 19, 20, 21, 24, 28, 100, 1500] {
            let packet = vec![byte; length];
            assert_fitting(&packet, &alice.packet(&mut world, &packet));
        }
    }
    beside.assert_undisturbed(&mut world);
    assert_eq!(world.allocations(), 2);
}

#[test]
fn a_response_is_never_answered() {
    let (mut world, alice) = World::of_alice();
    let mut responses: Vec<Vec<u8>> = Vec::new();
    for request in [
        Request::binding(),
        Request::allocate().unsigned(),
        Request::allocate(),
        Request::allocate(),
    ] {
        let answer = alice.ask(&mut world, request);
        responses.push(answer.as_bytes().to_vec());
    }
    for response in responses {
        assert_lost(alice.packet(&mut world, &response), UnexpectedResponse);
    }
}

#[test]
fn an_indication_that_no_client_sends_is_dropped() {
    use wire::Method::{Allocate, ChannelBind, CreatePermission, Data, Other, Refresh};
    let (mut world, alice) = World::of_alice();
    for method in [
        Allocate,
        Refresh,
        Data,
        CreatePermission,
        ChannelBind,
        Other(0x0AB),
    ] {
        let outcome = alice.tell(&mut world, Request::indication(method));
        assert_lost(outcome, UnknownIndication);
    }
}
