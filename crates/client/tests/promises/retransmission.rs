//! RFC 8489 §6.2.1, §6.2.2.

use std::time::Duration;

use client::{Client, Config, Failure, Request, Transport};
use wire::Message;

use crate::server::Answer;
use crate::world::{World, failed};

/// When the client sends, in milliseconds from the start, and when it gives up.
fn schedule(world: &mut World) -> (Vec<u128>, u128) {
    let first = world.packet();
    let mut sent = vec![0];
    while let Some(at) = world.sleep() {
        let Some(packet) = world.client.poll_transmit() else {
            return (sent, at.as_millis());
        };
        assert_eq!(packet, first, "a request is sent again as it was");
        sent.push(at.as_millis());
    }
    panic!("the client never gave up");
}

#[test]
fn a_datagram_request_is_sent_seven_times_in_31_5_seconds_and_given_up_after_39_5() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let (sent, given_up) = schedule(&mut world);
    assert_eq!(sent, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(given_up, 39_500);
    assert_eq!(world.event(), failed(Request::Binding, Failure::Timeout));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_stream_request_is_sent_once_and_given_up_after_39_5_seconds() {
    let mut world = World::tcp();
    world.client.binding(world.now);
    assert_eq!(schedule(&mut world), (vec![0], 39_500));
    assert_eq!(world.event(), failed(Request::Binding, Failure::Timeout));
}

#[test]
fn the_schedule_is_configurable() {
    let mut config = Config::new(Transport::Udp);
    config.retransmission.rto = Duration::from_millis(100);
    config.retransmission.requests = 3;
    config.retransmission.last_wait = 4;
    let mut world = World::new(config.clone());
    world.client.binding(world.now);
    assert_eq!(schedule(&mut world), (vec![0, 100, 300], 700));

    config.retransmission.requests = 1;
    let mut world = World::new(config);
    world.client.binding(world.now);
    assert_eq!(schedule(&mut world), (vec![0], 400));
}

#[test]
fn waking_early_changes_nothing() {
    let mut world = World::udp();
    world.client.binding(world.now);
    world.packet();
    for millis in 0..500 {
        let early = world.now + Duration::from_millis(millis);
        world.client.handle_timeout(early);
        assert_eq!(world.client.poll_transmit(), None);
    }
    assert_eq!(world.sleep(), Some(Duration::from_millis(500)));
    world.packet();
}

#[test]
fn waking_late_sends_once_and_waits_from_then_on() {
    let mut world = World::udp();
    world.client.binding(world.now);
    world.packet();
    world.now += Duration::from_secs(5);
    world.client.handle_timeout(world.now);
    world.packet();
    assert_eq!(world.sleep(), Some(Duration::from_secs(6)));
}

#[test]
fn an_answered_request_is_not_sent_again() {
    let mut world = World::udp();
    world.client.binding(world.now);
    world.exchange();
    world.event();
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn the_answer_to_an_earlier_sending_counts() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let first = world.packet();
    world.sleep();
    world.packet();
    let answer = world.server.answer(&first).unwrap();
    world.input(&answer);
    assert!(matches!(world.event(), client::Event::Bound { .. }));
}

#[test]
fn requests_in_flight_keep_their_own_time() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let first = world.packet();
    world.now += Duration::from_millis(200);
    world.client.binding(world.now);
    let second = world.packet();
    let id = |packet: &[u8]| Message::parse(packet).unwrap().transaction();
    assert_ne!(id(&first), id(&second));

    assert_eq!(world.sleep(), Some(Duration::from_millis(500)));
    assert_eq!(world.packet(), first);
    assert_eq!(world.sleep(), Some(Duration::from_millis(700)));
    assert_eq!(world.packet(), second);
    world.input(&Answer::error(&first, 500, "").unsigned());
    world.event();
    assert_eq!(world.sleep(), Some(Duration::from_millis(1700)));
    assert_eq!(world.packet(), second);
}

#[test]
fn a_client_can_be_handed_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Client>();
}
