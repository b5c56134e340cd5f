//! The same protocol over a byte stream. RFC 8489 §6.2.2, RFC 8656 §3.1.

use client::{Event, Failure, Request};
use proptest::prelude::*;
use wire::stream::FrameError;

use crate::relaying::data_indication;
use crate::server::Server;
use crate::world::{World, failed, peer};

/// The events of a client during a whole session whose stream is cut at these places.
fn session(cuts: &[usize]) -> Vec<Event> {
    let mut world = World::tcp();
    world.allocate();
    world.client.bind_channel(world.now, peer(1)).unwrap();
    world.client.create_permission(world.now, &[peer(2)]);
    world.client.binding(world.now);
    let mut stream = Vec::new();
    while let Some(packet) = world.client.poll_transmit() {
        stream.extend(world.server.answer(&packet).unwrap());
    }
    stream.extend(b"\x40\x00\x00\x05hello\0\0\0");
    stream.extend(data_indication(peer(2), b"world"));
    stream.extend(b"\x40\x00\x00\x00");

    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % stream.len()).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        world.input(&stream[pair[0]..pair[1]]);
    }
    std::iter::from_fn(|| world.client.poll_event()).collect()
}

#[test]
fn a_stream_split_at_every_byte_says_the_same() {
    let whole = session(&[]);
    assert_eq!(whole.len(), 6);
    let everywhere: Vec<usize> = (0..2000).collect();
    assert_eq!(session(&everywhere), whole);
}

proptest! {
    #[test]
    fn a_stream_split_anywhere_says_the_same(cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(session(&cuts), session(&[]));
    }
}

#[test]
fn a_stream_that_loses_its_frames_ends_every_request() {
    let mut world = World::tcp();
    world.client.binding(world.now);
    world.input(b"HTTP/1.1 400 Bad Request\r\n");
    let broken = FrameError::Unknown;
    // An H begins ChannelData. The next bytes are its length, and nothing is read before all of it
    // is there.
    assert_eq!(world.client.poll_event(), None);
    world.input(&[0xFF; 25_000]);
    assert_eq!(
        world.client.poll_event(),
        Some(failed(Request::Binding, Failure::StreamBroken(broken)))
    );
    assert_eq!(world.event(), Event::StreamBroken(broken));
    assert_eq!(world.client.poll_timeout(), None);

    world.input(&data_indication(peer(1), b"too late"));
    assert_eq!(world.client.poll_event(), None);
}

#[test]
fn a_stun_length_that_is_no_multiple_of_four_is_told_as_what_it_is() {
    let mut world = World::tcp();
    world.client.binding(world.now);
    world.input(b"\x01\x01\x00\x0D");
    let broken = FrameError::Uneven { length: 13 };
    let failure = Failure::StreamBroken(broken);
    assert_eq!(
        failure.to_string(),
        "the stream broke: a STUN length of 13, which is no multiple of four"
    );
    assert_eq!(
        world.client.poll_event(),
        Some(failed(Request::Binding, failure))
    );
    assert_eq!(world.event(), Event::StreamBroken(broken));
}

#[test]
fn a_whole_session_runs_over_a_stream() {
    let mut world = World::tcp();
    world.allocate();
    world.server = Server::new();
    world.server.nonce = "nonce-2";
    world.client.create_permission(world.now, &[peer(1)]);
    world.exchange();
    assert!(matches!(world.event(), Event::PermissionCreated { .. }));
    assert_eq!(world.client.poll_timeout(), None);
}
