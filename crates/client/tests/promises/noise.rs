//! The same calls give the same results, and no input does harm.

use std::time::Duration;

use client::{AllocateOptions, Client, DropReason, Event, Transport};
use proptest::prelude::*;

use crate::server::Server;
use crate::world::{World, alice, peer};

/// All packets and events of a client in a session with losses.
fn transcript(seed: u8) -> (Vec<Vec<u8>>, Vec<Event>) {
    let mut world = World::udp();
    world.client = Client::new(alice(Transport::Udp), [seed; 32]);
    let mut said = Vec::new();
    world.client.binding(world.now);
    world
        .client
        .request(world.now, wire::Method::Refresh, |_| {});
    world.client.send(peer(1), b"data").unwrap();
    for round in 0..40 {
        while let Some(packet) = world.client.poll_transmit() {
            let answer = world.server.answer(&packet).filter(|_| round % 3 == 0);
            said.push(packet);
            if let Some(answer) = answer {
                world.input(&answer);
            }
        }
        world.sleep();
    }
    let events = std::iter::from_fn(|| world.client.poll_event()).collect();
    (said, events)
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    assert_eq!(transcript(1), transcript(1));
    assert_ne!(transcript(1).0, transcript(2).0);
}

#[test]
fn what_is_no_message_is_ignored_and_counted() {
    let mut world = World::udp();
    for packet in [
        &b""[..],
        b"\0",
        b"hello",
        b"\x40\x00\x00\x09short",
        b"\xff\xff",
    ] {
        world.input(packet);
    }
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::Malformed), 5);
}

#[test]
fn every_reason_to_drop_has_a_count_of_its_own() {
    let client = World::udp().client;
    for (index, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
        assert_eq!(client.dropped(reason), 0);
    }
}

#[test]
fn one_changed_byte_never_turns_a_signed_answer_into_another() {
    let mut server = Server::new();
    let mut world = World::udp();
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    world.input(&server.answer(&unsigned).unwrap());
    let signed = world.packet();
    let answer = server.answer(&signed).unwrap();
    for at in 0..answer.len() {
        for bit in 0..8 {
            let mut forged = answer.clone();
            forged[at] ^= 1 << bit;
            world.input(&forged);
            assert_eq!(world.client.poll_event(), None, "byte {at} bit {bit}");
        }
    }
    world.input(&answer);
    assert!(matches!(world.event(), Event::Allocated { .. }));
}

proptest! {
    #[test]
    fn no_input_does_harm(
        packets in prop::collection::vec(noise(), 0..30),
        is_stream in any::<bool>(),
    ) {
        let mut world = if is_stream { World::tcp() } else { World::udp() };
        world.allocate();
        world.client.bind_channel(world.now, peer(1));
        world.client.refresh(world.now, Duration::from_secs(60));
        for packet in packets {
            world.input(&packet);
            world.sleep();
        }
        while world.sleep().is_some() {}
        let outcomes = std::iter::from_fn(|| world.client.poll_event())
            .filter(|event| !matches!(event, Event::Data { .. } | Event::StreamBroken(_)))
            .count();
        prop_assert_eq!(outcomes, 2, "every request ends once");
    }
}

/// Bytes of any kind, often with a header of a message.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    (0..4, bytes).prop_map(|(kind, mut bytes)| {
        let length = bytes.len() as u8;
        if let [b0, b1, b2, b3, rest @ ..] = bytes.as_mut_slice() {
            match kind {
                0 => return bytes,
                1 => (*b0, *b1, *b2, *b3) = (0x40, 0, 0, length - 4),
                _ => {
                    (*b0, *b2, *b3) = (*b0 & 1, 0, length.saturating_sub(20) & !3);
                    for (byte, cookie) in rest.iter_mut().zip([0x21, 0x12, 0xA4, 0x42]) {
                        *byte = cookie;
                    }
                    bytes.truncate(20 + (usize::from(length).saturating_sub(20) & !3));
                }
            }
        }
        bytes
    })
}
