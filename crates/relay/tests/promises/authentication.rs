//! Long-term credentials: which requests are challenged, which are refused, and with which code.
//! RFC 8489 §9.2.4.

use std::time::Duration;

use relay::{ClientTuple, DropReason, Reject, Verdict};
use sim::Outcome::Lost;
use sim::{Answer, REALM, Request, World, minutes, password, seconds};
use wire::attributes::{ErrorCode, Nonce, Realm, Username};
use wire::{Attribute, Class, Message, Method, TransactionId};

/// The requests that need credentials, each as it would be granted or refused with 437 if signed.
fn requests() -> [Request; 4] {
    let peer = sim::Peer::at("9.9.9.9:4000");
    [
        Request::allocate(),
        Request::refresh(minutes(10)),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ]
}

#[track_caller]
fn assert_challenges(answer: &Answer, code: u16) {
    assert_eq!(answer.code(), Some(code));
    assert!(!answer.is_signed());
    assert_eq!(answer.get(), Some(Realm(REALM)));
    assert!(answer.get::<Nonce<'_>>().is_some());
}

#[test]
fn a_request_without_integrity_is_challenged_whatever_it_asks() {
    let mut world = World::new();
    let alice = world.client("alice");
    for request in requests() {
        let answer = alice.ask(&mut world, request.unsigned());
        assert_challenges(&answer, 401);
    }
    assert_eq!(world.counters().challenges(), 4);
    // The challenge is the normal first step of every client, and is not reported.
    assert_eq!(world.counters().refused(), 0);
    assert!(world.reports().is_empty() && world.is_idle());
}

#[test]
fn names_without_integrity_do_not_help() {
    let mut world = World::new();
    let alice = world.client("alice");
    let nonce = alice.nonce(&mut world);
    let request = Request::allocate()
        .unsigned()
        .put(Username("alice"))
        .put(Realm(REALM))
        .put_raw(Nonce::TYPE, nonce.as_bytes());
    assert_challenges(&alice.ask(&mut world, request), 401);
}

#[test]
fn a_challenge_carries_no_byte_too_many() {
    let mut world = World::new();
    let answer = world
        .client("alice")
        .ask(&mut world, Request::allocate().unsigned());
    let ErrorCode { reason, .. } = answer.get().unwrap();
    assert_eq!(reason, "");
    // Header, ERROR-CODE, REALM and NONCE.
    assert_eq!(answer.as_bytes().len(), 20 + 8 + 16 + 28);
}

#[test]
fn integrity_without_username_realm_or_nonce_is_a_bad_request() {
    let mut world = World::new();
    let alice = world.client("alice");
    for missing in [Username::TYPE, Realm::TYPE, Nonce::TYPE] {
        let answer = alice.ask(&mut world, Request::allocate().without(missing));
        assert_eq!(answer.code(), Some(400), "without {missing:#06x}");
        assert!(!answer.is_signed());
        // The answer has nothing but the code.
        assert_eq!(answer.as_bytes().len(), 20 + 8);
        assert_eq!(world.refusal(), Reject::IncompleteCredentials);
    }
}

#[test]
fn an_unknown_user_is_unauthorized() {
    let mut world = World::new();
    let mallory = world.client_with("mallory", &password("alice"));
    let answer = mallory.ask(&mut world, Request::allocate());
    assert_challenges(&answer, 401);
    assert_eq!(world.refusal(), Reject::UnknownUser);
}

#[test]
fn a_wrong_password_is_unauthorized() {
    let mut world = World::new();
    let mallory = world.client_with("alice", "guessed");
    for request in requests() {
        let answer = mallory.ask(&mut world, request);
        assert_challenges(&answer, 401);
        assert_eq!(world.refusal(), Reject::BadIntegrity);
    }
    assert!(world.is_idle());
}

#[test]
fn a_nonce_lasts_its_lifetime_to_the_second() {
    for (age, code) in [(599, None), (600, Some(438))] {
        let mut world = World::new();
        let alice = world.client("alice");
        let old = alice.nonce(&mut world);
        world.advance(seconds(age));
        let answer = alice.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), code);
        if code.is_none() {
            continue;
        }
        assert_challenges(&answer, 438);
        assert_eq!(world.refusal(), Reject::StaleNonce);
        // The client has taken the fresh one from the answer.
        assert_ne!(alice.nonce(&mut world), old);
        assert!(alice.ask(&mut world, Request::allocate()).is_success());
    }
}

/// werift ends its call at the first 438, and mediastreamer2 hears none after it has gathered.
#[test]
fn a_nonce_is_good_for_as_long_as_the_allocation_lives_that_was_made_with_it() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    // As old as can be when the allocation is made.
    let nonce = alice.nonce(&mut world);
    world.advance(seconds(599));
    alice.allocate(&mut world, minutes(60));
    for _ in 0..10 {
        world.advance(minutes(50));
        alice.refresh(&mut world, minutes(60));
        alice.permit(&mut world, peer);
        alice.bind(&mut world, peer);
        assert_eq!(alice.nonce(&mut world), nonce);
    }
    // The nonce ends with the allocation.
    alice.delete(&mut world);
    let answer = alice.ask(&mut world, Request::allocate());
    assert_challenges(&answer, 438);
}

/// Neither a second that has just begun nor a socket that opens late makes a difference.
#[test]
fn a_nonce_that_made_an_allocation_in_its_last_moment_stays_good() {
    let mut world = World::with(|config| config.rules_mut().nonce_lifetime = seconds(60));
    world.advance(Duration::from_millis(100));
    let alice = world.client("alice");
    let nonce = alice.nonce(&mut world);
    world.advance(Duration::from_millis(58_700));
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    world.advance(seconds(3));
    world.open_sockets();
    for _ in 0..40 {
        world.advance(Duration::from_millis(250));
        let refresh = Request::refresh(minutes(10)).nonce(&nonce);
        assert_eq!(alice.ask(&mut world, refresh).code(), None);
    }
}

/// A host without a clock of its own sets it when the network comes.
#[test]
fn a_nonce_stays_good_for_its_allocation_when_the_clock_is_set() {
    for (forward, back) in [(minutes(120), minutes(0)), (minutes(0), minutes(120))] {
        let mut world = World::new();
        let alice = world.client("alice");
        alice.allocate(&mut world, minutes(10));
        let packet = alice.write(&mut world, &Request::refresh(minutes(10)));
        let (now, tuple) = (world.now(), alice.tuple(&world));
        let set = relay::Now {
            unix: now.unix + forward - back,
            ..now
        };
        let verdict = world.server(0).handle_client(set, tuple, &packet);
        let Verdict::Answer(answer) = verdict else {
            panic!("{verdict:?}");
        };
        let answer = Message::parse(answer.contents).unwrap();
        assert_eq!(answer.class(), Class::Success);
    }
}

/// An attacker who has seen the end of one call cannot end the next from the same port.
#[test]
fn what_was_signed_for_an_earlier_allocation_does_not_end_a_later_one() {
    let mut world = World::with(|config| config.rules_mut().nonce_lifetime = seconds(60));
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(60));
    let captured = alice.write(&mut world, &Request::refresh(seconds(0)));
    assert!(alice.packet(&mut world, &captured).answer().is_success());
    world.advance(seconds(30));
    // The client is challenged again.
    alice.ask(&mut world, Request::allocate().unsigned());
    alice.allocate(&mut world, minutes(60));
    world.advance(minutes(30));
    let answer = alice.packet(&mut world, &captured).answer();
    assert_eq!((answer.code(), world.allocations()), (Some(438), 1));
}

/// An allocation makes nonces good for its own user only, and none made long before it.
#[test]
fn a_live_allocation_makes_no_nonce_good_that_is_older_or_anothers() {
    let mut world = World::new();
    let alice = world.client("alice");
    let early = alice.nonce(&mut world);
    world.advance(minutes(10));
    alice.ask(&mut world, Request::allocate());
    let nonce = alice.nonce(&mut world);
    alice.allocate(&mut world, minutes(60));
    world.advance(minutes(10));
    let as_bob = Request::refresh(minutes(10)).as_user("bob", &password("bob"));
    for (request, code) in [
        (Request::refresh(minutes(60)).nonce(&early), 438),
        (as_bob.nonce(&nonce), 438),
        (Request::refresh(minutes(60)).nonce("made up"), 438),
    ] {
        let answer = alice.ask(&mut world, request);
        assert_eq!(answer.code(), Some(code));
    }
    let request = Request::refresh(minutes(60)).nonce(&nonce);
    assert!(alice.ask(&mut world, request).is_success());
}

/// pjnath gives up a request that is answered 438 with the nonce it has.
#[test]
fn two_challenges_in_one_instant_have_two_nonces() {
    let mut world = World::new();
    let alice = world.client("alice");
    let mut heard = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = alice.ask(&mut world, Request::allocate().unsigned());
        let nonce: Nonce<'_> = answer.get().unwrap();
        assert!(heard.insert(nonce.0.to_owned()));
    }
}

#[test]
fn a_stale_nonce_under_a_wrong_password_is_a_wrong_password() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(60));
    let forged = Request::refresh(minutes(60)).as_user("alice", "guessed");
    world.advance(minutes(20));
    world.reports();
    assert_challenges(&alice.ask(&mut world, forged), 401);
    assert_eq!(world.refusal(), Reject::BadIntegrity);
}

#[test]
fn a_nonce_that_was_never_ours_is_stale() {
    let mut world = World::new();
    let alice = world.client("alice");
    let long = "n".repeat(763);
    for nonce in ["", "made up", "AAAAAAAAAAAAAAAAAAAAAAAAAAA", &long] {
        let answer = alice.ask(&mut world, Request::allocate().nonce(nonce));
        assert_challenges(&answer, 438);
    }
}

#[test]
fn a_nonce_serves_its_source_address_and_any_port_of_it() {
    let mut world = World::new();
    let alice = world.client("alice");
    let nonce = alice.nonce(&mut world);
    let mut behind = |address: &str| {
        let tuple = ClientTuple {
            client: address.parse().unwrap(),
            ..alice.tuple(&world)
        };
        let other = world.client_at(0, tuple, "alice", &password("alice"));
        other.nonce(&mut world);
        other.ask(&mut world, Request::allocate().nonce(&nonce))
    };
    let rebound = format!("{}:7", alice_ip());
    assert!(behind(&rebound).is_success());
    assert_challenges(&behind("100.113.9.9:50000"), 438);
}

#[test]
fn two_ports_of_one_address_hear_two_nonces_at_the_same_moment() {
    let mut world = World::new();
    let alice = world.client("alice");
    let mut behind = |port| {
        let tuple = ClientTuple {
            client: std::net::SocketAddr::new(alice_ip(), port),
            ..alice.tuple(&world)
        };
        let client = world.client_at(0, tuple, "alice", &password("alice"));
        client.nonce(&mut world)
    };
    assert_ne!(behind(7), behind(8));
}

#[test]
fn a_nonce_of_one_shard_is_good_at_every_other() {
    let mut world = World::sharded(2, |_| {});
    let alice = world.client_on(0, "alice");
    let nonce = alice.nonce(&mut world);
    let tuple = ClientTuple {
        transport: relay::Transport::Tcp,
        ..alice.tuple(&world)
    };
    let elsewhere = world.client_at(1, tuple, "alice", &password("alice"));
    elsewhere.nonce(&mut world);
    world.advance(seconds(60));
    let answer = elsewhere.ask(&mut world, Request::allocate().nonce(&nonce));
    assert!(answer.is_success());
}

/// The address of a world's first client.
fn alice_ip() -> std::net::IpAddr {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.tuple(&world).client.ip()
}

#[test]
fn a_turn_request_without_the_cookie_is_dropped() {
    let mut world = World::new();
    let alice = world.client("alice");
    let old = TransactionId::from_header([3; 16]);
    for request in requests() {
        let request = request.in_transaction(old);
        assert_eq!(alice.tell(&mut world, request), Lost(DropReason::NoCookie));
    }
    assert!(world.is_idle());
}

#[test]
fn unreadable_names_are_a_bad_request() {
    let mut world = World::new();
    let alice = world.client("alice");
    for (kind, value) in [
        (Username::TYPE, &b"\xFF\xFE"[..]),
        (Username::TYPE, &[b'n'; 764]),
        (Realm::TYPE, b"\x80"),
        (Nonce::TYPE, &[b'n'; 764]),
    ] {
        // The first of its kind counts.
        let request = Request::allocate().put_raw(kind, value);
        let answer = alice.ask(&mut world, request);
        assert_eq!(answer.code(), Some(400), "{kind:#06x}");
        assert!(!answer.is_signed());
    }
}

/// As long as RFC 5389 allowed.
#[test]
fn a_name_of_763_bytes_is_read_and_may_be_a_users() {
    let name = "n".repeat(763);
    let mut world = World::with(|config| {
        let keys = config.rules_mut().realms.default_keys();
        keys.add_user(&name, "password").unwrap();
    });
    let long = world.client_with(&name, "password");
    assert!(long.ask(&mut world, Request::allocate()).is_success());
}

#[test]
fn a_method_that_is_no_request_of_turn_is_dropped() {
    let mut world = World::new();
    let alice = world.client("alice");
    for method in [Method::Send, Method::Data, Method::Other(0x0AB)] {
        let outcome = alice.tell(&mut world, Request::new(method));
        assert_eq!(outcome, Lost(DropReason::UnknownMethod));
    }
}
