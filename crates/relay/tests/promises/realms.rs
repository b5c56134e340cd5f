//! Several realms on one server: which one a client is challenged with, and where each user is
//! known. RFC 8489 §9.2.4.

use std::net::SocketAddr;

use relay::keys::{Mint, mint};
use relay::{
    Answer as Answered, ClientTuple, Command, Config, EndCause, Keys, Places, Realm, Reject,
    Report, Rules, Selection, Sha256,
};
use sim::{Answer, Client, LISTENER, Proof, REALM, Request, World, minutes, password};
use wire::attributes::{Nonce, PasswordAlgorithm, ReservationToken, UserHash, Username};
use wire::{Attribute, Key};

use crate::mobility;

const NET: &str = "example.net";
/// The listener whose clients are challenged with [`NET`].
const NET_LISTENER: SocketAddr = SocketAddr::new(sim::LOCAL, 3479);

fn realm(keys: Keys) -> Realm {
    Realm {
        listeners: vec![NET_LISTENER],
        ..keys.into()
    }
}

/// alice, bob and carol of `example.org`, by default, and another alice and dave of `example.net`.
fn two_realms(config: &mut Config) {
    let mut keys = Keys::new(NET);
    keys.add_user("alice", &password("alice@example.net"))
        .unwrap();
    keys.add_user("dave", &password("dave")).unwrap();
    config.rules_mut().realms.add(realm(keys));
}

/// A client of a listener.
fn client_at(world: &mut World, server: SocketAddr, user: &str, password: &str) -> Client {
    let elsewhere = world.client("nobody").tuple(world);
    let tuple = ClientTuple {
        client: SocketAddr::new(elsewhere.client.ip(), 7),
        server,
        ..elsewhere
    };
    world.client_at(0, tuple, user, password)
}

#[track_caller]
fn assert_names(answer: &Answer, code: u16, realm: &str) {
    assert_eq!(answer.code(), Some(code));
    assert_eq!(answer.get(), Some(wire::attributes::Realm(realm)));
}

/// The user that the last allocation was opened for, and the realm.
#[track_caller]
fn opened_for(world: &mut World) -> (String, String) {
    let reports = world.reports();
    let Some(Report::Opened { user, realm, .. }) = reports.last() else {
        panic!("no allocation: {reports:?}");
    };
    (user.to_string(), realm.to_string())
}

fn of(user: &str, realm: &str) -> (String, String) {
    (user.to_owned(), realm.to_owned())
}

#[test]
fn a_client_is_challenged_with_the_realm_of_its_listener() {
    let mut world = World::with(two_realms);
    for (server, realm) in [(LISTENER, REALM), (NET_LISTENER, NET)] {
        let stranger = client_at(&mut world, server, "alice", "");
        let answer = stranger.ask(&mut world, Request::allocate().unsigned());
        assert_names(&answer, 401, realm);
    }
}

#[test]
fn a_name_belongs_to_the_realm_it_is_signed_with() {
    let mut world = World::with(two_realms);
    let one = client_at(&mut world, LISTENER, "alice", &password("alice"));
    one.allocate(&mut world, minutes(10));
    assert_eq!(opened_for(&mut world), of("alice", REALM));
    let other = client_at(
        &mut world,
        NET_LISTENER,
        "alice",
        &password("alice@example.net"),
    );
    other.allocate(&mut world, minutes(10));
    assert_eq!(opened_for(&mut world), of("alice", NET));
    // The password of one is not good for the other.
    let mallory = client_at(&mut world, NET_LISTENER, "alice", &password("alice"));
    let answer = mallory.ask(&mut world, Request::allocate());
    assert_names(&answer, 401, NET);
    assert_eq!(world.refusal(), Reject::BadIntegrity);
}

#[test]
fn a_name_with_a_realm_is_known_at_every_listener_after_one_challenge() {
    let mut world = World::with(two_realms);
    for server in [LISTENER, NET_LISTENER] {
        let alice = client_at(
            &mut world,
            server,
            "alice@example.net",
            &password("alice@example.net"),
        );
        alice.allocate(&mut world, minutes(10));
        assert_eq!(opened_for(&mut world), of("alice", NET));
        assert_eq!(world.counters().refused(), 0);
        alice.delete(&mut world);
    }
    let bob = client_at(
        &mut world,
        NET_LISTENER,
        "bob@example.org",
        &password("bob"),
    );
    bob.allocate(&mut world, minutes(10));
    let (peer, world) = (world.peer(), &mut world);
    bob.bind(world, peer);
    bob.refresh(world, minutes(20));
    bob.delete(world);
    assert!(world.is_idle());
}

#[test]
fn a_name_that_ends_in_no_realm_of_ours_is_just_a_name() {
    let mut world = World::with(|config| {
        two_realms(config);
        let keys = config.rules_mut().realms.default_keys();
        keys.add_user("erin@example.com", "wonderland").unwrap();
    });
    let erin = client_at(&mut world, LISTENER, "erin@example.com", "wonderland");
    erin.allocate(&mut world, minutes(10));
    assert_eq!(opened_for(&mut world), of("erin@example.com", REALM));
}

#[test]
fn a_user_may_be_given_with_the_realm_and_come_without() {
    let mut world = World::ruled(|rules| {
        let keys = rules.realms.default_keys();
        keys.add_user("erin@example.org", "wonderland").unwrap();
    });
    for name in ["erin", "erin@example.org"] {
        let erin = world.client_with(name, "wonderland");
        erin.allocate(&mut world, minutes(10));
        assert_eq!(opened_for(&mut world), of("erin", REALM));
    }
}

#[test]
fn time_limited_names_have_realms_too() {
    let mut world = World::ruled(|rules| {
        rules.realms.default_keys().add_secret(b"south");
        let mut keys = Keys::new(NET);
        keys.add_secret(b"north");
        rules.realms.add(realm(keys));
    });
    let expiry = world.now().unix.as_secs() + 60;
    let minted = |secret: &[u8], user| mint(Mint::Sha1, secret, user, expiry);
    let alice = minted(b"north", Some("alice@example.net"));
    for server in [LISTENER, NET_LISTENER] {
        let client = client_at(&mut world, server, &alice.username, &alice.password);
        client.allocate(&mut world, minutes(10));
        assert_eq!(opened_for(&mut world), of("alice", NET));
    }
    // A secret of one realm is not good in the other.
    for (server, secret, user) in [
        (LISTENER, &b"south"[..], "alice@example.net"),
        (LISTENER, b"north", "alice@example.org"),
        (LISTENER, b"north", "alice"),
        (NET_LISTENER, b"south", "alice"),
    ] {
        let forged = minted(secret, Some(user));
        let mallory = client_at(&mut world, server, &forged.username, &forged.password);
        let answer = mallory.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), Some(401), "{user}");
        assert_eq!(world.refusal(), Reject::BadIntegrity);
    }
}

/// A second realm whose dave is known by a key only.
fn precomputed(config: &mut Config) {
    let mut keys = Keys::new(NET);
    let key = Key::md5("dave@example.net", NET, "wonderland");
    keys.add_key("dave@example.net", key.as_bytes().try_into().unwrap());
    config.rules_mut().realms.add(realm(keys));
}

#[test]
fn a_precomputed_key_is_asked_for_again_under_its_own_realm() {
    let mut world = World::with(precomputed);
    let dave = client_at(&mut world, LISTENER, "dave@example.net", "wonderland");
    let answer = dave.ask(&mut world, Request::allocate());
    assert_names(&answer, 401, NET);
    // The client has taken the realm from the answer.
    dave.allocate(&mut world, minutes(10));
    assert_eq!(opened_for(&mut world), of("dave", NET));
    // The key is bound to the spelling, too.
    let dave = client_at(&mut world, NET_LISTENER, "dave", "wonderland");
    assert_eq!(dave.ask(&mut world, Request::allocate()).code(), Some(401));
}

#[test]
fn the_realm_in_a_refusal_does_not_tell_who_is_known() {
    let mut world = World::with(precomputed);
    for user in ["dave@example.net", "mallory@example.net"] {
        let guess = client_at(&mut world, LISTENER, user, "guessed");
        for _ in 0..2 {
            let answer = guess.ask(&mut world, Request::allocate());
            assert_names(&answer, 401, NET);
        }
    }
    let guess = client_at(&mut world, LISTENER, "mallory", "guessed");
    let answer = guess.ask(&mut world, Request::allocate());
    assert_names(&answer, 401, REALM);
}

#[test]
fn a_request_signed_with_a_realm_of_nobody_is_challenged_anew() {
    let mut world = World::with(two_realms);
    let alice = client_at(
        &mut world,
        NET_LISTENER,
        "alice",
        &password("alice@example.net"),
    );
    alice.nonce(&mut world);
    let foreign = || {
        Request::allocate()
            .without(wire::attributes::Realm::TYPE)
            .put(wire::attributes::Realm("example.com"))
    };
    let answer = alice.ask(&mut world, foreign());
    assert_names(&answer, 401, NET);
    assert_eq!(world.refusal(), Reject::UnknownRealm);
}

#[test]
fn a_client_signs_with_another_realm_than_its_listeners_only_if_its_name_ends_in_it() {
    let mut world = World::with(two_realms);
    let own = password("dave");
    let dave = client_at(&mut world, LISTENER, "dave@example.net", &own);
    // The refusal of a wrong password names the realm in the name, and the client takes it.
    let learns = |world: &mut World| {
        for _ in 0..2 {
            let guess = Request::allocate().as_user("dave@example.net", "guessed");
            assert_names(&dave.ask(world, guess), 401, NET);
        }
        world.reports();
    };
    learns(&mut world);
    let without = Request::allocate().as_user("dave", &own);
    let answer = dave.ask(&mut world, without);
    assert_names(&answer, 401, REALM);
    assert_eq!(world.refusal(), Reject::UnknownRealm);
    learns(&mut world);
    dave.allocate(&mut world, minutes(10));
}

#[test]
fn an_allocation_goes_on_with_the_realm_that_its_listener_had() {
    let mut world = World::with(two_realms);
    let own = password("alice@example.net");
    let alice = client_at(&mut world, NET_LISTENER, "alice", &own);
    alice.allocate(&mut world, minutes(10));
    let mut keys = Keys::new(NET);
    keys.add_user("alice", &own).unwrap();
    let mut changed = Rules::new(Keys::new(REALM), sim::policy());
    changed.realms.add(Realm {
        listeners: vec![],
        ..realm(keys)
    });
    world.change_rules(changed);
    alice.refresh(&mut world, minutes(20));
    alice.delete(&mut world);
    let answer = alice.ask(&mut world, Request::allocate());
    assert_names(&answer, 401, REALM);
}

#[test]
fn a_stale_nonce_leaves_the_realm_that_was_signed_with() {
    let mut world = World::with(two_realms);
    let alice = client_at(
        &mut world,
        LISTENER,
        "alice@example.net",
        &password("alice@example.net"),
    );
    alice.nonce(&mut world);
    world.advance(minutes(20));
    let answer = alice.ask(&mut world, Request::allocate());
    assert_names(&answer, 438, REALM);
    alice.allocate(&mut world, minutes(60));
}

#[test]
fn a_namesake_of_another_realm_is_another_user() {
    let mut world = World::with(two_realms);
    let own = password("alice");
    let alice = client_at(&mut world, LISTENER, "alice@example.org", &own);
    alice.allocate(&mut world, minutes(10));
    let namesake = password("alice@example.net");
    let as_other = Request::refresh(minutes(10)).as_user("alice@example.net", &namesake);
    alice.hears_error(&mut world, 441, as_other);
    // Either spelling names the same user.
    let as_self = Request::refresh(minutes(10)).as_user("alice", &own);
    assert!(alice.ask(&mut world, as_self).is_success());
}

#[test]
fn a_ticket_is_no_good_to_a_namesake_of_another_realm() {
    let mut world = World::with(two_realms);
    let alice = client_at(&mut world, LISTENER, "alice", &password("alice"));
    let ticket = mobility::allocate(alice, &mut world);
    let namesake = password("alice@example.net");
    let other = client_at(&mut world, NET_LISTENER, "alice", &namesake);
    other.hears_error(&mut world, 441, mobility::shown(&ticket));
    let own = password("alice");
    let moved = client_at(&mut world, NET_LISTENER, "alice@example.org", &own);
    let answer = moved.ask(&mut world, mobility::shown(&ticket));
    assert!(answer.is_success(), "{answer:?}");
}

#[test]
fn a_reservation_is_redeemed_in_its_realm_only() {
    let mut world = World::with(two_realms);
    let alice = client_at(&mut world, LISTENER, "alice", &password("alice"));
    let reserved = alice.ask(&mut world, Request::allocate().reserve_next());
    let token: ReservationToken = reserved.get().unwrap();
    let namesake = password("alice@example.net");
    let other = client_at(&mut world, NET_LISTENER, "alice", &namesake);
    other.hears_error(&mut world, 508, Request::allocate().reserved(token));
    let second = client_at(
        &mut world,
        NET_LISTENER,
        "alice@example.org",
        &password("alice"),
    );
    second.succeeds(&mut world, Request::allocate().reserved(token));
}

#[test]
fn a_realm_has_a_quota_for_its_users_together_and_one_for_each() {
    let mut world = World::ruled(|rules| {
        rules.limits.per_user = Some(1);
        let mut keys = Keys::new(NET);
        for user in ["alice", "dave"] {
            keys.add_user(user, &password(user)).unwrap();
        }
        rules.realms.add(Realm {
            total: Some(3),
            per_user: Some(2),
            ..realm(keys)
        });
    });
    let mut ask = |server, user: &str| {
        let client = client_at(&mut world, server, user, &password(user));
        (client, client.ask(&mut world, Request::allocate()).code())
    };
    let (first, granted) = ask(NET_LISTENER, "alice");
    assert_eq!(granted, None);
    assert_eq!(ask(NET_LISTENER, "alice").1, None);
    assert_eq!(ask(NET_LISTENER, "alice").1, Some(486));
    assert_eq!(ask(NET_LISTENER, "dave").1, None);
    // The realm's quota is reached, and other realms are not affected.
    assert_eq!(ask(NET_LISTENER, "dave").1, Some(486));
    assert_eq!(ask(LISTENER, "alice").1, None);
    assert_eq!(ask(LISTENER, "alice").1, Some(486));
    first.delete(&mut world);
    let dave = client_at(&mut world, NET_LISTENER, "dave", &password("dave"));
    dave.allocate(&mut world, minutes(10));
}

/// A request that is signed as RFC 8489 has it, by the hash of a name.
fn hashed(name: &str, realm: &str) -> Request {
    Request::allocate()
        .proof(Proof::New(PasswordAlgorithm::SHA256))
        .without(Username::TYPE)
        .put(UserHash::of(name, realm))
}

#[test]
fn a_hash_stands_for_a_name_of_any_realm_under_whatever_challenge() {
    let mut world = World::with(|config| {
        two_realms(config);
        config.rules_mut().sha256 = Sha256::Offer;
    });
    for (server, challenged) in [(LISTENER, REALM), (NET_LISTENER, NET)] {
        for (name, secret, realm) in [
            ("alice@example.net", password("alice@example.net"), NET),
            ("bob@example.org", password("bob"), REALM),
        ] {
            let client = client_at(&mut world, server, name, &secret);
            let opened = client.ask(&mut world, hashed(name, challenged));
            assert!(opened.is_success(), "{name} at {server}");
            let (user, _) = name.split_once('@').unwrap();
            assert_eq!(opened_for(&mut world), of(user, realm));
            client.ask(&mut world, Request::refresh(minutes(0)));
        }
    }
    let alice = client_at(
        &mut world,
        NET_LISTENER,
        "alice",
        &password("alice@example.net"),
    );
    assert!(alice.ask(&mut world, hashed("alice", NET)).is_success());
}

#[test]
fn hashes_are_not_offered_where_a_key_is_bound_to_one_of_several_realms() {
    let mut world = World::with(|config| {
        precomputed(config);
        config.rules_mut().sha256 = Sha256::Offer;
    });
    let stranger = world.client("alice");
    let answer = stranger.ask(&mut world, Request::allocate().unsigned());
    let Nonce(nonce) = answer.get().unwrap();
    // Bit 0 of 24 only: password algorithms.
    assert!(nonce.starts_with("obMatJos2gAAA"), "{nonce}");
}

#[test]
fn the_allocations_of_a_realm_are_ended_and_those_of_another_go_on() {
    let mut world = World::with(two_realms);
    let [org, net] =
        [(LISTENER, "alice"), (NET_LISTENER, "alice@example.net")].map(|(listener, user)| {
            let client = client_at(&mut world, listener, "alice", &password(user));
            client.allocate(&mut world, minutes(10));
            client
        });
    let end = |realm: &str| {
        let selection = Selection {
            realm: Some(realm.into()),
            ..Selection::default()
        };
        Command::End(selection, EndCause::Operator, Places::ALL)
    };
    for (realm, count) in [("example.com", 0), (NET, 1), (NET, 0)] {
        assert_eq!(world.command(0, end(realm)), Answered::Ended(count, None));
    }
    org.refresh(&mut world, minutes(10));
    net.hears_error(&mut world, 437, Request::refresh(minutes(10)));
    assert_eq!(world.command(0, end(REALM)), Answered::Ended(1, None));
    assert_eq!(world.end_causes(), [EndCause::Operator; 2]);
}
