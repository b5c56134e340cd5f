//! Mobility within a shard. RFC 8016.

use relay::{DropReason, EndCause, Report, Transport};
use sim::{Answer, Client, Outcome, Peer, Request, World, minutes, password, seconds};
use wire::Attribute;
use wire::attributes::{ErrorCode, Lifetime, MobilityTicket, XorPeerAddress};

/// The ticket in an answer.
#[track_caller]
pub(crate) fn ticket(answer: &Answer) -> Vec<u8> {
    assert!(answer.is_success(), "{answer:?}");
    let MobilityTicket(ticket) = answer.get().expect("a ticket");
    ticket.to_vec()
}

/// Opens an allocation that may move; returns its ticket.
#[track_caller]
pub(crate) fn allocate(client: Client, world: &mut World) -> Vec<u8> {
    ticket(&client.ask(world, Request::allocate().ticket(b"")))
}

/// Alice with an allocation and a channel to a peer, her ticket, and the client that she moves to.
fn scene(world: &mut World, transport: Transport) -> (Client, Client, Peer, Vec<u8>) {
    let (home, peer) = (world.client("alice"), world.peer());
    let ticket = allocate(home, world);
    home.bind(world, peer);
    let away = world.roam(home, 0, transport);
    (home, away, peer, ticket)
}

/// A Refresh with a ticket.
pub(crate) fn shown(ticket: &[u8]) -> Request {
    Request::refresh(minutes(10)).ticket(ticket)
}

#[test]
fn only_who_asks_for_a_ticket_gets_one() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    assert_eq!(allocate(alice, &mut world).len(), 32);
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(answer.get::<MobilityTicket<'_>>(), None);
    assert_eq!(world.tickets(), 1);
    let answer = bob.ask(&mut world, Request::refresh(minutes(10)));
    assert_eq!(answer.get::<MobilityTicket<'_>>(), None);
}

#[test]
fn an_allocate_again_hears_the_same_ticket() {
    let (mut world, alice) = World::of_alice();
    let packet = alice.write(&mut world, &Request::allocate().ticket(b""));
    let first = alice.packet(&mut world, &packet).answer();
    assert_eq!(alice.packet(&mut world, &packet).answer(), first);
}

/// Found by the model: the client was told the address that the allocation had last come from.
#[test]
fn an_allocate_again_from_a_client_that_comes_back_hears_its_own_address() {
    let mut world = World::new();
    let home = world.client("alice");
    let packet = home.write(&mut world, &Request::allocate().ticket(b""));
    let first = home.packet(&mut world, &packet).answer();
    let away = world.roam(home, 0, Transport::Udp);
    let peer = world.peer();
    let moved = away.ask(&mut world, shown(&ticket(&first)));
    // The first data moves it.
    away.tell(&mut world, Request::send(peer, b"x"));
    home.ask(&mut world, shown(&ticket(&moved)));
    assert_eq!(home.packet(&mut world, &packet).answer(), first);
}

#[test]
fn where_mobility_is_forbidden_tickets_are_neither_given_nor_taken() {
    let mut world = World::ruled(|rules| rules.mobility = false);
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().ticket(b""));
    assert_eq!(answer.code(), Some(405));
    let phrase = answer.get::<ErrorCode<'_>>().map(|error| error.reason);
    assert_eq!(phrase, Some("Mobility Forbidden"));
    alice.allocate(&mut world, minutes(10));
    alice.hears_error(&mut world, 405, shown(&[b'A'; 32]));
}

#[test]
fn a_ticket_in_an_allocate_is_a_bad_request() {
    let (mut world, alice) = World::of_alice();
    alice.hears_error(&mut world, 400, Request::allocate().ticket(&[b'A'; 32]));
    assert_eq!(world.allocations(), 0);
}

#[test]
fn a_client_takes_its_allocation_along_with_channels_permissions_and_lifetime() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new();
        let (home, away, peer, first) = scene(&mut world, transport);
        let friend = world.peer();
        home.permit(&mut world, friend);
        let relayed = home.relayed(&world);
        let answer = away.ask(&mut world, shown(&first));
        assert_ne!(ticket(&answer), first);
        assert_eq!(answer.get(), Some(Lifetime(600)));

        let heard = away.send(&mut world, peer, b"here");
        assert_eq!(heard, peer.hears(relayed, b"here"));
        let channel = away.bind(&mut world, peer);
        let heard = peer.send(&mut world, relayed, b"there");
        assert_eq!(heard, away.hears_on(channel, peer, b"there"));
        let heard = friend.send(&mut world, relayed, b"you");
        assert_eq!(heard, away.hears(friend, b"you"));

        assert_eq!(world.allocations(), 1);
        world.advance(minutes(10));
        assert!(world.is_idle());
    }
}

#[test]
fn until_data_comes_from_the_new_five_tuple_it_goes_over_the_old_one_both_ways() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Udp);
    let relayed = home.relayed(&world);
    let channel = home.bind(&mut world, peer);
    ticket(&away.ask(&mut world, shown(&first)));
    for _ in 0..2 {
        let heard = home.send(&mut world, peer, b"still");
        assert_eq!(heard, peer.hears(relayed, b"still"));
        let heard = peer.send(&mut world, relayed, b"here");
        assert_eq!(heard, home.hears_on(channel, peer, b"here"));
        // A request is not data, so it does not move it.
        away.permit(&mut world, peer);
        home.permit(&mut world, peer);
        world.advance(minutes(4));
    }
}

#[test]
fn the_old_five_tuple_is_forgotten_with_the_first_data_from_the_new_one() {
    for on_channel in [true, false] {
        let mut world = World::new();
        let (home, away, peer, first) = scene(&mut world, Transport::Udp);
        ticket(&away.ask(&mut world, shown(&first)));
        if on_channel {
            away.send(&mut world, peer, b"data");
        } else {
            away.tell(&mut world, Request::send(peer, b"data"));
        }
        let lost = home.send(&mut world, peer, b"late");
        assert_eq!(lost, Outcome::Lost(DropReason::NoChannel));
        let lost = home.tell(&mut world, Request::send(peer, b"late"));
        assert_eq!(lost, Outcome::Lost(DropReason::NoAllocation));
        home.hears_error(&mut world, 437, Request::refresh(minutes(10)));
        // It may have an allocation of its own.
        home.allocate(&mut world, minutes(10));
        assert_eq!(world.allocations(), 2);
    }
}

#[test]
fn a_send_indication_that_is_dropped_settles_the_client_all_the_same() {
    let mut world = World::new();
    let (_, away, peer, first) = scene(&mut world, Transport::Udp);
    let (relayed, stranger) = (away.relayed(&world), world.peer());
    ticket(&away.ask(&mut world, shown(&first)));
    let lost = away.tell(&mut world, Request::send(stranger, b"data"));
    assert_eq!(lost, Outcome::Lost(DropReason::NoPermission));
    let channel = away.bind(&mut world, peer);
    let heard = peer.send(&mut world, relayed, b"there");
    assert_eq!(heard, away.hears_on(channel, peer, b"there"));
}

#[test]
fn a_channel_that_is_bound_before_the_client_settles_is_there_when_it_has() {
    let mut world = World::new();
    let (home, away, _, first) = scene(&mut world, Transport::Udp);
    let (relayed, friend) = (home.relayed(&world), world.peer());
    ticket(&away.ask(&mut world, shown(&first)));
    away.bind(&mut world, friend);
    let heard = away.send(&mut world, friend, b"hi");
    assert_eq!(heard, friend.hears(relayed, b"hi"));
    world.advance(minutes(10));
    assert!(world.is_idle());
}

#[test]
fn the_same_refresh_again_hears_the_same_before_and_after_the_client_settles() {
    let mut world = World::new();
    let (_, away, peer, first) = scene(&mut world, Transport::Udp);
    let packet = away.write(&mut world, &shown(&first));
    let answer = away.packet(&mut world, &packet).answer();
    assert_eq!(away.packet(&mut world, &packet).answer(), answer);
    away.send(&mut world, peer, b"settled");
    world.advance(seconds(30));
    assert_eq!(away.packet(&mut world, &packet).answer(), answer);
}

#[test]
fn a_ticket_is_good_once() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Udp);
    let second = ticket(&away.ask(&mut world, shown(&first)));
    away.send(&mut world, peer, b"settled");
    let third = world.roam(home, 0, Transport::Udp);
    third.hears_error(&mut world, 400, shown(&first));
    let last = ticket(&third.ask(&mut world, shown(&second)));
    assert!(last != first && last != second);
}

#[test]
fn of_two_that_use_a_ticket_at_once_the_second_is_refused() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Udp);
    let rival = world.roam(home, 0, Transport::Udp);
    ticket(&away.ask(&mut world, shown(&first)));
    assert_eq!(rival.ask(&mut world, shown(&first)).code(), Some(400));
    let relayed = home.relayed(&world);
    let heard = away.send(&mut world, peer, b"mine");
    assert_eq!(heard, peer.hears(relayed, b"mine"));
}

#[test]
fn a_stolen_ticket_serves_no_other_user_and_stays_good() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    let bob = world.client("bob");
    assert_eq!(bob.ask(&mut world, shown(&first)).code(), Some(441));
    ticket(&away.ask(&mut world, shown(&first)));
}

#[test]
fn a_used_ticket_serves_no_other_user_even_in_the_same_transaction() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    let transaction = wire::TransactionId::new([9; 12]);
    let request = || shown(&first).in_transaction(transaction);
    ticket(&away.ask(&mut world, request()));
    let stolen = request().as_user("bob", &password("bob"));
    let answer = away.ask(&mut world, stolen);
    assert!(!answer.is_success() && answer.get::<MobilityTicket<'_>>().is_none());
}

#[test]
fn a_ticket_that_is_none_is_a_bad_request() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    let mut forged = first.clone();
    forged[5] ^= 1;
    for bad in [&forged[..], b"", b"x", &first[1..], &[b'A'; 32], &[0; 500]] {
        assert_eq!(away.ask(&mut world, shown(bad)).code(), Some(400));
    }
    ticket(&away.ask(&mut world, shown(&first)));
}

#[test]
fn a_ticket_from_the_five_tuple_that_has_the_allocation_is_a_bad_request() {
    let mut world = World::new();
    let (home, away, _, first) = scene(&mut world, Transport::Udp);
    assert_eq!(home.ask(&mut world, shown(&first)).code(), Some(400));
    let second = ticket(&away.ask(&mut world, shown(&first)));
    for client in [home, away] {
        assert_eq!(client.ask(&mut world, shown(&second)).code(), Some(400));
    }
    // Neither client used the ticket.
    let third = world.roam(home, 0, Transport::Udp);
    ticket(&third.ask(&mut world, shown(&second)));
}

#[test]
fn the_ticket_of_an_allocation_that_is_over_finds_none() {
    let mut world = World::new();
    let (home, away, _, first) = scene(&mut world, Transport::Udp);
    home.delete(&mut world);
    assert_eq!(away.ask(&mut world, shown(&first)).code(), Some(437));
    let ticket = allocate(home, &mut world);
    world.advance(minutes(10));
    let late = world.roam(home, 0, Transport::Udp);
    assert_eq!(late.ask(&mut world, shown(&ticket)).code(), Some(437));
}

#[test]
fn a_five_tuple_with_an_allocation_gets_no_second_one() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    away.allocate(&mut world, minutes(10));
    assert_eq!(away.ask(&mut world, shown(&first)).code(), Some(437));
    assert_eq!(world.allocations(), 2);
}

#[test]
fn a_five_tuple_with_an_allocation_hears_so_first_on_whatever_shard() {
    let mut world = World::sharded(2, |_| {});
    let home = world.client_on(0, "alice");
    let first = allocate(home, &mut world);
    for shard in [0, 1] {
        // Neither client may use the ticket: it is used up for one, and another user's for the
        // other.
        for user in ["alice", "bob"] {
            let other = world.client_on(shard, user);
            other.allocate(&mut world, minutes(10));
            assert_eq!(other.ask(&mut world, shown(&first)).code(), Some(437));
        }
    }
}

#[test]
fn a_client_that_moves_on_before_it_settles_leaves_nothing_between() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Udp);
    let second = ticket(&away.ask(&mut world, shown(&first)));
    let third = world.roam(home, 0, Transport::Udp);
    ticket(&third.ask(&mut world, shown(&second)));
    let lost = away.tell(&mut world, Request::send(peer, b"data"));
    assert_eq!(lost, Outcome::Lost(DropReason::NoAllocation));
    let relayed = home.relayed(&world);
    let heard = third.send(&mut world, peer, b"data");
    assert_eq!(heard, peer.hears(relayed, b"data"));
}

#[test]
fn a_refresh_with_a_ticket_may_delete_the_allocation() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    let delete = Request::refresh(seconds(0)).ticket(&first);
    let answer = away.ask(&mut world, delete);
    assert_eq!(answer.get(), Some(Lifetime(0)));
    assert!(world.is_idle());
}

#[test]
fn a_dual_allocation_moves_with_both_families() {
    let mut world = World::new();
    let home = world.client("alice");
    let answer = home.ask(&mut world, Request::allocate().dual().ticket(b""));
    let first = ticket(&answer);
    let (v4, v6) = (world.peer(), world.peer_v6());
    home.bind(&mut world, v4);
    home.bind(&mut world, v6);
    let away = world.roam(home, 0, Transport::Udp);
    ticket(&away.ask(&mut world, shown(&first)));
    for peer in [v4, v6] {
        let heard = away.send(&mut world, peer, b"hi");
        assert!(matches!(heard, Outcome::AtPeer { to, .. } if to == peer.0));
    }
    world.advance(minutes(10));
    assert!(world.is_idle());
}

#[test]
fn the_end_of_the_old_connection_settles_a_client_that_has_moved() {
    let mut world = World::new();
    let (home, peer) = (world.tcp_client("alice"), world.peer());
    let first = allocate(home, &mut world);
    let channel = home.bind(&mut world, peer);
    let away = world.roam(home, 0, Transport::Tcp);
    ticket(&away.ask(&mut world, shown(&first)));
    home.disconnect(&mut world);
    let relayed = home.relayed(&world);
    let heard = peer.send(&mut world, relayed, b"there");
    assert_eq!(heard, away.hears_on(channel, peer, b"there"));
}

#[test]
fn the_end_of_the_connection_that_a_client_was_moving_to_changes_nothing() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Tcp);
    let second = ticket(&away.ask(&mut world, shown(&first)));
    away.disconnect(&mut world);
    let relayed = home.relayed(&world);
    let heard = home.send(&mut world, peer, b"still");
    assert_eq!(heard, peer.hears(relayed, b"still"));
    let third = world.roam(home, 0, Transport::Tcp);
    ticket(&third.ask(&mut world, shown(&second)));
}

#[test]
fn an_allocation_with_a_ticket_outlives_its_connection_and_waits_for_its_client() {
    let mut world = World::new();
    let (home, peer) = (world.tcp_client("alice"), world.peer());
    let first = allocate(home, &mut world);
    let channel = home.bind(&mut world, peer);
    let relayed = home.relayed(&world);
    home.disconnect(&mut world);
    let lost = peer.send(&mut world, relayed, b"anyone?");
    assert_eq!(lost, Outcome::Lost(DropReason::ClientAway));

    // Back again it is served at once: there is no old 5-tuple to be served as before.
    let away = world.roam(home, 0, Transport::Tcp);
    ticket(&away.ask(&mut world, shown(&first)));
    let heard = peer.send(&mut world, relayed, b"there");
    assert_eq!(heard, away.hears_on(channel, peer, b"there"));
    world.advance(minutes(10));
    assert!(world.is_idle());
}

#[test]
fn who_connects_from_where_a_client_was_has_nothing_of_what_it_had() {
    let mut world = World::new();
    let (home, peer) = (world.tcp_client("alice"), world.peer());
    allocate(home, &mut world);
    home.bind(&mut world, peer);
    home.disconnect(&mut world);
    // The same 5-tuple again may be another client's.
    let lost = home.send(&mut world, peer, b"mine?");
    assert_eq!(lost, Outcome::Lost(DropReason::NoChannel));
    home.hears_error(&mut world, 437, Request::refresh(minutes(10)));
    home.allocate(&mut world, minutes(20));
    assert_eq!(world.allocations(), 2);
    world.advance(minutes(10));
    assert_eq!(world.allocations(), 1);
}

#[test]
fn an_allocation_without_a_ticket_ends_with_its_connection() {
    let mut world = World::new();
    let alice = world.tcp_client("alice");
    alice.allocate(&mut world, minutes(10));
    alice.disconnect(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_move_is_reported_and_the_accounts_go_on() {
    let mut world = World::new();
    let (home, away, peer, first) = scene(&mut world, Transport::Udp);
    home.send(&mut world, peer, b"four");
    ticket(&away.ask(&mut world, shown(&first)));
    world.reports();
    away.send(&mut world, peer, b"fives");
    let (there, reports) = (away.tuple(&world), world.reports());
    let [
        Report::Moved {
            allocation,
            was,
            client,
            user,
            ..
        },
    ] = &reports[..]
    else {
        panic!("{reports:?}");
    };
    assert_eq!((allocation, *client, &**user), (was, there, "alice"));
    assert_eq!(world.counters().moved, 1);
    away.delete(&mut world);
    let reports = world.reports();
    let [Report::Ended { sent, client, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((sent.packets, sent.bytes, *client), (2, 9, there));
}

#[test]
fn an_allocation_whose_client_never_came_back_is_reported_with_where_it_was() {
    let mut world = World::new();
    let alice = world.tcp_client("alice");
    allocate(alice, &mut world);
    alice.disconnect(&mut world);
    world.reports();
    world.advance(minutes(10));
    let (here, reports) = (alice.tuple(&world), world.reports());
    let [Report::Ended { client, cause, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((*client, *cause), (here, EndCause::Expired));
}

#[test]
fn a_request_to_move_is_as_good_as_its_signature() {
    let mut world = World::new();
    let (_, away, _, first) = scene(&mut world, Transport::Udp);
    away.hears_error(&mut world, 401, shown(&first).unsigned());
    let wrong = shown(&first).as_user("alice", "a guess");
    assert_eq!(away.ask(&mut world, wrong).code(), Some(401));
    let unsigned = Request::refresh(minutes(10)).behind_integrity(MobilityTicket::TYPE, &first);
    assert_eq!(away.ask(&mut world, unsigned).code(), Some(437));
    let unknown = shown(&first).put_raw(0x7FFF, b"");
    assert_eq!(away.ask(&mut world, unknown).code(), Some(420));
    let peer = world.peer();
    let bind = Request::new(wire::Method::ChannelBind).put_raw(XorPeerAddress::TYPE, &[]);
    assert_eq!(away.ask(&mut world, bind).code(), Some(437));
    let lost = away.tell(&mut world, Request::send(peer, b"data"));
    assert_eq!(lost, Outcome::Lost(DropReason::NoAllocation));
    ticket(&away.ask(&mut world, shown(&first)));
}

/// RFC 8656 §21.4: the client could not have opened one from there.
#[test]
fn no_allocation_moves_to_the_end_of_a_tunnel() {
    let mut world = World::new();
    let home = world.client("alice");
    let ticket = allocate(home, &mut world);
    let tuple = relay::ClientTuple {
        client: "[2002:909:909::1]:4000".parse().unwrap(),
        ..home.tuple(&world)
    };
    let away = world.client_at(0, tuple, "alice", &password("alice"));
    assert_eq!(away.ask(&mut world, shown(&ticket)).code(), Some(403));
    let next = world.roam(home, 0, Transport::Udp);
    assert!(next.ask(&mut world, shown(&ticket)).is_success());
}

/// A NAT may give a client another port in the middle of a call.
#[test]
fn a_nonce_of_the_call_is_good_with_its_ticket_from_another_port() {
    for shard in [0, 1] {
        let mut world = World::sharded(2, |config| config.rules_mut().nonce_lifetime = seconds(60));
        let home = world.client("alice");
        let ticket = allocate(home, &mut world);
        let nonce = home.nonce(&mut world);
        world.advance(seconds(120));
        let mut tuple = home.tuple(&world);
        tuple.client.set_port(tuple.client.port() + 1000);
        let away = world.client_at(shard, tuple, "alice", &password("alice"));
        away.succeeds(&mut world, shown(&ticket).nonce(&nonce));
    }
}

#[test]
fn what_an_allocation_knows_of_its_client_goes_along_to_another_shard() {
    let mut world = World::sharded(2, |config| config.rules_mut().nonce_lifetime = seconds(60));
    let home = world.client_on(0, "alice");
    let ticket = allocate(home, &mut world);
    let peer = world.peer();
    let channel = home.bind(&mut world, peer);
    home.send(&mut world, peer, b"");
    world.advance(seconds(301));
    let away = world.roam(home, 1, Transport::Udp);
    assert!(away.ask(&mut world, shown(&ticket)).is_success());
    let nonce = away.nonce(&mut world);
    away.send_on(&mut world, channel, b"y");
    for _ in 0..2 {
        peer.reaches_on(&mut world, away, channel, b"");
        world.advance(seconds(200));
        let refresh = Request::refresh(minutes(10)).nonce(&nonce);
        assert!(away.ask(&mut world, refresh).is_success());
    }
}
