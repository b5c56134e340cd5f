//! How many allocations there may be. RFC 8656 §7.2.

use relay::keys::{Mint, mint};
use relay::{OpenError, PortRange, Report};
use sim::{Request, World, minutes, seconds};
use wire::Method;

#[test]
fn a_user_has_no_more_allocations_than_allowed() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(2));
    for _ in 0..2 {
        world.client("alice").allocate(&mut world, minutes(10));
    }
    let third = world.client("alice");
    third.hears_error(&mut world, 486, Request::allocate());
    // Other users are not concerned.
    world.client("bob").allocate(&mut world, minutes(10));
}

#[test]
fn what_ends_makes_room_at_once() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(1));
    let (one, two, three) = (
        world.client("alice"),
        world.client("alice"),
        world.client("alice"),
    );
    one.allocate(&mut world, minutes(10));
    one.delete(&mut world);
    two.allocate(&mut world, minutes(10));
    two.disconnect(&mut world);
    three.allocate(&mut world, minutes(10));
    world.advance(minutes(10));
    one.allocate(&mut world, minutes(10));
}

#[test]
fn all_together_have_no_more_than_allowed_over_all_shards() {
    let mut world = World::sharded(2, |config| config.rules_mut().limits.total = Some(2));
    let (alice, bob) = (world.client_on(0, "alice"), world.client_on(1, "bob"));
    alice.allocate(&mut world, minutes(10));
    bob.allocate(&mut world, minutes(10));
    for shard in [0, 1] {
        let carol = world.client_on(shard, "carol");
        carol.hears_error(&mut world, 508, Request::allocate());
    }
    bob.delete(&mut world);
    world
        .client_on(0, "carol")
        .allocate(&mut world, minutes(10));
}

#[test]
fn a_users_quota_is_one_over_all_shards() {
    let mut world = World::sharded(2, |config| config.rules_mut().limits.per_user = Some(1));
    world
        .client_on(0, "alice")
        .allocate(&mut world, minutes(10));
    let second = world.client_on(1, "alice");
    second.hears_error(&mut world, 486, Request::allocate());
}

#[test]
fn refused_allocates_use_up_nothing() {
    let mut world = World::ruled(|rules| {
        rules.limits.per_user = Some(1);
        rules.limits.total = Some(1);
    });
    let alice = world.client("alice");
    for _ in 0..3 {
        for refused in [
            Request::allocate().unsigned(),
            Request::allocate().nonce("stale"),
            Request::new(Method::Allocate),
            Request::allocate().put_raw(0x7FFF, b""),
            Request::allocate().as_user("alice", "guessed"),
        ] {
            assert!(!alice.ask(&mut world, refused).is_success());
        }
        world.refuse_sockets(OpenError::Exhausted);
        alice.hears_error(&mut world, 508, Request::allocate());
        world.open_sockets();
    }
    alice.allocate(&mut world, minutes(10));
}

#[test]
fn an_allocate_without_a_port_uses_up_nothing() {
    let mut world = World::with(|config| {
        config.ports = PortRange::new(50_000, 50_000).unwrap();
        config.rules_mut().limits.per_user = Some(2);
    });
    let (first, second) = (world.client("alice"), world.client("alice"));
    first.allocate(&mut world, minutes(10));
    for _ in 0..3 {
        second.hears_error(&mut world, 508, Request::allocate());
    }
    first.delete(&mut world);
    second.allocate(&mut world, minutes(10));
}

#[test]
fn a_retransmitted_allocate_counts_once() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(2));
    let alice = world.client("alice");
    let packet = alice.write(&mut world, &Request::allocate());
    for _ in 0..5 {
        assert!(alice.packet(&mut world, &packet).answer().is_success());
    }
    world.client("alice").allocate(&mut world, minutes(10));
}

/// A server of time-limited credentials that grants each person one allocation.
pub(crate) fn one_for_each_person() -> World {
    World::ruled(|rules| {
        rules.realms.default_keys().add_secret(b"north");
        rules.limits.per_user = Some(1);
    })
}

#[test]
fn time_limited_names_of_one_person_share_a_quota() {
    let mut world = one_for_each_person();
    let now = world.now().unix.as_secs();
    let mut guest = |user: Option<&str>, lasts| {
        let credential = mint(Mint::Sha1, b"north", user, now + lasts);
        let client = world.client_with(&credential.username, &credential.password);
        client.ask(&mut world, Request::allocate()).code()
    };
    assert_eq!(guest(Some("dave"), 60), None);
    assert_eq!(guest(Some("dave"), 61), Some(486));
    assert_eq!(guest(Some("erin"), 60), None);
    assert_eq!(guest(None, 60), None);
}

#[test]
fn what_one_person_opens_and_ends_is_reported_under_one_user() {
    let mut world = one_for_each_person();
    let now = world.now().unix.as_secs();
    for lasts in [60, 61] {
        let credential = mint(Mint::Sha1, b"north", Some("dave"), now + lasts);
        let client = world.client_with(&credential.username, &credential.password);
        client.allocate(&mut world, minutes(10));
        client.delete(&mut world);
    }
    let reports = world.reports();
    assert_eq!(reports.len(), 4);
    for report in reports {
        let (Report::Opened {
            user, credential, ..
        }
        | Report::Ended {
            user, credential, ..
        }) = report
        else {
            panic!("{report:?}");
        };
        assert!(credential.ends_with(":dave") && *user == *"dave");
    }
}

#[test]
fn a_refusal_is_reported_with_the_person_and_the_whole_credential() {
    let mut world = one_for_each_person();
    let expiry = world.now().unix.as_secs() + 60;
    let mut refused = |secret: &[u8], code| {
        let credential = mint(Mint::Sha1, secret, Some("dave"), expiry);
        let client = world.client_with(&credential.username, &credential.password);
        let answer = client.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), code);
        let reports = world.reports();
        let Some(Report::Refused {
            user, credential, ..
        }) = reports.last()
        else {
            return None;
        };
        user.clone().zip(credential.clone())
    };
    assert_eq!(refused(b"north", None), None);
    let both = Some(("dave".into(), format!("{expiry}:dave").into()));
    assert_eq!(refused(b"north", Some(486)), both);
    assert_eq!(refused(b"of another", Some(401)), both);
}

/// `printf %s NAME | openssl dgst -sha1 -hmac north -binary | base64`.
#[test]
fn time_limited_names_of_one_person_share_a_quota_in_every_form() {
    let mut world = one_for_each_person();
    let mut answered = Vec::new();
    for (name, password) in [
        ("dave:1800000060", "53pL7BN3SvQ7J7S1XxcVUhaiELM="),
        ("dave:1800000061", "Ur2sy/0pPbsBCVZoFZMLkXZEmo0="),
        ("1800000060.5:dave", "3vPM5lui1W5uuqQV9FLTmkROeZo="),
    ] {
        let client = world.client_with(name, password);
        answered.push(client.ask(&mut world, Request::allocate()).code());
    }
    assert_eq!(answered, [None, Some(486), Some(486)]);
}

#[test]
fn an_allocation_that_is_being_opened_counts() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(1));
    let (one, two) = (world.client("alice"), world.client("alice"));
    world.hold_sockets();
    one.tell(&mut world, Request::allocate());
    two.hears_error(&mut world, 486, Request::allocate());
    world.open_sockets();
    assert_eq!(one.inbox(&mut world).len(), 1);
    one.delete(&mut world);
    world.advance(seconds(1));
    two.allocate(&mut world, minutes(10));
}

#[test]
fn a_user_takes_a_quarter_of_the_ports_and_no_more_unless_the_operator_says_so() {
    for (last, per_user, most) in [
        (50_039, None, 10),
        (50_042, None, 10),
        // One is always to be had.
        (50_002, None, 1),
        (50_039, Some(u32::MAX), 40),
    ] {
        let mut world = World::with(|config| {
            config.ports = PortRange::new(50_000, last).unwrap();
            config.rules_mut().limits.per_user = per_user;
        });
        let opened = |world: &mut World| {
            let mut clients = (0..100).map(|_| world.client("alice")).collect::<Vec<_>>();
            // A dual allocation has a port of each address.
            clients.retain(|it| it.ask(world, Request::allocate().dual()).is_success());
            clients.len()
        };
        assert_eq!(opened(&mut world), most, "{last} {per_user:?}");
    }
}
