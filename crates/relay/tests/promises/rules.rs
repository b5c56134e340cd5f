//! Rules that change while the server runs, and commands of the control side.

use std::sync::Arc;

use relay::policy::{Mode, Policy};
use relay::{Answer, Command, DropReason, EndCause, Keys, Realm, Report, Rules, Selection, Sha256};
use sim::Outcome::Lost;
use sim::{Client, REALM, Request, World, minutes, password, seconds};

/// Rules for these users of the default realm, as every world begins with.
fn rules(users: &[&str]) -> Rules {
    let mut keys = Keys::new(REALM);
    for user in users {
        keys.add_user(user, &password(user)).unwrap();
    }
    let mut rules = Rules::new(keys, sim::policy());
    rules.sha256 = Sha256::Off;
    rules
}

fn code(world: &mut World, client: Client, request: Request) -> Option<u16> {
    client.ask(world, request).code()
}

#[test]
fn a_user_who_is_taken_away_keeps_what_was_granted_and_gets_no_more() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    let changed = rules(&["bob"]);
    world.change_rules(changed);
    assert_eq!(
        peer.send(&mut world, relayed, b"x"),
        alice.hears_on(channel, peer, b"x")
    );
    for _ in 0..3 {
        world.advance(minutes(9));
        assert_eq!(code(&mut world, alice, Request::refresh(minutes(10))), None);
    }
    let another = world.client("alice");
    assert_eq!(code(&mut world, another, Request::allocate()), Some(401));
    let bob = world.client("bob");
    bob.allocate(&mut world, minutes(10));
    alice.delete(&mut world);
    assert_eq!(code(&mut world, alice, Request::allocate()), Some(401));
}

#[test]
fn a_password_that_changes_holds_for_what_comes_next() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    let mut changed = rules(&[]);
    let keys = changed.realms.default_keys();
    keys.add_user("alice", "another").unwrap();
    world.change_rules(changed);
    assert_eq!(code(&mut world, alice, Request::refresh(minutes(10))), None);
    let (old, new) = (world.client("alice"), world.client_with("alice", "another"));
    assert_eq!(code(&mut world, old, Request::allocate()), Some(401));
    assert_eq!(code(&mut world, new, Request::allocate()), None);
}

#[test]
fn a_realm_that_is_taken_away_or_moves_among_others_confuses_nobody() {
    let other = |name: &str, user: &str| {
        let mut keys = Keys::new(name);
        keys.add_user(user, &password(user)).unwrap();
        Realm {
            keys,
            listeners: vec![],
            total: Some(1),
            per_user: None,
        }
    };
    let mut world = World::with(|config| {
        config.rules_mut().realms.add(other("example.net", "dave"));
        config.rules_mut().realms.add(other("example.com", "erin"));
    });
    let dave = world.client_with("dave@example.net", &password("dave"));
    let erin = world.client_with("erin@example.com", &password("erin"));
    for client in [dave, erin] {
        client.allocate(&mut world, minutes(10));
    }
    // The first of them is gone, and another has come behind.
    let mut changed = rules(&["alice"]);
    changed.realms.add(other("example.com", "erin"));
    changed.realms.add(other("example.edu", "frank"));
    world.change_rules(changed);
    for client in [dave, erin] {
        assert_eq!(
            code(&mut world, client, Request::refresh(minutes(10))),
            None
        );
    }
    // The counts of realms are still those of their own users.
    let second = world.client_with("erin@example.com", &password("erin"));
    assert_eq!(code(&mut world, second, Request::allocate()), Some(486));
    let frank = world.client_with("frank@example.edu", &password("frank"));
    frank.allocate(&mut world, minutes(10));
    erin.delete(&mut world);
    second.allocate(&mut world, minutes(10));
    let gone = world.client_with("dave@example.net", &password("dave"));
    assert_eq!(code(&mut world, gone, Request::allocate()), Some(401));
}

#[test]
fn peers_that_a_new_policy_denies_are_cut_off_and_others_are_not() {
    let mut world = World::new();
    let alice = world.client("alice");
    let relayed = alice.allocate(&mut world, minutes(60));
    let (denied, bound, kept) = (world.peer(), world.peer(), world.peer());
    for peer in [denied, kept] {
        alice.permit(&mut world, peer);
    }
    let channel = alice.bind(&mut world, bound);
    let mut changed = rules(&["alice"]);
    let deny = [denied, bound].map(|peer| peer.0.ip().to_string().parse().unwrap());
    changed.policy = Policy::new(Mode::Closed, vec![], deny.into(), sim::own_addresses());
    world.change_rules(changed);
    for peer in [denied, bound] {
        assert_eq!(
            peer.send(&mut world, relayed, b"x"),
            Lost(DropReason::NoPeerPermission)
        );
    }
    assert_eq!(
        alice.send_on(&mut world, channel, b"x"),
        Lost(DropReason::NoChannel)
    );
    assert_eq!(
        kept.send(&mut world, relayed, b"x"),
        alice.hears(kept, b"x")
    );
    alice.refresh(&mut world, minutes(60));
}

#[test]
fn what_the_rules_counted_is_given_back_under_other_rules() {
    let mut world = World::with(|config| {
        let rules = config.rules_mut();
        rules.limits.per_user = Some(1);
        rules.realms.default_keys().add_secret(b"north");
    });
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    // No secret any more: names are whole names from now on.
    let mut changed = rules(&["alice"]);
    changed.limits.per_user = Some(2);
    world.change_rules(changed);
    let second = world.client("alice");
    second.allocate(&mut world, minutes(10));
    let third = world.client("alice");
    assert_eq!(code(&mut world, third, Request::allocate()), Some(486));
    for client in [alice, second] {
        client.delete(&mut world);
    }
    assert!(world.is_idle());
}

#[test]
fn a_shorter_nonce_lifetime_ends_no_call() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(60));
    let mut changed = rules(&["alice"]);
    changed.nonce_lifetime = seconds(1);
    world.change_rules(changed);
    world.advance(minutes(5));
    assert_eq!(code(&mut world, alice, Request::refresh(minutes(60))), None);
}

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
    let Answer::Allocations(listed) = world.command(0, Command::List(of("alice"))) else {
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
    let nobody = Selection {
        realm: Some(Arc::from("example.net")),
        ..of("alice")
    };
    assert_eq!(world.command(0, Command::End(nobody)), Answer::Ended(0));
    let this = Selection {
        id: Some(only.id),
        ..Selection::default()
    };
    assert_eq!(world.command(0, Command::End(this)), Answer::Ended(1));
    let credential = Selection {
        credential: Some(Arc::from("bob")),
        ..Selection::default()
    };
    assert_eq!(world.command(1, Command::End(credential)), Answer::Ended(1));
    assert!(world.is_idle());
    let causes = world
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            Report::Ended { cause, .. } => Some(cause),
            Report::Opened { .. }
            | Report::Moved { .. }
            | Report::Partner { .. }
            | Report::Refused { .. } => None,
        });
    assert_eq!(causes.collect::<Vec<_>>(), [EndCause::Operator; 2]);
}
