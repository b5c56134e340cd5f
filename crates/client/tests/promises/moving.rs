//! The allocation follows the client to another address. RFC 8016.

use std::time::Duration;

use client::{AllocateOptions, Event, Transport};
use wire::attributes::{Lifetime, MobilityTicket, XorMappedAddress, XorRelayedAddress};
use wire::{Message, Method};

use crate::server::{Answer, key, mapped, relayed};
use crate::world::{World, allocated, failed, refused};

const LIFETIME: Duration = Duration::from_secs(600);

/// A client whose allocation came with this ticket, or without any.
fn allocated_with(ticket: Option<&[u8]>) -> World {
    let mut world = World::udp();
    // The server names realm and nonce.
    world.client.refresh(world.now, LIFETIME);
    world.exchange();
    while world.client.poll_event().is_some() {}
    let options = AllocateOptions {
        mobile: true,
        ..AllocateOptions::default()
    };
    world.client.allocate(world.now, options);
    let mut answer = Answer::success(&world.packet())
        .put(&XorRelayedAddress(relayed()))
        .put(&XorMappedAddress(mapped()))
        .put(&Lifetime(600));
    if let Some(ticket) = ticket {
        answer = answer.put(&MobilityTicket(ticket));
    }
    world.input(&answer.signed(&key()));
    assert_eq!(world.event(), allocated());
    world
}

/// The ticket that the client shows in its next packet, and that packet.
fn shown(world: &mut World) -> (Vec<u8>, Vec<u8>) {
    let packet = world.packet();
    let message = Message::parse(&packet).expect("a message");
    assert_eq!(message.method(), Method::Refresh);
    let MobilityTicket(ticket) = message.get().ok().flatten().expect("a ticket");
    (ticket.to_vec(), packet.clone())
}

#[test]
fn a_client_shows_the_ticket_that_it_was_given_last() {
    let mut world = allocated_with(Some(b"first"));
    assert!(world.client.relocate(world.now, Transport::Udp, LIFETIME));
    let (ticket, packet) = shown(&mut world);
    assert_eq!(ticket, b"first");
    let answer = Answer::success(&packet)
        .put(&Lifetime(600))
        .put(&MobilityTicket(b"second"));
    world.input(&answer.signed(&key()));
    let lifetime = LIFETIME;
    assert_eq!(world.event(), Event::Refreshed { lifetime });
    world.client.relocate(world.now, Transport::Udp, LIFETIME);
    assert_eq!(shown(&mut world).0, b"second");
}

#[test]
fn a_client_without_a_ticket_has_nothing_to_take_along() {
    let mut world = allocated_with(None);
    assert!(!world.client.relocate(world.now, Transport::Udp, LIFETIME));
    assert_eq!(world.client.poll_transmit(), None);
    // A client whose next allocation came without a ticket has none either.
    let mut world = allocated_with(Some(b"ticket"));
    world.allocate();
    assert!(!world.client.relocate(world.now, Transport::Udp, LIFETIME));
}

#[test]
fn a_client_that_is_refused_hears_why_and_its_ticket_is_in_no_log() {
    let mut world = allocated_with(Some(b"secret"));
    world.client.relocate(world.now, Transport::Udp, LIFETIME);
    let (_, packet) = shown(&mut world);
    world.input(&Answer::error(&packet, 437, "").signed(&key()));
    let event = world.event();
    let Event::Failed { request, .. } = event.clone() else {
        panic!("{event:?}");
    };
    assert!(!format!("{request:?}").contains("115, 101, 99"));
    assert_eq!(event, failed(request, refused(437, "")));
}

#[test]
fn a_stream_that_was_broken_is_a_new_one_after_a_move() {
    let mut world = allocated_with(Some(b"ticket"));
    world.client.relocate(world.now, Transport::Tcp, LIFETIME);
    world.input(b"\xFF no frame begins so");
    while world.client.poll_event().is_some() {}
    while world.client.poll_transmit().is_some() {}
    world.client.relocate(world.now, Transport::Tcp, LIFETIME);
    let (_, packet) = shown(&mut world);
    let answer = Answer::success(&packet).put(&Lifetime(600));
    world.input(&answer.signed(&key()));
    let lifetime = LIFETIME;
    assert_eq!(world.event(), Event::Refreshed { lifetime });
}
