//! Access tokens of third parties: what a token opens, and for how long. RFC 7635.

mod checks;
mod renewal;

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
fn an_allocation_by_a_token_is_reported_with_the_id_of_the_key_as_the_credential() {
    let mut world = world();
    guest(&mut world).allocate(&mut world, minutes(10));
    let reports = world.reports();
    assert!(
        matches!(&reports[..], [.., Report::Opened { credential, .. }] if **credential == *"north"),
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
