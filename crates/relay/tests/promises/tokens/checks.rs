//! The other checks of a request with a token. RFC 7635 §7, RFC 8489 §9.2.4.

use super::*;

#[test]
fn a_stale_nonce_under_a_good_token_is_told_so_in_a_signed_answer() {
    let mut world = world();
    let guest = guest(&mut world);
    guest.nonce(&mut world);
    world.advance(minutes(10));
    let answer = guest.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(438));
    // RFC 7635 §8: clients discard an answer that is not signed.
    assert!(answer.is_signed());
    let name = answer.get();
    assert_eq!(name, Some(ThirdPartyAuthorization(SERVER_NAME)));
    guest.allocate(&mut world, minutes(60));
}

#[test]
fn a_nonce_outlasts_its_lifetime_with_an_allocation_that_a_token_opened() {
    let mut world = world();
    let guest = guest(&mut world);
    guest.allocate(&mut world, minutes(60));
    let nonce = guest.nonce(&mut world);
    for _ in 0..4 {
        world.advance(minutes(9));
        guest.succeeds(&mut world, Request::refresh(minutes(10)));
    }
    assert_eq!(guest.nonce(&mut world), nonce);
}

#[test]
fn a_stale_nonce_under_a_wrong_key_is_a_wrong_key() {
    let mut world = world();
    let mut grant = Mint::new(1).now(&world);
    grant.mac_key = vec![4; 20];
    let thief = world.client_with_token(grant);
    thief.hears_error(&mut world, 401, Request::allocate().nonce("stale"));
    assert_eq!(refusal(&mut world), Reject::BadIntegrity);
}

#[test]
fn a_token_without_username_realm_or_nonce_is_a_bad_request() {
    let mut world = world();
    let guest = guest(&mut world);
    for missing in [Username::TYPE, Realm::TYPE, Nonce::TYPE] {
        let answer = guest.ask(&mut world, Request::allocate().without(missing));
        assert_eq!(answer.code(), Some(400), "without {missing:#06x}");
    }
    // The key is named by USERNAME, never by USERHASH.
    let hashed = Request::allocate()
        .without(Username::TYPE)
        .put(UserHash::of("north", REALM));
    assert_eq!(guest.ask(&mut world, hashed).code(), Some(400));
}

#[test]
fn a_token_opens_an_allocation_in_the_realm_of_the_listener_and_no_other() {
    let mut world = world_with(|config| {
        config.rules_mut().realms.add(relay::Realm {
            total: Some(1),
            ..relay::Keys::new("example.net").into()
        });
    });
    let guest = guest(&mut world);
    guest.ask(&mut world, Request::allocate().unsigned());
    let elsewhere = Request::allocate()
        .without(Realm::TYPE)
        .put(Realm("example.net"));
    let answer = guest.ask(&mut world, elsewhere);
    assert_eq!(
        (answer.code(), answer.get()),
        (Some(401), Some(Realm(REALM)))
    );
    assert_eq!(refusal(&mut world), Reject::UnknownRealm);
    guest.allocate(&mut world, minutes(10));
}

#[test]
fn a_token_without_integrity_is_challenged() {
    let mut world = world();
    let grant = Mint::new(1).now(&world);
    let stranger = world.client("alice");
    let request = Request::allocate()
        .unsigned()
        .put_raw(AccessToken::TYPE, &grant.token);
    stranger.hears_error(&mut world, 401, request);
    assert_eq!(world.counters().challenges(), 1);
}

#[test]
fn a_token_that_nobody_asked_for_is_an_unknown_attribute() {
    let mut world = World::new();
    let guest = guest(&mut world);
    let answer = guest.ask(&mut world, Request::allocate().put_raw(0x7FFF, b""));
    assert_eq!(answer.code(), Some(420));
    let UnknownAttributes(unknown) = answer.get().unwrap();
    assert_eq!(unknown, [0x7FFF, AccessToken::TYPE]);
    // A missing attribute is still refused.
    let nameless = Request::allocate().without(Username::TYPE);
    assert_eq!(guest.ask(&mut world, nameless).code(), Some(400));
}

#[test]
fn a_token_belongs_in_allocate_and_refresh_only() {
    let mut world = world();
    let (guest, peer) = (guest(&mut world), world.peer());
    guest.allocate(&mut world, minutes(10));
    let token = Mint::new(1).now(&world).token;
    for request in [
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
        Request::binding(),
    ] {
        let answer = guest.ask(&mut world, request.put_raw(AccessToken::TYPE, &token));
        assert_eq!(answer.code(), Some(420));
        let UnknownAttributes(unknown) = answer.get().unwrap();
        assert_eq!(unknown, [AccessToken::TYPE]);
    }
}

#[test]
fn a_retransmitted_allocate_hears_the_same_again() {
    let mut world = world();
    let guest = guest(&mut world);
    let packet = guest.write(&mut world, &Request::allocate());
    let first = guest.packet(&mut world, &packet).answer();
    let again = guest.packet(&mut world, &packet).answer();
    assert!(first.is_success());
    assert_eq!(first.as_bytes(), again.as_bytes());
    guest.hears_error(&mut world, 437, Request::allocate());
}

#[test]
fn a_token_may_sign_with_sha256_and_is_answered_alike() {
    let mut world = world_with(|config| config.rules_mut().sha256 = Sha256::Offer);
    let new = Proof::New(PasswordAlgorithm::SHA256);
    let guest = Mint::new(1).mac_key(&[6; 32]).client(&mut world);
    guest.nonce(&mut world);
    let opened = guest.ask(&mut world, Request::allocate().proof(new));
    assert!(opened.is_success());
    assert_eq!(opened.message().integrity(), Some(Algorithm::Sha256));
    // Without a password there is no algorithm to choose.
    let bare = Request::refresh(minutes(10))
        .proof(new)
        .without(PasswordAlgorithm::TYPE)
        .without(PasswordAlgorithms::TYPE);
    let answer = guest.ask(&mut world, bare);
    assert!(answer.is_success());
    assert_eq!(answer.message().integrity(), Some(Algorithm::Sha256));
    let peer = world.peer();
    let bare = Request::create_permission([peer])
        .proof(new)
        .without(PasswordAlgorithm::TYPE)
        .without(PasswordAlgorithms::TYPE);
    assert!(guest.ask(&mut world, bare).is_success());
    // A client that chooses must echo the whole offer.
    let bid_down = Request::refresh(minutes(10))
        .proof(new)
        .without(PasswordAlgorithms::TYPE);
    assert_eq!(guest.ask(&mut world, bid_down).code(), Some(400));
}

#[test]
fn where_sha256_is_required_a_token_signs_with_it_or_is_refused() {
    let mut world = world_with(|config| config.rules_mut().sha256 = Sha256::Require);
    let guest = guest(&mut world);
    assert_unauthorized(&mut world, guest, &Reject::Sha256Required);
    let new = Proof::New(PasswordAlgorithm::SHA256);
    guest.succeeds(&mut world, Request::allocate().proof(new));
    let peer = world.peer();
    guest.hears_error(&mut world, 401, Request::create_permission([peer]));
    let new = Request::create_permission([peer]).proof(new);
    assert!(guest.ask(&mut world, new).is_success());
}

#[test]
fn where_sha256_is_off_a_token_signs_with_sha1() {
    let mut world = world_with(|config| config.rules_mut().sha256 = Sha256::Off);
    let guest = guest(&mut world);
    let new = Request::allocate()
        .proof(Proof::New(PasswordAlgorithm::SHA256))
        .without(PasswordAlgorithm::TYPE)
        .without(PasswordAlgorithms::TYPE);
    assert_eq!(guest.ask(&mut world, new).code(), Some(401));
    guest.allocate(&mut world, minutes(10));
}

/// RFC 7635, Appendix B, and coturn.
#[test]
fn message_integrity_may_use_the_hash_of_256_bits_or_the_first_16_bytes() {
    let mut world = world();
    let whole: Vec<u8> = (0..32).collect();
    let mint = |nonce| Mint::new(nonce).mac_key(&whole);
    // python3 -c 'import hashlib; print(hashlib.sha1(bytes(range(32))).hexdigest())'
    let hashed = [
        0xae, 0x5b, 0xd8, 0xef, 0xea, 0x53, 0x22, 0xc4, 0xd9, 0x98, 0x6d, 0x06, 0x68, 0x0a, 0x78,
        0x13, 0x92, 0xf9, 0xa6, 0x42,
    ];
    let peer = world.peer();
    for (nonce, signer) in [(1, &hashed[..]), (2, &whole[..16]), (3, &whole)] {
        let mut grant = mint(nonce).now(&world);
        grant.mac_key = signer.to_vec();
        let client = world.client_with_token(grant);
        client.allocate(&mut world, minutes(10));
        client.bind(&mut world, peer);
    }
    // A key of 160 bits is not hashed, and no other part of one will do.
    for (nonce, mac_key, signer) in [
        (4, &MAC_KEY[..], &hashed[..]),
        (5, &whole, &whole[..15]),
        (6, &whole, &whole[16..]),
    ] {
        let mut grant = Mint::new(nonce).mac_key(mac_key).now(&world);
        grant.mac_key = signer.to_vec();
        let client = world.client_with_token(grant);
        assert_unauthorized(&mut world, client, &Reject::BadIntegrity);
    }
}
