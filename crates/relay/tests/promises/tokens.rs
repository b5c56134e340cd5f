//! Access tokens of third parties: what a token opens, and for how long. RFC 7635.

use std::time::Duration;

use relay::keys::{Encryption, Token, TokenKey, TokenKeys, Validity};
use relay::{AddressFamily, EndCause, Reject, Report, Sha256};
use sim::{
    AccessGrant, Answer, Client, Outcome, Proof, REALM, Request, SERVER_NAME, World, minutes,
    seconds,
};
use wire::attributes::{
    AccessToken, Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    ThirdPartyAuthorization, UnknownAttributes, UserHash, Username,
};
use wire::{Algorithm, Attribute, Key};

use crate::mobility;

const NORTH: [u8; 32] = [1; 32];
const SOUTH: [u8; 16] = [2; 16];
const MAC_KEY: [u8; 20] = [3; 20];

fn north() -> TokenKey {
    TokenKey::new(Encryption::A256Gcm, &NORTH).unwrap()
}

/// A server that shares a key with each of two authorization servers, and has users of its own.
fn world_with(change: impl FnOnce(&mut relay::Config)) -> World {
    World::with(|config| {
        config.rules_mut().tokens = TokenKeys::new(SERVER_NAME.to_owned());
        config.rules_mut().tokens.add("north", north());
        let south = TokenKey::new(Encryption::A128Gcm, &SOUTH).unwrap();
        config.rules_mut().tokens.add("south", south);
        change(config);
    })
}

pub(crate) fn world() -> World {
    world_with(|_| {})
}

/// A token that an authorization server makes for a client.
struct Mint {
    kid: &'static str,
    server_name: &'static str,
    mac_key: Vec<u8>,
    lifetime: u32,
    /// Differs for every token.
    nonce: u8,
}

impl Mint {
    fn new(nonce: u8) -> Self {
        Self {
            kid: "north",
            server_name: SERVER_NAME,
            mac_key: MAC_KEY.to_vec(),
            lifetime: 3600,
            nonce,
        }
    }

    fn lifetime(self, lifetime: u32) -> Self {
        Self { lifetime, ..self }
    }

    fn south(self) -> Self {
        Self {
            kid: "south",
            ..self
        }
    }

    fn mac_key(self, mac_key: &[u8]) -> Self {
        Self {
            mac_key: mac_key.to_vec(),
            ..self
        }
    }

    fn at(self, issued: Duration) -> AccessGrant {
        let key = match self.kid {
            "south" => TokenKey::new(Encryption::A128Gcm, &SOUTH).unwrap(),
            _ => north(),
        };
        let token = Token {
            mac_key: Key::precomputed(&self.mac_key),
            validity: Validity {
                issued,
                lifetime: self.lifetime,
            },
        };
        AccessGrant {
            kid: self.kid.to_owned(),
            token: key.seal(self.server_name, [self.nonce; 12], &token),
            mac_key: self.mac_key,
        }
    }

    fn now(self, world: &World) -> AccessGrant {
        self.at(world.now().unix)
    }

    fn client(self, world: &mut World) -> Client {
        let grant = self.now(world);
        world.client_with_token(grant)
    }
}

/// A client with a token of an hour.
pub(crate) fn guest(world: &mut World) -> Client {
    Mint::new(1).client(world)
}

/// Why the last request was refused.
#[track_caller]
fn refusal(world: &mut World) -> Reject {
    let reports = world.reports();
    match reports.last() {
        Some(Report::Refused { reject, .. }) => reject.clone(),
        other => panic!("no refusal but {other:?}"),
    }
}

#[track_caller]
fn assert_unauthorized(world: &mut World, client: Client, why: &Reject) {
    let answer = client.ask(world, Request::allocate());
    assert_eq!(answer.code(), Some(401));
    assert!(!answer.is_signed());
    assert_eq!(refusal(world), *why);
}

fn lifetime(answer: &Answer) -> u32 {
    let Lifetime(lifetime) = answer.get().unwrap();
    lifetime
}

#[test]
fn a_challenge_names_the_server_to_third_parties() {
    let mut world = world();
    let stranger = world.client("alice");
    let challenge = stranger.ask(&mut world, Request::allocate().unsigned());
    assert_eq!(challenge.code(), Some(401));
    let name = challenge.get();
    assert_eq!(name, Some(ThirdPartyAuthorization(SERVER_NAME)));
    // First-party authentication is offered beside it.
    assert_eq!(challenge.get(), Some(Realm(REALM)));
    assert!(challenge.get::<Nonce<'_>>().is_some());
}

#[test]
fn a_challenge_with_the_longest_names_fits_the_smallest_mtu() {
    let mut world = world_with(|config| {
        config.rules_mut().sha256 = Sha256::Offer;
        config.rules_mut().tokens = TokenKeys::new("s".repeat(ThirdPartyAuthorization::LIMIT));
        config.rules_mut().tokens.add("north", north());
        config.rules_mut().realms = relay::Keys::new("r".repeat(127)).into();
    });
    let mint = Mint::new(1).mac_key(&[5; 32]);
    let mut grant = mint.now(&world);
    let token = Token {
        mac_key: Key::precomputed(&grant.mac_key),
        validity: Validity {
            issued: world.now().unix,
            lifetime: 60,
        },
    };
    let name = "s".repeat(ThirdPartyAuthorization::LIMIT);
    grant.token = north().seal(&name, [1; 12], &token);
    let guest = world.client_with_token(grant);
    let challenge = guest.ask(&mut world, Request::allocate().unsigned().fingerprint());
    let stale = Request::allocate()
        .nonce("stale")
        .proof(Proof::New(PasswordAlgorithm::SHA256))
        .fingerprint();
    let stale = guest.ask(&mut world, stale);
    assert_eq!((challenge.code(), stale.code()), (Some(401), Some(438)));
    // RFC 8489 §6.1: 576 bytes without the headers of IPv4 and UDP.
    for answer in [challenge, stale] {
        assert!(answer.as_bytes().len() <= 548, "{answer:?}");
    }
}

#[test]
fn without_a_key_no_third_party_is_spoken_of() {
    let mut world = World::new();
    let stranger = world.client("alice");
    let challenge = stranger.ask(&mut world, Request::allocate().unsigned());
    assert_eq!(challenge.get::<ThirdPartyAuthorization<'_>>(), None);
}

#[test]
fn a_token_opens_an_allocation_and_its_key_signs_all_that_follows() {
    let mut world = world();
    let (guest, peer) = (guest(&mut world), world.peer());
    let opened = guest.ask(&mut world, Request::allocate());
    assert!(opened.is_success() && opened.is_signed());
    let other = world.peer();
    guest.permit(&mut world, other);
    guest.bind(&mut world, peer);
    let relayed = guest.relayed(&world);
    guest.reaches(&mut world, peer, b"out");
    let Outcome::AtClient { payload, .. } = peer.send(&mut world, relayed, b"back") else {
        panic!("nothing came back");
    };
    assert_eq!(payload, b"back");
    guest.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn the_log_shows_the_id_of_the_key_as_the_user() {
    let mut world = world();
    guest(&mut world).allocate(&mut world, minutes(10));
    let reports = world.reports();
    assert!(
        matches!(&reports[..], [.., Report::Opened { user, .. }] if **user == *"north"),
        "{reports:?}"
    );
}

#[test]
fn users_with_passwords_are_served_beside_tokens() {
    let mut world = world();
    world.client("alice").allocate(&mut world, minutes(10));
    guest(&mut world).allocate(&mut world, minutes(10));
    let mallory = world.client_with("north", "guessed");
    assert_unauthorized(&mut world, mallory, &Reject::UnknownUser);
}

#[test]
fn a_token_opens_allocations_as_often_as_it_is_shown() {
    let mut world = world();
    let grant = Mint::new(1).now(&world);
    for _ in 0..3 {
        let client = world.client_with_token(grant.clone());
        client.allocate(&mut world, minutes(10));
    }
    assert_eq!(world.allocations(), 3);
}

#[test]
fn a_token_for_another_server_is_unauthorized() {
    let mut world = world();
    let elsewhere = Mint {
        server_name: "turn.example.com",
        ..Mint::new(1)
    };
    let client = elsewhere.client(&mut world);
    assert_unauthorized(&mut world, client, &Reject::BadToken);
}

#[test]
fn a_token_under_the_id_of_another_key_is_unauthorized() {
    let mut world = world();
    let mut grant = Mint::new(1).now(&world);
    "south".clone_into(&mut grant.kid);
    let client = world.client_with_token(grant.clone());
    assert_unauthorized(&mut world, client, &Reject::BadToken);
    "west".clone_into(&mut grant.kid);
    let client = world.client_with_token(grant);
    assert_unauthorized(&mut world, client, &Reject::UnknownKey);
}

#[test]
fn a_forged_token_is_unauthorized_whatever_its_length() {
    let mut world = world();
    for length in [0, 1, 2, 13, 14, 30, 64, 1000] {
        let mut grant = Mint::new(1).now(&world);
        grant.token.resize(length, 7);
        if let Some(byte) = grant.token.last_mut() {
            *byte ^= 1;
        }
        let client = world.client_with_token(grant);
        assert_unauthorized(&mut world, client, &Reject::BadToken);
    }
}

#[test]
fn who_saw_a_token_but_has_not_its_key_is_unauthorized() {
    let mut world = world();
    let mut grant = Mint::new(1).now(&world);
    grant.mac_key = vec![4; 20];
    let thief = world.client_with_token(grant);
    assert_unauthorized(&mut world, thief, &Reject::BadIntegrity);
}

#[test]
fn a_token_expires_five_seconds_after_its_lifetime() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(60).client(&mut world);
    world.advance(seconds(64));
    guest.allocate(&mut world, minutes(10));
    guest.delete(&mut world);
    world.advance(seconds(1));
    let since = seconds(5);
    assert_unauthorized(&mut world, guest, &Reject::Expired { since });
}

#[test]
fn a_token_from_the_future_is_good_if_it_is_no_further_away_than_its_lifetime() {
    let mut world = world();
    let now = world.now().unix;
    let near = Mint::new(1).lifetime(60).at(now + seconds(64));
    let client = world.client_with_token(near);
    let answer = client.ask(&mut world, Request::allocate());
    assert_eq!(lifetime(&answer), 1);
    let far = Mint::new(2).lifetime(60).at(now + seconds(65));
    let client = world.client_with_token(far);
    let by = seconds(65);
    assert_unauthorized(&mut world, client, &Reject::TokenEarly { by });
}

#[test]
fn a_key_is_good_within_its_times_to_the_second() {
    let mut world = world_with(|config| {
        let start = sim::Clock::new().now().unix;
        let times = start + seconds(60)..start + seconds(120);
        config
            .rules_mut()
            .tokens
            .add("north", north().within(times));
    });
    let guest = guest(&mut world);
    world.advance(seconds(59));
    assert_unauthorized(&mut world, guest, &Reject::KeyNotValid);
    world.advance(seconds(1));
    guest.allocate(&mut world, minutes(10));
    world.advance(seconds(59));
    guest.refresh(&mut world, minutes(10));
    guest.delete(&mut world);
    world.advance(seconds(1));
    assert_unauthorized(&mut world, guest, &Reject::KeyNotValid);
}

#[test]
fn a_lifetime_ends_with_its_token_even_below_the_default() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(100).client(&mut world);
    // At first it is the token's lifetime, and not five seconds more.
    let answer = guest.ask(&mut world, Request::allocate().lifetime(minutes(60)));
    assert_eq!(lifetime(&answer), 100);
    world.advance(seconds(50));
    // From then on the five seconds count.
    assert_eq!(guest.refresh(&mut world, minutes(60)), seconds(55));
    world.advance(seconds(54));
    assert_eq!(guest.refresh(&mut world, minutes(60)), seconds(1));
    world.advance(seconds(1));
    assert!(world.is_idle());
    let ended = world
        .reports()
        .into_iter()
        .any(|report| matches!(report, Report::Ended { cause, .. } if cause == EndCause::Expired));
    assert!(ended);
}

#[test]
fn a_long_token_does_not_lengthen_what_is_asked_for() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(100_000).client(&mut world);
    let answer = guest.ask(&mut world, Request::allocate().lifetime(minutes(20)));
    assert_eq!(lifetime(&answer), 1200);
    assert_eq!(guest.refresh(&mut world, minutes(600)), minutes(60));
}

#[test]
fn a_new_token_of_another_key_renews_an_allocation() {
    let mut world = world();
    let (guest, peer) = (Mint::new(1).lifetime(100).client(&mut world), world.peer());
    guest.allocate(&mut world, minutes(10));
    let old = guest.write(&mut world, &Request::create_permission([peer]));
    world.advance(seconds(90));
    let new = Mint::new(2).mac_key(&[5; 20]).south().now(&world);
    guest.take_token(&mut world, new);
    assert_eq!(guest.refresh(&mut world, minutes(10)), minutes(10));
    // From now on the new token's key signs, under the id of the key that sealed it.
    guest.bind(&mut world, peer);
    world.advance(seconds(590));
    guest.refresh(&mut world, minutes(10));
    // The first token's key signs no more.
    let answer = guest.packet(&mut world, &old).answer();
    assert_eq!(answer.code(), Some(401));
    assert_eq!(world.allocations(), 1);
    guest.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_refused_refresh_changes_no_key() {
    let mut world = world();
    let (guest, peer) = (guest(&mut world), world.peer());
    guest.allocate(&mut world, minutes(10));
    let first = guest.write(&mut world, &Request::create_permission([peer]));
    let other = Mint::new(2).mac_key(&[5; 20]).now(&world);
    guest.take_token(&mut world, other);
    let refused = Request::refresh(minutes(10)).family(AddressFamily::V6);
    assert_eq!(guest.ask(&mut world, refused).code(), Some(443));
    let first_grant = Mint::new(1).now(&world);
    guest.take_token(&mut world, first_grant);
    assert!(guest.packet(&mut world, &first).answer().is_success());
}

#[test]
fn a_refresh_without_a_token_lives_on_the_one_before() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(500).client(&mut world);
    guest.allocate(&mut world, minutes(10));
    world.advance(seconds(300));
    let bare = || Request::refresh(minutes(10)).without(AccessToken::TYPE);
    let answer = guest.ask(&mut world, bare());
    assert_eq!(lifetime(&answer), 205);
    world.advance(seconds(204));
    let answer = guest.ask(&mut world, bare());
    assert_eq!(lifetime(&answer), 1);
    world.advance(seconds(1));
    assert!(world.is_idle());
}

#[test]
fn the_bearer_of_a_token_cannot_touch_a_users_allocation_nor_the_other_way_round() {
    let mut world = world();
    let client = world.client("alice");
    client.allocate(&mut world, minutes(10));
    let grant = Mint::new(1).now(&world);
    client.take_token(&mut world, grant);
    let answer = client.ask(&mut world, Request::refresh(seconds(0)));
    assert_eq!(answer.code(), Some(441));
    assert!(answer.is_signed());
    assert_eq!(world.allocations(), 1);

    let guest = guest(&mut world);
    guest.allocate(&mut world, minutes(10));
    let alice = ("alice", sim::password("alice"));
    let peer = world.peer();
    for request in [
        Request::refresh(seconds(0)),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        guest.hears_error(&mut world, 441, request.as_user(alice.0, &alice.1));
    }
    assert_eq!(world.allocations(), 2);
}

#[test]
fn a_user_with_the_name_of_a_key_is_somebody_else() {
    let mut world = world_with(|config| {
        config
            .rules_mut()
            .realms
            .default_keys()
            .add_user("north", "a password")
            .unwrap()
    });
    let guest = guest(&mut world);
    guest.allocate(&mut world, minutes(10));
    let tuple = guest.tuple(&world);
    let nonce = guest.nonce(&mut world);
    let request = Request::refresh(seconds(0));
    // The same 5-tuple, the same name, and the password of the user.
    let mut namesake = World::new();
    let user = namesake.client_at(0, tuple, "north", "a password");
    let packet = user.write(&mut namesake, &request.nonce(&nonce));
    let server = world.server(0);
    let now = namesake.now();
    let verdict = server.handle_client(now, tuple, &packet);
    let relay::Verdict::Answer(answer) = verdict else {
        panic!("{verdict:?}");
    };
    let answer = wire::Message::parse(answer.contents).unwrap();
    let error: wire::attributes::ErrorCode<'_> = answer.get().unwrap().unwrap();
    assert_eq!(error.code, 441);
}

#[test]
fn one_token_is_one_account_to_quotas() {
    let mut world = world_with(|config| config.rules_mut().limits.per_user = Some(1));
    let grant = Mint::new(1).now(&world);
    let first = world.client_with_token(grant.clone());
    first.allocate(&mut world, minutes(10));
    let second = world.client_with_token(grant);
    second.hears_error(&mut world, 486, Request::allocate());
    // Other tokens that the same key sealed are not concerned.
    let other = Mint::new(2).client(&mut world);
    other.allocate(&mut world, minutes(10));
    // The allocation counts where it was opened, whatever token renewed it.
    let third = Mint::new(3).south().now(&world);
    first.take_token(&mut world, third.clone());
    first.refresh(&mut world, minutes(10));
    second.hears_error(&mut world, 486, Request::allocate());
    let fourth = world.client_with_token(third);
    fourth.allocate(&mut world, minutes(10));
    first.delete(&mut world);
    second.allocate(&mut world, minutes(10));
}

#[test]
fn a_bearer_takes_an_allocation_along_with_the_token_that_it_lives_on() {
    let mut world = world();
    let (home, peer) = (guest(&mut world), world.peer());
    let ticket = mobility::allocate(home, &mut world);
    home.bind(&mut world, peer);
    let relayed = home.relayed(&world);
    // A thief who saw the ticket on its way, and has a token of the same key.
    let thief = Mint::new(2).client(&mut world);
    thief.hears_error(&mut world, 441, mobility::shown(&ticket));

    let away = world.roam(home, 0, relay::Transport::Udp);
    away.succeeds(&mut world, mobility::shown(&ticket));
    away.permit(&mut world, peer);
    let heard = away.send(&mut world, peer, b"here");
    assert_eq!(heard, peer.hears(relayed, b"here"));
    // From the new place it is renewed as from the old one.
    let new = Mint::new(3).south().now(&world);
    away.take_token(&mut world, new);
    away.refresh(&mut world, minutes(10));
    away.delete(&mut world);
    assert!(world.is_idle());
}

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
            keys: relay::Keys::new("example.net"),
            listeners: vec![],
            total: Some(1),
            per_user: None,
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
    assert_eq!(world.counters().challenges, 1);
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
