//! Packets and shards that overtake each other while a client moves, and what a move leaves behind.

use super::*;

/// A scene in which mail is held, a client on a third shard, and its packet with the ticket.
fn third_shows_a_ticket_while_mail_is_held() -> (Scene, Client, Vec<u8>) {
    let mut scene = Scene::new();
    let next = scene.show();
    let third = scene.world.roam(scene.home, 2, Transport::Udp);
    let packet = third.write(&mut scene.world, &shown(&next));
    scene.world.hold_mail();
    (scene, third, packet)
}

#[test]
fn a_ticket_that_is_shown_while_the_allocation_travels_is_answered_when_it_is_shown_again() {
    let (mut scene, third, packet) = third_shows_a_ticket_while_mail_is_held();
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
    let (mut scene, third, packet) = third_shows_a_ticket_while_mail_is_held();
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
