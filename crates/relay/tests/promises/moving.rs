//! Mobility from shard to shard. RFC 8016 §3.2.2, and the order within a 5-tuple: RFC 8656 §3.
//!
//! The host is shard 0, and the client comes back by way of shard 1.

use relay::keys::{Mint, mint};
use relay::{ClientTuple, DropReason, EndCause, Report, Transport};
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
        let (home, peer) = match from {
            Transport::Udp => (world.client("alice"), world.peer()),
            Transport::Tcp => (world.tcp_client("alice"), world.peer()),
        };
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
    let transports = [Transport::Udp, Transport::Tcp];
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
        let transport = [Transport::Udp, Transport::Tcp][at % 2];
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
fn the_end_of_the_old_connection_brings_the_allocation_to_the_new_shard() {
    let mut scene = Scene::over(Transport::Tcp, Transport::Tcp);
    scene.show();
    scene.home.disconnect(&mut scene.world);
    assert_eq!(scene.world.server(1).allocations(), 1);
    scene.assert_served(scene.away);
}

#[test]
fn an_allocation_that_lost_its_connection_is_found_from_another_shard() {
    let mut scene = Scene::over(Transport::Tcp, Transport::Tcp);
    let channel = scene.home.bind(&mut scene.world, scene.peer);
    scene.home.disconnect(&mut scene.world);
    scene.show();
    assert_eq!(scene.world.server(1).allocations(), 1);
    let heard = scene.peer.send(&mut scene.world, scene.relayed, b"there");
    assert_eq!(heard, scene.away.hears_on(channel, scene.peer, b"there"));
    scene.assert_served(scene.away);
}

#[test]
fn the_end_of_the_new_connection_before_the_client_settles_changes_nothing() {
    let mut scene = Scene::over(Transport::Tcp, Transport::Tcp);
    let next = scene.show();
    scene.away.disconnect(&mut scene.world);
    assert!(scene.world.server(1).is_idle());
    scene.assert_served(scene.home);
    // It may come from the same port again.
    ticket(&scene.away.ask(&mut scene.world, shown(&next)));
    scene.assert_served(scene.away);
}

#[test]
fn an_allocation_that_comes_to_a_connection_that_has_ended_waits_for_its_client() {
    let mut scene = Scene::over(Transport::Tcp, Transport::Tcp);
    let next = scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    scene.away.disconnect(&mut scene.world);
    scene.world.release_mail();
    assert_eq!(scene.world.server(1).allocations(), 1);
    // The connection that comes from there now may be another client's.
    let lost = scene.away.send(&mut scene.world, scene.peer, b"mine?");
    assert_eq!(lost, Outcome::Lost(DropReason::NoChannel));
    let lost = scene.peer.send(&mut scene.world, scene.relayed, b"hi");
    assert_eq!(lost, Outcome::Lost(DropReason::ClientAway));
    let third = scene.world.roam(scene.home, 2, Transport::Tcp);
    ticket(&third.ask(&mut scene.world, shown(&next)));
    scene.assert_served(third);
}

#[test]
fn an_answer_for_a_connection_that_has_ended_is_not_its_successors() {
    let mut scene = Scene::over(Transport::Udp, Transport::Tcp);
    let refresh = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &refresh);
    scene.world.deliver_one();
    scene.away.disconnect(&mut scene.world);
    scene.world.release_mail();
    assert!(scene.away.inbox(&mut scene.world).is_empty());
    scene.assert_served(scene.home);
}

#[test]
fn a_host_that_fails_while_its_client_moves_takes_the_allocation_with_it_and_nothing_more() {
    let mut scene = Scene::new();
    let next = scene.show();
    scene.world.restart_shard(0);
    // The shard that passed packets to the host in vain handles them itself in the end.
    let answer = scene
        .away
        .ask(&mut scene.world, Request::refresh(minutes(10)));
    assert_eq!(answer.code(), Some(437));
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let answer = third.ask(&mut scene.world, shown(&next));
    assert_eq!(answer.code(), Some(437));
    scene.away.allocate(&mut scene.world, minutes(10));
    scene.away.delete(&mut scene.world);
    assert!(scene.world.is_idle());
}

#[test]
fn a_refresh_that_is_under_way_to_a_host_that_fails_hears_that_the_allocation_is_over() {
    let mut scene = Scene::new();
    let refresh = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &refresh);
    scene.world.restart_shard(0);
    scene.world.release_mail();
    let [answer] = &scene.away.inbox(&mut scene.world)[..] else {
        panic!("one answer");
    };
    assert_eq!(answer.code(), Some(437));
    assert!(scene.world.is_idle());
}

#[test]
fn a_shard_that_fails_while_a_client_moves_to_it_costs_the_client_a_retransmission() {
    let mut scene = Scene::new();
    let packet = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    let first = scene.away.packet(&mut scene.world, &packet).answer();
    scene.world.restart_shard(1);
    scene.assert_served(scene.home);
    let again = scene.away.packet(&mut scene.world, &packet).answer();
    assert_eq!(again, first);
    scene.assert_served(scene.away);
    assert_eq!(scene.world.server(1).allocations(), 1);
}

#[test]
fn an_allocation_that_is_under_way_to_a_shard_that_fails_arrives_in_its_next_life() {
    let mut scene = Scene::new();
    scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    scene.world.restart_shard(1);
    scene.world.release_mail();
    scene.assert_served(scene.away);
}

#[test]
fn an_allocation_for_a_shard_that_began_anew_and_serves_the_five_tuple_waits_for_its_client() {
    let mut scene = Scene::new();
    let next = scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    scene.world.restart_shard(1);
    let own = scene.away.allocate(&mut scene.world, minutes(20));
    scene.world.release_mail();
    assert_eq!(scene.world.server(1).allocations(), 2);
    // Neither client has anything of the other's.
    let friend = scene.world.peer();
    let bound = Request::channel_bind(0x4000, friend);
    assert!(scene.away.ask(&mut scene.world, bound).is_success());
    let channel = relay::ChannelNumber::new(0x4000).unwrap();
    let heard = scene.away.send_on(&mut scene.world, channel, b"own");
    assert_eq!(heard, friend.hears(own, b"own"));
    let lost = scene.peer.send(&mut scene.world, scene.relayed, b"hi");
    assert_eq!(lost, Outcome::Lost(DropReason::ClientAway));
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    ticket(&third.ask(&mut scene.world, shown(&next)));
    scene.world.advance(minutes(10));
    assert_eq!(scene.world.allocations(), 1);
}

#[test]
fn an_allocation_that_no_shard_takes_in_any_more_ends_with_a_report() {
    let mut scene = Scene::new();
    scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    scene.world.reports();
    scene.world.lose_mail_to(1);
    let reports = scene.world.reports();
    let [Report::Ended { cause, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(*cause, EndCause::Shutdown);
    assert_eq!(scene.world.ports_taken(), 0);
    assert_eq!(scene.world.tickets(), 0);
}

#[test]
fn an_allocation_whose_socket_finds_no_room_in_the_new_shard_ends_with_a_report() {
    let mut scene = Scene::new();
    let next = scene.show();
    scene.world.refuse_sockets(relay::OpenError::Exhausted);
    scene.world.reports();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    let reports = scene.world.reports();
    let [
        Report::Moved { .. },
        Report::Ended {
            cause: EndCause::Stranded,
            ..
        },
    ] = &reports[..]
    else {
        panic!("{reports:?}");
    };
    assert!(scene.world.is_idle());
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let answer = third.ask(&mut scene.world, shown(&next));
    assert_eq!(answer.code(), Some(437));
}

#[test]
fn a_ticket_that_is_shown_while_the_allocation_travels_is_answered_when_it_is_shown_again() {
    let mut scene = Scene::new();
    let next = scene.show();
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let packet = third.write(&mut scene.world, &shown(&next));
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    let lost = third.packet(&mut scene.world, &packet);
    assert_eq!(lost, Outcome::Lost(DropReason::AllocationMoving));
    scene.world.release_mail();
    ticket(&third.packet(&mut scene.world, &packet).answer());
    scene.assert_served(third);
}

#[test]
fn a_refresh_that_follows_an_allocation_from_shard_to_shard_finds_it() {
    let mut scene = Scene::new();
    let next = scene.show();
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let packet = third.write(&mut scene.world, &shown(&next));
    scene.world.hold_mail();
    // Shard 2 asks shard 0, which gives the allocation to shard 1 before it reads that.
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    third.packet(&mut scene.world, &packet);
    assert_eq!(
        third.send(&mut scene.world, scene.peer, b"1"),
        Outcome::Silent
    );
    scene.world.release_mail();
    assert_eq!(scene.world.server(0).allocations(), 0);
    assert_eq!(third.inbox(&mut scene.world).len(), 1);
    let heard = scene.world.late();
    let (relayed, peer) = (scene.relayed, scene.peer);
    let expected = [b"settled".as_slice(), b"1"].map(|payload| peer.hears(relayed, payload));
    assert_eq!(heard, expected);
    scene.assert_served(third);
}

#[test]
fn a_client_that_floods_while_it_moves_loses_packets_and_no_more() {
    let mut scene = Scene::new();
    scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    scene.world.deliver_one();
    for number in 0..300_u16 {
        let sent = scene
            .away
            .send(&mut scene.world, scene.peer, &number.to_be_bytes());
        let full = Outcome::Lost(DropReason::MoveQueueFull);
        assert_eq!(sent, if number < 256 { Outcome::Silent } else { full });
    }
    scene.world.release_mail();
    assert_eq!(scene.world.late().len(), 1 + 256);
    scene.assert_served(scene.away);
}

#[test]
fn a_move_between_shards_is_reported_once_with_both_names_and_the_accounts_go_on() {
    let mut scene = Scene::new();
    scene.home.send(&mut scene.world, scene.peer, b"four");
    let was = scene.world.relay_of(scene.home).allocation;
    scene.show();
    scene.world.reports();
    scene.away.send(&mut scene.world, scene.peer, b"fives");
    let reports = scene.world.reports();
    let [moved] = &reports[..] else {
        panic!("{reports:?}");
    };
    let is = scene.world.relay_of(scene.away).allocation;
    let Report::Moved {
        allocation,
        was: old,
        client,
        user,
        ..
    } = moved
    else {
        panic!("{moved:?}");
    };
    assert_eq!((*allocation, *old, &**user), (is, was, "alice"));
    assert_eq!(*client, scene.away.tuple(&scene.world));
    assert_eq!(scene.world.counters().moved, 1);
    scene.away.delete(&mut scene.world);
    let reports = scene.world.reports();
    let [Report::Ended { sent, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((sent.packets, sent.bytes), (2, 9));
}

#[test]
fn a_client_whose_credential_has_expired_takes_its_allocation_along_and_opens_no_other() {
    for shard in [0, 1] {
        let mut world = World::sharded(2, |config| {
            config
                .rules_mut()
                .realms
                .default_keys()
                .add_secret(b"north");
        });
        let expiry = world.now().unix.as_secs() + 60;
        let credential = mint(Mint::Sha1, b"north", Some("dora"), expiry);
        let home = world.client_with(&credential.username, &credential.password);
        let first = allocate(home, &mut world);
        world.advance(seconds(61));
        let away = world.roam(home, shard, Transport::Udp);
        ticket(&away.ask(&mut world, shown(&first)));
        // A thief who has the ticket and does not know the password is told nothing.
        let thief = world.client_with(&credential.username, "a guess");
        assert_eq!(thief.ask(&mut world, shown(&first)).code(), Some(401));
        let other = world.roam(home, shard, Transport::Udp);
        other.hears_error(&mut world, 401, Request::allocate());
    }
}

#[test]
fn strangers_leave_nothing_in_a_shard_that_they_show_tickets_to() {
    let mut scene = Scene::new();
    for number in 0..100_u8 {
        let bob = scene.world.client_on(1, "bob");
        let mut forged = scene.ticket.clone();
        forged[usize::from(number % 32)] ^= 1;
        bob.ask(&mut scene.world, shown(&forged));
        bob.ask(&mut scene.world, shown(&scene.ticket));
        let unsigned = Request::refresh(minutes(10))
            .ticket(&scene.ticket)
            .unsigned();
        bob.ask(&mut scene.world, unsigned);
    }
    assert!(scene.world.server(1).is_idle());
    scene.show();
}

#[test]
fn a_request_to_move_that_no_inbox_takes_leaves_nothing_behind() {
    let mut scene = Scene::new();
    let refresh = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &refresh);
    scene.world.lose_mail_to(0);
    scene.world.release_mail();
    assert!(scene.world.server(1).is_idle());
    // The same Refresh again is a request like any other.
    ticket(&scene.away.packet(&mut scene.world, &refresh).answer());
    // Mail that is lost later costs a packet, and does not end the guest.
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"lost");
    scene.world.lose_mail_to(0);
    scene.world.release_mail();
    scene.assert_served(scene.away);
    assert!(scene.world.server(0).is_idle());
}

#[test]
fn a_request_to_move_that_comes_back_to_a_full_inbox_leaves_nothing_behind() {
    let mut scene = Scene::new();
    let refresh = scene.away.write(&mut scene.world, &shown(&scene.ticket));
    scene.world.hold_mail();
    scene.away.packet(&mut scene.world, &refresh);
    scene.home.delete(&mut scene.world);
    scene.world.deliver_one();
    assert!(scene.world.lose_packet());
    scene.world.release_mail();
    assert!(scene.world.is_idle());
}

#[test]
fn a_client_that_is_forgotten_and_taken_in_again_meanwhile_is_passed_on() {
    let mut scene = Scene::new();
    let next = scene.show();
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let [used, good] =
        [&scene.ticket, &next].map(|ticket| third.write(&mut scene.world, &shown(ticket)));
    scene.world.hold_mail();
    third.packet(&mut scene.world, &used);
    third.packet(&mut scene.world, &good);
    scene.world.release_mail();
    let answers = third.inbox(&mut scene.world);
    let codes: Vec<_> = answers.iter().map(sim::Answer::code).collect();
    assert_eq!(codes, [Some(400), None]);
    scene.assert_served(third);
    assert_eq!(scene.world.server(2).allocations(), 1);
}

#[test]
fn a_client_that_two_hosts_forget_at_once_leaves_nothing_behind() {
    let mut scene = Scene::new();
    scene.show();
    // Of alice, too: in shard 2, and its ticket is used up as well.
    let other = scene.world.client_on(2, "alice");
    let others = allocate(other, &mut scene.world);
    let there = scene.world.roam(other, 2, Transport::Udp);
    ticket(&there.ask(&mut scene.world, shown(&others)));
    let third = scene.world.roam(scene.home, 1, Transport::Udp);
    let used = [&scene.ticket, &others].map(|it| third.write(&mut scene.world, &shown(it)));
    scene.world.hold_mail();
    for packet in used {
        third.packet(&mut scene.world, &packet);
    }
    // The first host refuses one and returns the other, and is slow to answer the fence.
    for _ in 0..5 {
        scene.world.deliver_one();
    }
    scene.world.stall_shard(0);
    scene.world.release_mail();
    scene.world.wake_shard(0);
    let answers = third.inbox(&mut scene.world);
    let codes: Vec<_> = answers.iter().map(sim::Answer::code).collect();
    assert_eq!(codes, [Some(400), Some(400)]);
    scene.home.delete(&mut scene.world);
    other.delete(&mut scene.world);
    assert!(scene.world.is_idle());
}

#[test]
fn a_dual_allocation_takes_both_its_sockets_along() {
    let mut world = World::sharded(2, |_| {});
    let home = world.client("alice");
    let first = ticket(&home.ask(&mut world, Request::allocate().dual().ticket(b"")));
    let peers = [world.peer(), world.peer_v6()];
    for peer in peers {
        home.bind(&mut world, peer);
    }
    let away = world.roam(home, 1, Transport::Udp);
    ticket(&away.ask(&mut world, shown(&first)));
    for peer in peers {
        let heard = away.send(&mut world, peer, b"hi");
        assert!(matches!(heard, Outcome::AtPeer { to, .. } if to == peer.0));
    }
    assert_eq!(world.server(1).relays(), 2);
    world.advance(minutes(10));
    assert!(world.is_idle());
}

#[test]
fn a_client_may_change_its_address_family() {
    let mut scene = Scene::new();
    let six = ClientTuple {
        transport: Transport::Udp,
        client: "[2620:fe::a]:50000".parse().unwrap(),
        server: "[2620:fe::5]:3478".parse().unwrap(),
    };
    let away = scene
        .world
        .client_at(1, six, "alice", &sim::password("alice"));
    ticket(&away.ask(&mut scene.world, shown(&scene.ticket)));
    let heard = away.tell(&mut scene.world, Request::send(scene.peer, b"six"));
    assert_eq!(heard, scene.peer.hears(scene.relayed, b"six"));
}

#[test]
fn a_move_that_is_shown_without_a_ticket_goes_nowhere() {
    let mut scene = Scene::new();
    let answer = scene
        .away
        .ask(&mut scene.world, Request::refresh(minutes(10)));
    assert_eq!(answer.code(), Some(437));
    assert_eq!(answer.get::<MobilityTicket<'_>>(), None);
    assert_eq!(answer.get::<XorPeerAddress>(), None);
    assert!(scene.world.server(1).is_idle());
}
