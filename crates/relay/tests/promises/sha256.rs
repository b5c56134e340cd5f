//! RFC 8489's newer authentication: offered, chosen, and protected against bidding down.

use relay::{Reject, Report, Sha256};
use sim::{Answer, Client, Proof, REALM, Request, World, minutes};
use wire::attributes::{
    ChannelNumberAttribute, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    RequestedTransport, UserHash, Username, XorRelayedAddress,
};
use wire::{Algorithm, Attribute, Class, Key, Method, TransactionId, Writer};

const NEW: Proof = Proof::New(PasswordAlgorithm::SHA256);

fn world(policy: Sha256) -> World {
    World::with(|config| config.rules_mut().sha256 = policy)
}

/// The first challenge of a client, which it remembers.
fn challenge(world: &mut World, client: Client) -> Answer {
    client.ask(world, Request::allocate().unsigned())
}

#[test]
fn a_challenge_offers_sha256_first_and_says_so_in_its_nonce() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    assert_eq!(challenge.code(), Some(401));
    let Nonce(nonce) = challenge.get().unwrap();
    // Bits 0 and 1 of 24: password algorithms, username anonymity.
    assert!(nonce.starts_with("obMatJos2wAAA"), "{nonce}");
    let PasswordAlgorithms(offered) = challenge.get().unwrap();
    assert_eq!(offered, [0, 2, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_client_that_chooses_sha256_is_answered_with_sha256() {
    let mut world = world(Sha256::Offer);
    let (alice, peer) = (world.client("alice"), world.peer());
    challenge(&mut world, alice);
    let opened = alice.ask(&mut world, Request::allocate().proof(NEW));
    assert!(opened.is_success());
    assert_eq!(opened.message().integrity(), Some(Algorithm::Sha256));
    alice.succeeds(&mut world, Request::create_permission([peer]).proof(NEW));
    let refused = alice.ask(&mut world, Request::channel_bind(1, peer).proof(NEW));
    assert_eq!(refused.code(), Some(400));
    assert_eq!(refused.message().integrity(), Some(Algorithm::Sha256));
}

#[test]
fn md5_keys_may_be_chosen_under_the_better_integrity() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let md5 = Proof::New(PasswordAlgorithm::MD5);
    let opened = alice.ask(&mut world, Request::allocate().proof(md5));
    assert!(opened.is_success());
    assert_eq!(opened.message().integrity(), Some(Algorithm::Sha256));
}

/// No client may do so, but ystreet's does unless it is told to use SHA-256.
#[test]
fn who_names_an_algorithm_and_signs_with_sha1_is_answered_in_kind() {
    for algorithm in [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5] {
        let mut world = world(Sha256::Offer);
        let alice = world.client("alice");
        challenge(&mut world, alice);
        for request in [Request::allocate(), Request::refresh(minutes(10))] {
            let answer = alice.ask(&mut world, request.proof(Proof::Mixed(algorithm)));
            assert!(answer.is_success());
            assert_eq!(answer.message().integrity(), Some(Algorithm::Sha1));
        }
    }
}

#[test]
fn who_names_none_is_answered_with_sha1_whatever_it_signed_with() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let unnamed = |request: Request| {
        request
            .proof(Proof::New(PasswordAlgorithm::MD5))
            .without(PasswordAlgorithm::TYPE)
            .without(PasswordAlgorithms::TYPE)
    };
    for request in [Request::allocate(), Request::refresh(minutes(10))] {
        let answer = alice.ask(&mut world, unnamed(request));
        assert!(answer.is_success());
        assert_eq!(answer.message().integrity(), Some(Algorithm::Sha1));
    }
}

/// RFC 8489 §9.2.4. With an allocation and without: the key that it keeps must not avoid the check.
#[test]
fn where_both_integrities_are_there_that_of_sha256_decides() {
    let key = |password: &str| Key::md5("alice", REALM, password);
    let (right, wrong) = (key(&sim::password("alice")), key("looking-glass"));
    for (sha1, sha256, code) in [
        (&right, &right, None),
        (&wrong, &right, None),
        (&right, &wrong, Some(401)),
        (&wrong, &wrong, Some(401)),
    ] {
        let mut world = world(Sha256::Offer);
        let (alice, bob) = (world.client("alice"), world.client("alice"));
        alice.allocate(&mut world, minutes(10));
        for (client, method) in [(alice, Method::Refresh), (bob, Method::Allocate)] {
            let nonce = client.nonce(&mut world);
            let mut packet = Vec::new();
            let id = TransactionId::new([5; 12]);
            Writer::new(&mut packet, method, Class::Request, id)
                .put(&RequestedTransport::UDP)
                .put(&Username("alice"))
                .put(&Realm(REALM))
                .put(&Nonce(&nonce))
                .sign(&sha1.schedule(Algorithm::Sha1))
                .sign(&sha256.schedule(Algorithm::Sha256));
            let answer = client.packet(&mut world, &packet).answer();
            assert_eq!(answer.code(), code);
        }
    }
}

#[test]
fn each_challenge_offers_the_algorithms_again_and_names_nobody() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let ask = |user: &str, password: &str| {
        let request = Request::allocate().as_user(user, password);
        request.proof(NEW)
    };
    let stale = Request::allocate().proof(NEW).nonce("obMatJos2wAAAold");
    for (code, request) in [
        (401, ask("mallory", "?")),
        (401, ask("alice", "looking-glass")),
        (438, stale),
    ] {
        let answer = alice.ask(&mut world, request);
        assert_eq!(answer.code(), Some(code));
        assert!(answer.get::<PasswordAlgorithms<'_>>().is_some());
        let Nonce(nonce) = answer.get().unwrap();
        assert!(nonce.starts_with("obMatJos2wAAA"), "{nonce}");
        assert_eq!(answer.get::<Username<'_>>(), None);
        assert_eq!(answer.get::<UserHash>(), None);
    }
    // The last nonce is a valid one.
    alice.succeeds(&mut world, Request::allocate().proof(NEW));
}

/// RFC 8489 §9.2.4: if two things are wrong the earlier check decides.
#[test]
fn the_checks_are_made_in_the_order_of_the_rfc() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let request = || Request::allocate().proof(NEW);
    let bid_down = |request: Request| request.without(PasswordAlgorithms::TYPE);
    let unknown = |request: Request| request.as_user("mallory", "?");
    let wrong = |request: Request| request.as_user("alice", "looking-glass");
    let stale = |request: Request| request.nonce("obMatJos2wAAAold");
    let strange = |request: Request| request.put_raw(0x7FFF, b"");
    for (request, code, cause) in [
        (
            unknown(bid_down(request())).unsigned(),
            401,
            Reject::Challenge,
        ),
        (
            bid_down(unknown(request())).without(Realm::TYPE),
            400,
            Reject::IncompleteCredentials,
        ),
        (unknown(bid_down(request())), 400, Reject::BidDown),
        (stale(unknown(request())), 401, Reject::UnknownUser),
        (stale(wrong(request())), 401, Reject::BadIntegrity),
        (strange(stale(request())), 438, Reject::StaleNonce),
        (
            strange(request()).put(ChannelNumberAttribute(1)),
            420,
            Reject::UnknownAttributes(vec![0x7FFF]),
        ),
    ] {
        world.reports();
        assert_eq!(alice.ask(&mut world, request).code(), Some(code));
        // A challenge is not reported.
        if cause == Reject::Challenge {
            assert!(world.reports().is_empty());
            continue;
        }
        assert_eq!(world.refusal(), cause);
    }
}

#[test]
fn a_client_that_knows_nothing_of_it_goes_on_as_before() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let opened = alice.ask(&mut world, Request::allocate());
    assert!(opened.is_success());
    assert_eq!(opened.message().integrity(), Some(Algorithm::Sha1));
}

#[test]
fn who_drops_an_algorithm_from_the_offer_is_found_out() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let md5 = || Request::allocate().proof(Proof::New(PasswordAlgorithm::MD5));
    // The stronger one is missing from the list that the client saw and echoes.
    let fewer = md5()
        .without(PasswordAlgorithms::TYPE)
        .put(PasswordAlgorithms(&[0, 1, 0, 0]));
    for bid_down in [
        fewer,
        md5().without(PasswordAlgorithms::TYPE),
        md5().without(PasswordAlgorithm::TYPE),
        Request::allocate().proof(Proof::New(PasswordAlgorithm(7))),
    ] {
        let answer = alice.ask(&mut world, bid_down);
        assert_eq!(answer.code(), Some(400));
        assert!(!answer.is_signed());
    }
    assert!(alice.ask(&mut world, md5()).is_success());
}

#[test]
fn who_takes_the_cookie_off_the_nonce_is_found_out() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    let Nonce(nonce) = challenge.get().unwrap();
    // Without it the client would take the server for an old one.
    let bare = Request::allocate().nonce(&nonce[13..]);
    assert_eq!(alice.ask(&mut world, bare).code(), Some(438));
    let other = Request::allocate().nonce(&nonce.replace("wAAA", "AAAA"));
    assert_eq!(alice.ask(&mut world, other).code(), Some(438));
}

#[test]
fn a_wrong_password_under_sha256_is_unauthorized() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let wrong = Request::allocate()
        .as_user("alice", "looking-glass")
        .proof(NEW);
    assert_eq!(alice.ask(&mut world, wrong).code(), Some(401));
}

#[test]
fn a_hash_of_the_name_is_as_good_as_the_name() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    challenge(&mut world, alice);
    let hashed = |name| {
        Request::allocate()
            .proof(NEW)
            .without(Username::TYPE)
            .put(UserHash::of(name, REALM))
    };
    alice.hears_error(&mut world, 401, hashed("mallory"));
    let opened = alice.ask(&mut world, hashed("alice"));
    let XorRelayedAddress(_) = opened.get().unwrap();
    // It is alice's, whichever way she names herself.
    let refresh = Request::refresh(minutes(10)).proof(NEW);
    assert!(alice.ask(&mut world, refresh).is_success());
    let reported = world
        .reports()
        .iter()
        .any(|report| matches!(report, Report::Opened { user, .. } if **user == *"alice"));
    assert!(reported);
}

#[test]
fn hashes_are_not_offered_where_names_cannot_be_known() {
    let mut world = World::ruled(|rules| {
        rules.sha256 = Sha256::Offer;
        rules.realms.default_keys().add_secret(b"north");
    });
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    let Nonce(nonce) = challenge.get().unwrap();
    assert!(nonce.starts_with("obMatJos2gAAA"), "{nonce}");
    let hashed = Request::allocate()
        .proof(NEW)
        .without(Username::TYPE)
        .put(UserHash::of("alice", REALM));
    assert_eq!(alice.ask(&mut world, hashed).code(), Some(400));
}

#[test]
fn sha256_keys_are_not_offered_where_one_user_has_none() {
    let mut world = World::ruled(|rules| {
        rules.sha256 = Sha256::Offer;
        rules.realms.default_keys().add_key("dave", [7; 16]);
    });
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    let PasswordAlgorithms(offered) = challenge.get().unwrap();
    assert_eq!(offered, [0, 1, 0, 0]);
}

#[test]
fn where_it_is_required_old_clients_are_refused_and_the_log_says_why() {
    let mut world = world(Sha256::Require);
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    let PasswordAlgorithms(offered) = challenge.get().unwrap();
    assert_eq!(offered, [0, 2, 0, 0]);
    assert_eq!(alice.ask(&mut world, Request::allocate()).code(), Some(401));
    assert_eq!(world.refusal(), Reject::Sha256Required);
    alice.succeeds(&mut world, Request::allocate().proof(NEW));
}

#[test]
fn where_it_is_off_nothing_is_said_of_it() {
    let mut world = world(Sha256::Off);
    let alice = world.client("alice");
    let challenge = challenge(&mut world, alice);
    assert_eq!(challenge.get::<PasswordAlgorithms<'_>>(), None);
    let Nonce(nonce) = challenge.get().unwrap();
    assert!(!nonce.starts_with("obMatJos2"));
    alice.hears_error(&mut world, 401, Request::allocate().proof(NEW));
}

#[test]
fn a_binding_may_carry_all_of_it_unread() {
    let mut world = world(Sha256::Offer);
    let alice = world.client("alice");
    let binding = Request::binding()
        .put(PasswordAlgorithm::SHA256)
        .put(UserHash::of("alice", REALM));
    assert!(alice.ask(&mut world, binding).is_success());
}
