//! Mobility from shard to shard. RFC 8016 §3.2.2, and the order within a 5-tuple: RFC 8656 §3.
//!
//! The host is shard 0, and the client comes back by way of shard 1.

mod crossings;
mod failures;
mod races;

use relay::keys::{Mint, mint};
use relay::{
    Answer, ClientTuple, Command, DropReason, EndCause, Loss, Places, Report, Selection, Transport,
};
use sim::{Client, Outcome, Peer, Request, World, minutes, seconds};
use wire::attributes::{MobilityTicket, XorPeerAddress};

use crate::mobility::{allocate, shown, ticket};

struct Scene {
    world: World,
    /// Where alice allocated and bound a channel: shard 0.
    home: Client,
    /// The client that she moves to: shard 1.
    away: Client,
    peer: Peer,
    relayed: std::net::SocketAddr,
    ticket: Vec<u8>,
}

impl Scene {
    fn over(from: Transport, to: Transport) -> Self {
        let mut world = World::sharded(3, |_| {});
        let (home, peer) = (world.client_over(from, "alice"), world.peer());
        let ticket = allocate(home, &mut world);
        home.bind(&mut world, peer);
        let away = world.roam(home, 1, to);
        let relayed = home.relayed(&world);
        Self {
            world,
            home,
            away,
            peer,
            relayed,
            ticket,
        }
    }

    fn new() -> Self {
        Self::over(Transport::Udp, Transport::Udp)
    }

    /// The client shows its ticket in shard 1; returns the next one.
    #[track_caller]
    fn show(&mut self) -> Vec<u8> {
        ticket(&self.away.ask(&mut self.world, shown(&self.ticket)))
    }

    /// Data both ways between client and peer.
    #[track_caller]
    fn assert_served(&mut self, client: Client) {
        let Self {
            world,
            peer,
            relayed,
            ..
        } = self;
        let heard = client.send(world, *peer, b"out");
        assert_eq!(heard, peer.hears(*relayed, b"out"));
        let heard = peer.send(world, *relayed, b"in");
        let channel = client.bind(world, *peer);
        assert_eq!(heard, client.hears_on(channel, *peer, b"in"));
    }
}

#[test]
fn an_allocation_follows_its_client_to_another_shard_with_all_it_has() {
    let transports = Transport::ALL;
    for (from, to) in transports
        .map(|from| transports.map(|to| (from, to)))
        .concat()
    {
        let mut scene = Scene::over(from, to);
        let friend = scene.world.peer();
        scene.home.permit(&mut scene.world, friend);
        let next = scene.show();
        assert_ne!(next, scene.ticket);
        assert_eq!(scene.world.server(0).allocations(), 1);
        scene.assert_served(scene.away);
        // From now on the allocation is within one shard.
        assert_eq!(scene.world.server(0).allocations(), 0);
        assert_eq!(scene.world.server(1).allocations(), 1);
        scene.assert_served(scene.away);
        let heard = friend.send(&mut scene.world, scene.relayed, b"hi");
        assert_eq!(heard, scene.away.hears(friend, b"hi"));
        assert!(scene.world.server(0).is_idle());
        assert!(scene.world.late().is_empty());
        // It ends in its time.
        scene.world.advance(minutes(10));
        assert!(scene.world.is_idle());
    }
}

#[test]
fn until_the_client_settles_both_five_tuples_are_answered_and_the_old_one_has_the_data() {
    let mut scene = Scene::new();
    scene.show();
    let friend = scene.world.peer();
    for _ in 0..2 {
        scene.assert_served(scene.home);
        scene.away.permit(&mut scene.world, friend);
        let lifetime = scene.away.refresh(&mut scene.world, minutes(10));
        assert_eq!(lifetime, minutes(10));
        scene.world.advance(minutes(4));
    }
    let heard = friend.send(&mut scene.world, scene.relayed, b"hi");
    assert_eq!(heard, scene.home.hears(friend, b"hi"));
}

#[test]
fn the_same_refresh_again_hears_the_same_whichever_shard_has_the_allocation() {
    let mut scene = Scene::new();
    let packet = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    let first = scene.away.packet(&mut scene.world, &packet).answer();
    let again = scene.away.packet(&mut scene.world, &packet).answer();
    assert_eq!(again, first);
    scene.assert_served(scene.away);
    scene.world.advance(seconds(30));
    let again = scene.away.packet(&mut scene.world, &packet).answer();
    assert_eq!(again, first);
}

#[test]
fn what_a_client_sends_right_behind_its_refresh_arrives_in_its_order() {
    let mut scene = Scene::new();
    let Scene {
        world,
        away,
        peer,
        relayed,
        ticket,
        ..
    } = &mut scene;
    let refresh = away.write(world, &shown(ticket));
    world.hold_mail();
    assert_eq!(away.packet(world, &refresh), Outcome::Silent);
    let (mut heard, mut expected) = (Vec::new(), Vec::new());
    for number in 0..100_u8 {
        let sent = away.send(world, *peer, &[number]);
        heard.append(&mut world.late());
        heard.extend(Some(sent).filter(|outcome| *outcome != Outcome::Silent));
        expected.push(peer.hears(*relayed, &[number]));
        // The mail takes its way meanwhile, now slower than the client sends and now faster.
        for _ in 0..number % 4 {
            world.deliver_one();
        }
    }
    world.release_mail();
    heard.append(&mut world.late());
    assert_eq!(heard, expected);
    assert_eq!(world.server(1).allocations(), 1);
    let away = scene.away;
    scene.assert_served(away);
}

#[test]
fn a_datagram_of_a_peer_that_arrives_while_its_socket_travels_is_not_lost() {
    let mut scene = Scene::new();
    scene.show();
    let Scene {
        world,
        home,
        away,
        peer,
        relayed,
        ..
    } = &mut scene;
    let channel = home.bind(world, *peer);
    world.hold_mail();
    away.send(world, *peer, b"settled");
    world.deliver_one();
    assert_eq!(world.server(0).allocations(), 0);
    assert_eq!(peer.send(world, *relayed, b"1"), Outcome::Silent);
    assert_eq!(peer.send(world, *relayed, b"2"), Outcome::Silent);
    world.release_mail();
    let heard = world.late();
    let expected = [
        peer.hears(*relayed, b"settled"),
        away.hears_on(channel, *peer, b"1"),
        away.hears_on(channel, *peer, b"2"),
    ];
    assert_eq!(heard, expected);
}

#[test]
fn of_two_shards_that_are_shown_a_ticket_at_once_the_first_to_ask_has_it() {
    let mut scene = Scene::new();
    let rival = scene.world.roam(scene.home, 2, Transport::Udp);
    let [first, second] =
        [scene.away, rival].map(|client| client.write(&mut scene.world, &shown(&scene.ticket)));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &first);
    rival.packet(&mut scene.world, &second);
    scene.world.release_mail();
    let [granted] = &scene.away.inbox(&mut scene.world)[..] else {
        panic!("one answer");
    };
    ticket(granted);
    let [refused] = &rival.inbox(&mut scene.world)[..] else {
        panic!("one answer");
    };
    assert_eq!(refused.code(), Some(400));
    scene.assert_served(scene.away);
    // The shard of the loser keeps nothing of it.
    assert!(scene.world.server(2).is_idle());
}

#[test]
fn a_ticket_is_refused_from_another_shard_as_from_the_same() {
    let mut scene = Scene::new();
    let bob = scene.world.client_on(1, "bob");
    let stolen = bob.ask(&mut scene.world, shown(&scene.ticket));
    assert_eq!(stolen.code(), Some(441));
    let next = scene.show();
    let used = scene.world.roam(scene.home, 2, Transport::Udp);
    let answer = used.ask(&mut scene.world, shown(&scene.ticket));
    assert_eq!(answer.code(), Some(400));
    let answer = scene.away.ask(&mut scene.world, shown(&next));
    assert_eq!(answer.code(), Some(400));
    scene.home.delete(&mut scene.world);
    let answer = used.ask(&mut scene.world, shown(&next));
    assert_eq!(answer.code(), Some(437));
    assert!(scene.world.is_idle());
}

#[test]
fn a_five_tuple_with_an_allocation_of_its_own_shard_is_passed_nowhere() {
    let mut scene = Scene::new();
    scene.away.allocate(&mut scene.world, minutes(10));
    let answer = scene.away.ask(&mut scene.world, shown(&scene.ticket));
    assert_eq!(answer.code(), Some(437));
    scene.away.delete(&mut scene.world);
    scene.show();
}

#[test]
fn who_deletes_from_the_new_five_tuple_at_once_hears_so() {
    let mut scene = Scene::new();
    scene.show();
    scene.away.delete(&mut scene.world);
    assert!(scene.world.is_idle());
}

#[test]
fn a_client_moves_on_from_shard_to_shard_and_back() {
    let mut scene = Scene::new();
    let mut ticket_in_hand = scene.ticket.clone();
    for (at, shard) in [1, 2, 0, 0, 1].into_iter().enumerate() {
        let transport = Transport::ALL[at % Transport::ALL.len()];
        let there = scene.world.roam(scene.home, shard, transport);
        ticket_in_hand = ticket(&there.ask(&mut scene.world, shown(&ticket_in_hand)));
        scene.assert_served(there);
        assert_eq!(scene.world.server(shard).allocations(), 1);
        assert_eq!(scene.world.allocations(), 1);
    }
    scene.world.advance(minutes(10));
    assert!(scene.world.is_idle());
}

#[test]
fn a_client_that_moves_on_before_it_settles_is_forgotten_where_it_was_going_to() {
    let mut scene = Scene::new();
    let next = scene.show();
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    ticket(&third.ask(&mut scene.world, shown(&next)));
    assert!(scene.world.server(1).is_idle());
    let lost = scene
        .away
        .tell(&mut scene.world, Request::send(scene.peer, b"data"));
    assert_eq!(lost, Outcome::Lost(DropReason::NoAllocation));
    scene.assert_served(third);
}

#[test]
fn an_allocation_that_ends_before_its_client_settles_is_forgotten_in_both_shards() {
    let mut scene = Scene::new();
    scene.show();
    scene.world.advance(minutes(10));
    assert!(scene.world.is_idle());
    let answer = scene.away.ask(&mut scene.world, Request::allocate());
    assert!(
        answer.is_success() || answer.code() == Some(438),
        "{answer:?}"
    );
}

#[test]
fn a_packet_that_crosses_the_end_of_the_allocation_is_answered_by_its_own_shard() {
    let mut scene = Scene::new();
    scene.show();
    let refresh = scene
        .away
        .write(&mut scene.world, &Request::refresh(minutes(10)));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &refresh);
    scene.home.delete(&mut scene.world);
    let again = scene
        .away
        .write(&mut scene.world, &Request::refresh(minutes(10)));
    scene.away.packet(&mut scene.world, &again);
    scene.world.release_mail();
    let codes: Vec<_> = scene.away.inbox(&mut scene.world);
    let codes: Vec<_> = codes.iter().map(sim::Answer::code).collect();
    assert_eq!(codes, [Some(437), Some(437)]);
    assert!(scene.world.is_idle());
}

#[test]
fn the_quality_of_an_allocation_goes_with_it() {
    let mut scene = Scene::new();
    let rtp = |number: u16| {
        let [high, low] = number.to_be_bytes();
        [0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 7]
    };
    for number in (0..100).filter(|number| number % 10 != 3) {
        scene.home.send(&mut scene.world, scene.peer, &rtp(number));
    }
    scene.show();
    for number in 100..200 {
        scene.away.send(&mut scene.world, scene.peer, &rtp(number));
    }
    let list = Command::List(Selection::default(), Places::ALL);
    let Answer::Allocations(listed, None) = scene.world.command(1, list) else {
        panic!("a list");
    };
    let client = listed[0].quality.expect("it is measured").client;
    let expected = Loss {
        expected: 200,
        lost: 10,
    };
    assert_eq!(client.whole, expected);
}
