//! Allocations as the operator names, lists, sees and ends them.

use std::sync::Arc;

use relay::{Answer, Command, EndCause, Listed, Places, Selection};
use sim::{Client, REALM, World, minutes, seconds};

#[test]
fn allocations_are_listed_and_ended_by_id_user_realm_and_credential() {
    let mut world = World::sharded(2, |_| {});
    let (alice, bob) = (world.client("alice"), world.client_on(1, "bob"));
    let relayed = alice.allocate(&mut world, minutes(10));
    bob.allocate(&mut world, minutes(10));
    world.advance(seconds(7));
    let of = |user: &str| Selection {
        user: Some(Arc::from(user)),
        ..Selection::default()
    };
    let Answer::Allocations(listed, None) =
        world.command(0, Command::List(of("alice"), Places::ALL))
    else {
        panic!("a list was asked for");
    };
    let [only] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!((&*only.user, &*only.realm), ("alice", REALM));
    assert_eq!(
        (only.client, &only.relayed[..]),
        (alice.tuple(&world), &[relayed][..])
    );
    assert_eq!(only.age, seconds(7));
    let of_age = |min_age| Selection {
        min_age,
        ..Selection::default()
    };
    for (min_age, count) in [(seconds(7), 1), (seconds(8), 0)] {
        let selection = of_age(min_age);
        assert_eq!(
            listed_by(&mut world, 0, selection).len(),
            count,
            "{min_age:?}"
        );
    }
    let nobody = Selection {
        realm: Some(Arc::from("example.net")),
        ..of("alice")
    };
    assert_eq!(
        world.command(0, Command::End(nobody, EndCause::Operator, Places::ALL)),
        Answer::Ended(0, None)
    );
    let this = Selection {
        id: Some(only.id),
        ..Selection::default()
    };
    assert_eq!(
        world.command(0, Command::End(this, EndCause::Operator, Places::ALL)),
        Answer::Ended(1, None)
    );
    let credential = Selection {
        credential: Some(Arc::from("bob")),
        ..Selection::default()
    };
    assert_eq!(
        world.command(1, Command::End(credential, EndCause::Operator, Places::ALL)),
        Answer::Ended(1, None)
    );
    assert!(world.is_idle());
    assert_eq!(world.end_causes(), [EndCause::Operator; 2]);
}

#[test]
fn an_order_ends_allocations_at_its_places_and_says_where_to_go_on() {
    let mut world = World::new();
    for user in ["alice", "bob", "carol"] {
        world.client(user).allocate(&mut world, minutes(10));
    }
    let (mut next, mut left) = (Some(0), 3);
    while let Some(from) = next {
        let places = Places { from, count: 1 };
        let end = Command::End(Selection::default(), EndCause::Operator, places);
        let Answer::Ended(count, more) = world.command(0, end) else {
            panic!("an order to end");
        };
        assert!(count <= 1);
        left -= count;
        assert_eq!(world.allocations(), left);
        next = more;
    }
    assert_eq!(left, 0);
}

#[test]
fn an_allocation_is_found_by_its_bytes_of_both_ways_from_the_last_one_on() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let bob = world.client("bob");
    for client in [alice, bob] {
        client.allocate(&mut world, minutes(10));
        client.permit(&mut world, peer);
    }
    alice.reaches(&mut world, peer, b"five!");
    peer.reaches(&mut world, alice, b"eleven more");
    for (min_bytes, count) in [(0, 2), (1, 1), (16, 1), (17, 0)] {
        let selection = Selection {
            min_bytes,
            ..Selection::default()
        };
        let listed = listed_by(&mut world, 0, selection);
        assert_eq!(listed.len(), count, "{min_bytes} bytes");
        let is_alice = listed.iter().any(|it| &*it.user == "alice");
        assert_eq!(is_alice, count > 0);
    }
}

#[test]
fn a_list_looks_at_so_many_places_and_says_where_it_goes_on() {
    let mut world = World::new();
    let clients: Vec<Client> = (0..5).map(|_| world.client("alice")).collect();
    for client in &clients {
        client.allocate(&mut world, minutes(10));
    }
    // A place in the middle is empty.
    clients[2].delete(&mut world);
    let mut seen = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let places = Places { from, count: 2 };
        let list = Command::List(Selection::default(), places);
        let Answer::Allocations(listed, more) = world.command(0, list) else {
            panic!("a list was asked for");
        };
        assert!(listed.len() <= 2 && more.is_none_or(|more| more > from));
        seen.extend(listed.iter().map(|it| it.client));
        next = more;
    }
    let living = [0, 1, 3, 4].map(|at| clients[at].tuple(&world));
    assert_eq!(seen, living);
    let beyond = Places {
        from: usize::MAX,
        count: usize::MAX,
    };
    assert_eq!(
        world.command(0, Command::List(Selection::default(), beyond)),
        Answer::Allocations(vec![], None)
    );
}

#[test]
fn an_allocation_is_shown_with_all_that_lasts_and_how_long() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    world.advance(minutes(1));
    let everything = Command::List(Selection::default(), Places::ALL);
    let Answer::Allocations(listed, None) = world.command(0, everything) else {
        panic!("a list was asked for");
    };
    let Answer::Shown(Some(shown)) = world.command(0, Command::Show(listed[0].id)) else {
        panic!("an allocation was asked for");
    };
    let address = peer.0;
    assert_eq!(shown.left, [minutes(9)]);
    assert_eq!(shown.permissions, [(address.ip(), minutes(4))]);
    let [(_, to, left)] = shown.channels[..] else {
        panic!("{:?}", shown.channels);
    };
    assert_eq!((to, left), (address, minutes(9)));
    let with = |ip| Selection {
        peer: Some(ip),
        ..Selection::default()
    };
    for (ip, count) in [(address.ip(), 1), ("192.0.2.250".parse().unwrap(), 0)] {
        let answer = world.command(0, Command::List(with(ip), Places::ALL));
        let Answer::Allocations(listed, None) = answer else {
            panic!("a list was asked for");
        };
        assert_eq!(listed.len(), count, "{ip}");
    }
    // A minute after the permission's end the channel still reaches the peer.
    world.advance(minutes(5));
    let answer = world.command(0, Command::List(with(address.ip()), Places::ALL));
    assert!(matches!(answer, Answer::Allocations(listed, None) if listed.len() == 1));
    alice.delete(&mut world);
    let answer = world.command(0, Command::Show(shown.listed.id));
    assert!(matches!(answer, Answer::Shown(Some(shown)) if shown.ended.is_some()));
}

#[test]
fn an_allocation_is_listed_with_the_peers_of_its_channels_else_with_those_it_may_reach() {
    let mut world = World::new();
    let (alice, peer, other) = (world.client("alice"), world.peer(), world.peer());
    alice.allocate(&mut world, minutes(10));
    let peers = |world: &mut World| {
        let everything = Command::List(Selection::default(), Places::ALL);
        let Answer::Allocations(listed, None) = world.command(0, everything) else {
            panic!("a list was asked for");
        };
        listed[0].peers.clone()
    };
    assert!(peers(&mut world).is_empty());
    for peer in [peer, other] {
        alice.permit(&mut world, peer);
    }
    let mut both = [peer.0.ip(), other.0.ip()];
    both.sort_unstable();
    assert_eq!(peers(&mut world), both);
    alice.bind(&mut world, other);
    assert_eq!(peers(&mut world), [other.0.ip()]);
}

#[test]
fn an_id_is_read_as_it_is_written() {
    let id: relay::AllocationId = "12.0be76a45".parse().unwrap();
    assert_eq!(id.to_string(), "12.0be76a45");
    for wrong in [
        "",
        ".",
        "1",
        "1.",
        ".1",
        "x.1",
        "1.g",
        "1.2.3",
        "-1.2",
        "1.123456789",
    ] {
        assert!(wrong.parse::<relay::AllocationId>().is_err(), "{wrong}");
    }
}

/// All allocations of a shard that are meant.
#[track_caller]
fn listed_by(world: &mut World, shard: usize, selection: Selection) -> Vec<Listed> {
    let answer = world.command(shard, Command::List(selection, Places::ALL));
    let Answer::Allocations(listed, None) = answer else {
        panic!("a list was asked for, and not {answer:?}");
    };
    listed
}
