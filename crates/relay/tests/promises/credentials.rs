//! Where credentials come from: passwords, precomputed keys, shared secrets. RFC 8489 §9.2.2; the
//! TURN REST convention.

use relay::keys::{Mint, mint};
use relay::{Keys, Reject, Report};
use sim::{Client, REALM, Request, World, minutes, seconds};
use wire::Key;

/// A server with two secrets, the newer one first, and a user of its own.
fn world_with_secrets() -> World {
    World::with(|config| {
        config.realms = Keys::new(REALM).into();
        config.realms.default_keys().add_secret(b"south");
        config.realms.default_keys().add_secret(b"north");
        config
            .realms
            .default_keys()
            .add_user("alice", "wonderland")
            .unwrap();
    })
}

/// A client with a credential that this secret's owner made, to last so many seconds.
fn guest(world: &mut World, secret: &[u8], user: Option<&str>, lasts: u64) -> Client {
    let credential = mint(Mint::Sha1, secret, user, world.now().unix.as_secs() + lasts);
    world.client_with(&credential.username, &credential.password)
}

#[track_caller]
fn assert_refused(world: &mut World, client: Client, why: &Reject) {
    world.reports();
    let answer = client.ask(world, Request::allocate());
    assert_eq!(answer.code(), Some(401));
    let reports = world.reports();
    assert!(
        matches!(&reports[..], [Report::Refused { reject, .. }] if reject == why),
        "{reports:?}"
    );
}

#[test]
fn a_key_computed_elsewhere_is_as_good_as_its_password() {
    let key = Key::md5("alice", REALM, "wonderland");
    let mut world = World::with(|config| {
        config.realms = Keys::new(REALM).into();
        let key = key.as_bytes().try_into().unwrap();
        config.realms.default_keys().add_key("alice", key);
    });
    world
        .client_with("alice", "wonderland")
        .allocate(&mut world, minutes(10));
    let mallory = world.client_with("alice", "looking-glass");
    assert_refused(&mut world, mallory, &Reject::BadIntegrity);
}

#[test]
fn a_realm_is_empty_until_there_is_a_user_a_key_or_a_secret() {
    let empty = || Keys::new(REALM);
    assert!(empty().is_empty());
    let additions: [fn(&mut Keys); 3] = [
        |keys| keys.add_user("alice", "wonderland").unwrap(),
        |keys| keys.add_key("alice", [7; 16]),
        |keys| keys.add_secret(b"north"),
    ];
    for add in additions {
        let mut keys = empty();
        add(&mut keys);
        assert!(!keys.is_empty());
    }
}

#[test]
fn every_secret_makes_good_credentials() {
    let mut world = world_with_secrets();
    for secret in [b"north", b"south"] {
        for user in [Some("bob"), None] {
            let guest = guest(&mut world, secret, user, 60);
            guest.allocate(&mut world, minutes(10));
            guest.delete(&mut world);
        }
    }
    let mallory = guest(&mut world, b"west", Some("bob"), 60);
    assert_refused(&mut world, mallory, &Reject::BadIntegrity);
}

#[test]
fn passwords_and_secrets_serve_side_by_side() {
    let mut world = world_with_secrets();
    let alice = world.client_with("alice", "wonderland");
    alice.allocate(&mut world, minutes(10));
    guest(&mut world, b"north", Some("alice"), 60).allocate(&mut world, minutes(10));
}

#[test]
fn a_credential_expires_to_the_second() {
    let mut world = world_with_secrets();
    let bob = guest(&mut world, b"north", Some("bob"), 60);
    world.advance(seconds(59));
    bob.allocate(&mut world, minutes(10));
    bob.delete(&mut world);
    world.advance(seconds(1));
    let since = seconds(0);
    assert_refused(&mut world, bob, &Reject::Expired { since });
    world.advance(seconds(3600));
    let since = seconds(3600);
    assert_refused(&mut world, bob, &Reject::Expired { since });
}

#[test]
fn an_allocation_outlives_its_credential() {
    let mut world = world_with_secrets();
    let (bob, peer) = (guest(&mut world, b"north", Some("bob"), 60), world.peer());
    bob.allocate(&mut world, minutes(10));
    for _ in 0..10 {
        world.advance(minutes(9));
        bob.refresh(&mut world, minutes(10));
        bob.bind(&mut world, peer);
    }
    // What ended cannot be had again.
    bob.delete(&mut world);
    let since = seconds(9 * 10 * 60 - 60);
    assert_refused(&mut world, bob, &Reject::Expired { since });
}

#[test]
fn a_time_cannot_be_written_over_a_password() {
    let mut world = world_with_secrets();
    let credential = mint(
        Mint::Sha1,
        b"north",
        Some("bob"),
        world.now().unix.as_secs() - 1,
    );
    let later = world.now().unix.as_secs() + 3600;
    let stretched = format!("{later}:bob");
    let mallory = world.client_with(&stretched, &credential.password);
    assert_refused(&mut world, mallory, &Reject::BadIntegrity);
}

#[test]
fn without_a_secret_a_time_is_just_an_unknown_name() {
    let mut world = World::new();
    let bob = guest(&mut world, b"", Some("bob"), 60);
    assert_refused(&mut world, bob, &Reject::UnknownUser);
}
