//! TCP allocations. RFC 6062.

use client::{AllocateOptions, DropReason, Event};
use wire::attributes::{ConnectionId, RequestedTransport, XorPeerAddress};
use wire::{Class, Message, Method, TransactionId, Writer};

use crate::server::{Answer, key};
use crate::world::{World, peer};

/// A server's message about a peer that has connected.
fn attempt(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut packet = Vec::new();
    let (class, id) = (Class::Indication, TransactionId::new([9; 12]));
    fill(&mut Writer::new(
        &mut packet,
        Method::ConnectionAttempt,
        class,
        id,
    ));
    packet
}

#[test]
fn a_tcp_allocation_is_asked_for_by_its_protocol() {
    let mut world = World::tcp();
    let options = AllocateOptions {
        tcp: true,
        ..AllocateOptions::default()
    };
    world.client.allocate(world.now, options);
    let packet = world.packet();
    let message = Message::parse(&packet).unwrap();
    assert_eq!(message.get(), Ok(Some(RequestedTransport::TCP)));
}

#[test]
fn connections_are_told_by_their_names() {
    let mut world = World::tcp();
    world.allocate();
    world.client.connect(world.now, peer(1));
    world.exchange();
    let connection = ConnectionId(7);
    let peer_1 = peer(1);
    let event = Event::Connected {
        peer: peer_1,
        connection,
    };
    assert_eq!(world.event(), event);
    world.input(&attempt(|writer| {
        writer.put(&ConnectionId(8)).put(&XorPeerAddress(peer(2)));
    }));
    let event = Event::ConnectionAttempt {
        peer: peer(2),
        connection: ConnectionId(8),
    };
    assert_eq!(world.event(), event);
}

#[test]
fn news_of_a_peer_without_its_address_or_name_is_ignored() {
    let mut world = World::tcp();
    world.allocate();
    world.input(&attempt(|writer| {
        writer.put(&ConnectionId(8));
    }));
    world.input(&attempt(|writer| {
        writer.put(&XorPeerAddress(peer(2)));
    }));
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::Malformed), 2);
}

#[test]
fn what_follows_the_success_of_a_bind_is_data_even_in_the_same_read() {
    let mut world = World::tcp();
    world.allocate();
    let connection = ConnectionId(7);
    world.client.bind_connection(world.now, connection);
    let request = world.packet();
    let mut bytes = Answer::success(&request).signed(&key());
    bytes.extend_from_slice(b"no frame");
    world.input(&bytes);
    let bound = Event::ConnectionBound { connection };
    assert_eq!(world.client.poll_event(), Some(bound));
    assert_eq!(world.event(), Event::Bytes(b"no frame".to_vec()));
    world.input(&[0; 20]);
    assert_eq!(world.event(), Event::Bytes(vec![0; 20]));
}
