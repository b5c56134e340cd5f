//! The quality of a call, as it is seen between the client and its peers.

use std::sync::Arc;
use std::time::Duration;

use relay::{
    Answer, ChannelNumber, Command, Leg, Loss, Places, Quality, Report, Rules, Selection, Shown,
    Stream,
};
use sim::{Client, Peer, World, minutes, seconds};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A way for data between a client and its peer.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub(crate) client: Client,
    peer: Peer,
    /// `None` for indications.
    channel: Option<ChannelNumber>,
}

impl Path {
    pub(crate) fn on_a_channel(world: &mut World) -> Self {
        let mut path = Self::by_indications(world);
        path.channel = Some(path.client.bind(world, path.peer));
        path
    }

    fn by_indications(world: &mut World) -> Self {
        let (client, peer) = (world.client("alice"), world.peer());
        client.allocate(world, minutes(10));
        client.permit(world, peer);
        Self {
            client,
            peer,
            channel: None,
        }
    }

    /// The client sends data that arrives.
    fn out(self, world: &mut World, data: &[u8]) {
        let relayed = self.client.relayed(world);
        let outcome = match self.channel {
            Some(channel) => self.client.send_on(world, channel, data),
            None => self.client.send(world, self.peer, data),
        };
        assert_eq!(outcome, self.peer.hears(relayed, data));
    }

    /// The peer sends data that arrives.
    fn inward(self, world: &mut World, data: &[u8]) {
        match self.channel {
            Some(channel) => self.peer.reaches_on(world, self.client, channel, data),
            None => self.peer.reaches(world, self.client, data),
        }
    }

    /// Speech for so many seconds, each way, of which these do not come.
    pub(crate) fn talk(self, world: &mut World, length: u32, lost: impl Fn(Way, u32) -> bool) {
        for place in 0..length * 50 {
            if !lost(Way::Out, place) {
                self.out(world, &speech(1, place));
            }
            if !lost(Way::In, place) {
                self.inward(world, &speech(2, place));
            }
            world.advance(20 * MILLISECOND);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    Out,
    In,
}

/// A packet of speech, every 20 ms: the number is near its wrap at first.
fn speech(ssrc: u32, place: u32) -> Vec<u8> {
    rtp(
        ssrc,
        place.wrapping_sub(100) as u16,
        place.wrapping_mul(960),
    )
}

fn rtp(ssrc: u32, number: u16, timestamp: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(number.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xA5; 88]);
    packet
}

/// A connectivity check or its answer, by the first two bytes.
fn check(kind: u16, id: u8) -> Vec<u8> {
    let mut packet = kind.to_be_bytes().to_vec();
    packet.extend([0, 0, 0x21, 0x12, 0xA4, 0x42]);
    packet.extend([id; 12]);
    packet
}

const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;

fn shown(world: &mut World, client: Client) -> Shown {
    let id = world.relay_of(client).allocation;
    let Answer::Shown(Some(shown)) = world.command(0, Command::Show(id)) else {
        panic!("there is such an allocation");
    };
    *shown
}

fn quality(world: &mut World, client: Client) -> Quality {
    shown(world, client).listed.quality.expect("it is measured")
}

fn bad_ones(world: &mut World) -> usize {
    let selection = Selection {
        bad: true,
        ..Selection::default()
    };
    let list = Command::List(selection, Places::ALL);
    let Answer::Allocations(listed, None) = world.command(0, list) else {
        panic!("a list was asked for");
    };
    listed.len()
}

fn share(loss: Loss) -> f64 {
    loss.share().expect("packets were expected")
}

fn assert_about(found: Option<Duration>, expected: Duration) {
    let found = found.expect("it was measured");
    let off = found.abs_diff(expected);
    assert!(off <= expected / 50, "{found:?} for {expected:?}");
}

#[test]
fn loss_is_found_on_the_leg_that_loses_and_not_on_the_other() {
    for lossy in [Way::Out, Way::In] {
        for begin in [Path::on_a_channel, Path::by_indications] {
            let mut world = World::new();
            let path = begin(&mut world);
            path.talk(&mut world, 30, |way, place| way == lossy && place % 50 == 7);
            let Quality { client, peer } = quality(&mut world, path.client);
            let (bad, good) = match lossy {
                Way::Out => (client, peer),
                Way::In => (peer, client),
            };
            assert_eq!((bad.whole.expected, bad.whole.lost), (1500, 30));
            assert!((share(bad.recent) - 0.02).abs() < 0.002, "{bad:?}");
            assert_eq!((good.whole.expected, good.whole.lost), (1500, 0));
            assert_eq!(share(good.recent), 0.0);
            assert_eq!((client.streams, peer.streams), (1, 1));
        }
    }
}

#[test]
fn loss_of_long_ago_is_not_recent_and_is_not_forgotten() {
    let (mut world, path) = world_with_a_channel();
    path.talk(&mut world, 10, |_, place| place % 10 == 3);
    path.talk(&mut world, 0, |_, _| false);
    for place in 500..2000 {
        path.out(&mut world, &speech(1, place));
        world.advance(20 * MILLISECOND);
    }
    let Leg { recent, whole, .. } = quality(&mut world, path.client).client;
    assert_eq!(recent.lost, 0);
    assert_eq!(
        whole,
        Loss {
            expected: 2000,
            lost: 50
        }
    );
}

fn world_with_a_channel() -> (World, Path) {
    let mut world = World::new();
    let path = Path::on_a_channel(&mut world);
    (world, path)
}

#[test]
fn a_packet_that_is_overtaken_is_late_and_not_lost() {
    let (mut world, path) = world_with_a_channel();
    for place in 0..500_u32 {
        // Each tenth changes places with the next.
        let place = match place % 10 {
            8 => place + 1,
            9 => place - 1,
            _ => place,
        };
        path.inward(&mut world, &speech(2, place));
        world.advance(20 * MILLISECOND);
    }
    let peer = quality(&mut world, path.client).peer;
    assert_eq!((peer.whole.lost, peer.reordered), (0, 50));
}

#[test]
fn a_round_trip_is_from_a_check_that_is_relayed_to_its_answer() {
    for answer in [SUCCESS, ERROR] {
        for begin in [Path::on_a_channel, Path::by_indications] {
            let mut world = World::new();
            let path = begin(&mut world);
            for id in 0..10 {
                path.out(&mut world, &check(REQUEST, id));
                world.advance(60 * MILLISECOND);
                path.inward(&mut world, &check(answer, id));
                world.advance(seconds(5));
                path.inward(&mut world, &check(REQUEST, id + 100));
                world.advance(15 * MILLISECOND);
                path.out(&mut world, &check(answer, id + 100));
            }
            let Quality { client, peer } = quality(&mut world, path.client);
            assert_about(peer.round_trip, 60 * MILLISECOND);
            assert_about(client.round_trip, 15 * MILLISECOND);
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_measures_nothing() {
    let (mut world, path) = world_with_a_channel();
    path.out(&mut world, &check(REQUEST, 1));
    // From the wrong side, of another request, and one that came before.
    world.advance(MILLISECOND);
    path.out(&mut world, &check(SUCCESS, 1));
    path.inward(&mut world, &check(SUCCESS, 2));
    let Quality { client, peer } = quality(&mut world, path.client);
    assert_eq!((client.round_trip, peer.round_trip), (None, None));
    world.advance(59 * MILLISECOND);
    path.inward(&mut world, &check(SUCCESS, 1));
    world.advance(seconds(1));
    path.inward(&mut world, &check(SUCCESS, 1));
    assert_about(
        quality(&mut world, path.client).peer.round_trip,
        60 * MILLISECOND,
    );
}

#[test]
fn jitter_is_that_of_arrival_whatever_the_clock() {
    for (clock, every) in [(8_000, 20), (48_000, 20), (90_000, 33)] {
        let (mut world, path) = world_with_a_channel();
        for place in 0..1000_u32 {
            let late = u64::from(place * 7919 % 20);
            world.advance(Duration::from_millis(late));
            let timestamp = place * every * (clock / 1000);
            path.out(&mut world, &rtp(1, place as u16, timestamp));
            world.advance(Duration::from_millis(u64::from(every).max(20) - late));
        }
        let shown = shown(&mut world, path.client);
        let [
            Stream {
                clock: found,
                jitter,
                ssrc: 1,
                from_client: true,
                ..
            },
        ] = shown.streams[..]
        else {
            panic!("{:?}", shown.streams);
        };
        assert_eq!(found, Some(clock));
        // Two times of 20 even ones are 6.65 ms apart in the mean.
        let jitter = jitter.expect("it was measured");
        let expected = Duration::from_millis(4)..Duration::from_millis(10);
        assert!(expected.contains(&jitter), "{jitter:?} at {clock}");
        assert_eq!(shown.listed.quality.unwrap().client.jitter, Some(jitter));
    }
}

#[test]
fn frames_of_many_packets_have_no_jitter_by_that() {
    let (mut world, path) = world_with_a_channel();
    let mut number = 0;
    for frame in 0..600_u32 {
        for _ in 0..12 {
            path.inward(&mut world, &rtp(9, number, frame * 3000));
            number += 1;
            world.advance(MILLISECOND);
        }
        world.advance(Duration::from_micros(33_333 - 12_000));
    }
    let jitter = quality(&mut world, path.client).peer.jitter;
    assert!(jitter.is_some_and(|it| it < MILLISECOND), "{jitter:?}");
}

#[test]
fn the_rate_is_that_of_the_data_without_headers() {
    let (mut world, path) = world_with_a_channel();
    path.talk(&mut world, 30, |way, _| way == Way::In);
    let Quality { client, peer } = quality(&mut world, path.client);
    // 50 packets of 100 bytes a second.
    assert!((39_000..=41_000).contains(&client.bitrate), "{client:?}");
    assert_eq!(peer.bitrate, 0);
    world.advance(seconds(30));
    let client = quality(&mut world, path.client).client;
    assert_eq!(
        (client.bitrate, client.streams, client.recent),
        (0, 0, Loss::default())
    );
}

#[test]
fn data_is_told_apart_by_its_first_bytes() {
    let (mut world, path) = world_with_a_channel();
    for first in 0..=255 {
        let mut data = vec![first; 60];
        data[1] = 200;
        let stun = check(REQUEST, first);
        // STUN and TURN are read beyond their first byte.
        path.out(&mut world, if first == 0 { &stun } else { &data });
    }
    path.out(&mut world, &[0x80]);
    path.out(&mut world, &speech(1, 0));
    let contents = quality(&mut world, path.client).client.contents;
    assert_eq!((contents.stun, contents.dtls, contents.turn), (4, 44, 16));
    assert_eq!(
        (contents.quic, contents.rtcp, contents.rtp),
        (48 + 64, 64, 1)
    );
    assert_eq!(contents.other, 16 + 1);
}

#[test]
fn from_relay_to_relay_the_peer_leg_of_each_is_the_client_leg_of_the_other() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let at_alice = alice.allocate(&mut world, minutes(10));
    let at_bob = bob.allocate(&mut world, minutes(10));
    alice.permit(&mut world, at_bob);
    bob.permit(&mut world, at_alice);
    for id in 0..10 {
        alice.send(&mut world, at_bob, &check(REQUEST, id));
        world.advance(80 * MILLISECOND);
        bob.send(&mut world, at_alice, &check(SUCCESS, id));
        bob.send(&mut world, at_alice, &check(REQUEST, id + 100));
        world.advance(10 * MILLISECOND);
        alice.send(&mut world, at_bob, &check(SUCCESS, id + 100));
    }
    // Of what Bob sends every tenth is lost on its way to the server.
    for place in (0..1000).filter(|place| place % 10 != 4) {
        bob.send(&mut world, at_alice, &speech(7, place));
        world.advance(20 * MILLISECOND);
    }
    let (of_alice, of_bob) = (quality(&mut world, alice), quality(&mut world, bob));
    for bobs in [of_alice.peer, of_bob.client] {
        assert_about(bobs.round_trip, 80 * MILLISECOND);
        assert_eq!(
            bobs.whole,
            Loss {
                expected: 1000,
                lost: 100
            }
        );
        assert!(bobs.bad.loss && !bobs.bad.round_trip);
    }
    for alices in [of_alice.client, of_bob.peer] {
        assert_about(alices.round_trip, 10 * MILLISECOND);
        assert_eq!(alices.whole.expected, 0);
        assert!(!alices.bad.is_any());
    }
}

#[test]
fn a_leg_is_bad_beyond_a_threshold_and_can_be_asked_for() {
    let mut world = World::ruled(|rules| {
        let thresholds = rules.quality.as_mut().unwrap();
        thresholds.round_trip = 50 * MILLISECOND;
        thresholds.loss = 50;
    });
    let path = Path::on_a_channel(&mut world);
    path.talk(&mut world, 20, |way, place| {
        way == Way::Out && place % 25 == 3
    });
    assert_eq!(bad_ones(&mut world), 0);
    assert_eq!(world.counters().bad_client_legs, 0);
    path.talk(&mut world, 20, |way, place| {
        way == Way::Out && place % 10 == 3
    });
    let Quality { client, peer } = quality(&mut world, path.client);
    assert!(client.bad.loss && !client.bad.round_trip && !client.bad.jitter);
    assert!(!peer.bad.is_any());
    assert_eq!(bad_ones(&mut world), 1);
    let counters = world.counters();
    assert_eq!((counters.bad_client_legs, counters.bad_peer_legs), (1, 0));

    path.out(&mut world, &check(REQUEST, 1));
    world.advance(51 * MILLISECOND);
    path.inward(&mut world, &check(SUCCESS, 1));
    assert!(quality(&mut world, path.client).peer.bad.round_trip);

    path.client.delete(&mut world);
    let counters = world.counters();
    assert_eq!((counters.bad_client_legs, counters.bad_peer_legs), (0, 0));
    assert_eq!(bad_ones(&mut world), 0);
}

/// Few packets of a stream are looked at, and between two looks it has not ended.
#[test]
fn a_stream_of_a_few_packets_a_second_is_told_of_all_the_time() {
    for gap in [90, 110, 150, 170, 190, 210, 400, 900] {
        let (mut world, path) = world_with_a_channel();
        for place in 0..300 {
            path.out(&mut world, &speech(1, place));
            let told = quality(&mut world, path.client).client.streams;
            assert!(place < 10 || told == 1, "{place} packets, {gap} ms apart");
            world.advance(gap * MILLISECOND);
        }
    }
}

#[test]
fn a_few_lost_packets_of_a_few_are_not_bad() {
    let (mut world, path) = world_with_a_channel();
    for place in [0, 1, 2, 5, 6, 9] {
        path.out(&mut world, &speech(1, place));
    }
    let client = quality(&mut world, path.client).client;
    assert_eq!(
        client.whole,
        Loss {
            expected: 10,
            lost: 4
        }
    );
    assert!(!client.bad.is_any());
}

#[test]
fn the_end_of_an_allocation_tells_how_it_was_however_long_it_was_silent() {
    let (mut world, path) = world_with_a_channel();
    path.talk(&mut world, 30, |way, place| {
        way == Way::In && place % 10 == 3
    });
    path.out(&mut world, &check(REQUEST, 1));
    world.advance(60 * MILLISECOND);
    path.inward(&mut world, &check(SUCCESS, 1));
    world.reports();
    world.advance(minutes(15));
    let reports = world.reports();
    let [
        Report::Ended {
            quality: Some(quality),
            ..
        },
    ] = &reports[..]
    else {
        panic!("{reports:?}");
    };
    let Quality { client, peer } = **quality;
    assert_about(peer.round_trip, 60 * MILLISECOND);
    assert_eq!(
        peer.whole,
        Loss {
            expected: 1500,
            lost: 150
        }
    );
    assert_eq!(
        (client.whole.lost, client.jitter),
        (0, Some(Duration::ZERO))
    );
}

#[test]
fn nothing_is_measured_where_that_is_off_and_it_may_be_turned_on_and_off() {
    let mut world = World::ruled(|rules| rules.quality = None);
    let path = Path::on_a_channel(&mut world);
    path.talk(&mut world, 1, |_, _| false);
    assert_eq!(shown(&mut world, path.client).listed.quality, None);

    world.change_rules(rules(true));
    path.client.permit(&mut world, path.peer);
    path.talk(&mut world, 30, |_, place| place % 10 == 3);
    assert!(quality(&mut world, path.client).client.bad.loss);
    assert_eq!(world.counters().bad_peer_legs, 1);

    world.change_rules(rules(false));
    path.client.permit(&mut world, path.peer);
    path.talk(&mut world, 1, |_, _| false);
    let shown = shown(&mut world, path.client);
    assert_eq!((shown.listed.quality, &shown.streams[..]), (None, &[][..]));
    assert_eq!(world.counters().bad_peer_legs, 0);
}

fn rules(is_measured: bool) -> Rules {
    let mut rules = Arc::into_inner(sim::config().rules).expect("nobody has them yet");
    if !is_measured {
        rules.quality = None;
    }
    rules
}

#[test]
fn an_allocation_without_permissions_has_no_quality() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    assert_eq!(shown(&mut world, alice).listed.quality, None);
}

#[test]
fn no_flood_of_sources_is_believed_or_hides_the_streams_that_are() {
    let (mut world, path) = world_with_a_channel();
    for place in 0..1500_u32 {
        path.out(&mut world, &speech(1, place));
        for flood in 0..5_u32 {
            let ssrc = (place * 5 + flood).wrapping_mul(0x9E37_79B9);
            path.out(&mut world, &rtp(ssrc, ssrc as u16, ssrc));
        }
        world.advance(20 * MILLISECOND);
    }
    let client = quality(&mut world, path.client).client;
    assert_eq!(
        client.whole,
        Loss {
            expected: 1500,
            lost: 0
        }
    );
    assert_eq!((client.streams, client.contents.rtp), (1, 9000));
}

#[test]
fn more_streams_than_are_followed_at_a_time_leave_those_be_that_came_first() {
    let (mut world, path) = world_with_a_channel();
    for place in 0..500 {
        for ssrc in 0..20 {
            path.inward(&mut world, &speech(ssrc, place));
        }
        world.advance(20 * MILLISECOND);
    }
    let peer = quality(&mut world, path.client).peer;
    assert_eq!((peer.streams, peer.whole.lost), (6, 0));
    assert_eq!(peer.whole.expected, 6 * 500);
    assert_eq!(peer.contents.rtp, 20 * 500);
    // They make room once they are silent.
    world.advance(seconds(11));
    for place in 500..1000 {
        path.inward(&mut world, &speech(99, place));
        world.advance(20 * MILLISECOND);
    }
    let streams = shown(&mut world, path.client).streams;
    assert!(streams.iter().any(|it| it.ssrc == 99), "{streams:?}");
}

#[test]
fn quality_outlives_an_upgrade() {
    let (mut world, path) = world_with_a_channel();
    path.talk(&mut world, 30, |way, place| {
        way == Way::Out && place % 10 == 3
    });
    path.out(&mut world, &check(REQUEST, 1));
    world.advance(60 * MILLISECOND);
    path.inward(&mut world, &check(SUCCESS, 1));
    let before = quality(&mut world, path.client);
    world.upgrade(seconds(1));
    let after = quality(&mut world, path.client);
    assert_eq!(after.client.whole, before.client.whole);
    assert_eq!(after.client.contents, before.client.contents);
    assert_eq!(after.peer.round_trip, before.peer.round_trip);
    // Packets that were sent during the pause are not lost by the network.
    for place in 1600..1700 {
        path.out(&mut world, &speech(1, place));
    }
    let lost = quality(&mut world, path.client).client.whole.lost;
    assert_eq!(lost, before.client.whole.lost);
}
