//! Connections and shards that end while a client moves.

use super::*;

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
