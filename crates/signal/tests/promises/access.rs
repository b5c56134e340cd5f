use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use signal::{Access, Limits, Secrets, TokenKeys};

use crate::world::World;

fn secret_rooms() -> World {
    let secrets = Secrets::new([&b"first secret"[..], b"second secret"]);
    World::with(Access::Secret(secrets), |_| ())
}

fn token_rooms() -> World {
    let keys = TokenKeys::new([&b"an old key"[..], b"a key"]);
    World::with(Access::Tokens(keys), |_| ())
}

/// How it went, and the sentence if it went badly.
fn join(world: &mut World, with: Value) -> (String, String) {
    let peer = world.connect();
    let mut join = json!({"type": "join", "room": "blue", "name": "Al"});
    join.as_object_mut()
        .unwrap()
        .extend(with.as_object().unwrap().clone());
    world.say(peer, join);
    let told = world.hear(peer).remove(0);
    world.break_off(peer);
    let field = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (field("type"), field("message"))
}

fn token(header: Value, claims: Value, key: &[u8]) -> String {
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn each_secret_opens_rooms_and_nothing_else_does() {
    let mut world = secret_rooms();
    for secret in ["first secret", "second secret"] {
        assert_eq!(join(&mut world, json!({"secret": secret})).0, "joined");
    }
    for (with, sentence) in [
        (json!({}), "the room has a secret"),
        (json!({"secret": ""}), "the secret is not that of the room"),
        (
            json!({"secret": "first secre"}),
            "the secret is not that of the room",
        ),
        (
            json!({"secret": "first secret "}),
            "the secret is not that of the room",
        ),
        (json!({"token": "first secret"}), "the room has a secret"),
    ] {
        assert_eq!(join(&mut world, with).1, sentence);
    }
}

#[test]
fn a_token_opens_its_room_for_its_name_until_it_expires() {
    let mut world = token_rooms();
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let unix = 1_800_000_000;
    let good =
        json!({"room": "blue", "name": "Al", "exp": unix + 60, "nbf": unix - 60, "sub": "x"});
    let with = |change: Value| {
        let mut claims = good.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        json!({"token": token(header.clone(), claims, b"a key")})
    };
    assert_eq!(join(&mut world, with(json!({}))).0, "joined");
    assert_eq!(join(&mut world, with(json!({"name": null}))).0, "joined");
    for (change, sentence) in [
        (json!({"exp": unix}), "the token has expired"),
        (json!({"exp": unix - 3600}), "the token has expired"),
        (json!({"exp": null}), "the token is not valid"),
        (json!({"exp": "never"}), "the token is not valid"),
        (json!({"exp": unix * 1000_i64}), "the token is not valid"),
        (json!({"nbf": unix + 30}), "the token is not valid yet"),
        (json!({"room": "red"}), "the token is for another room"),
        (json!({"room": null}), "the token is not valid"),
        (json!({"name": "Bo"}), "the token is for another name"),
    ] {
        assert_eq!(join(&mut world, with(change)).1, sentence);
    }
    world.advance(59);
    assert_eq!(join(&mut world, with(json!({}))).0, "joined");
    world.advance(1);
    assert_eq!(join(&mut world, with(json!({}))).1, "the token has expired");
}

#[test]
fn a_token_that_no_key_has_signed_opens_nothing() {
    let mut world = token_rooms();
    let claims = json!({"room": "blue", "exp": 1_900_000_000});
    let good = token(json!({"alg": "HS256"}), claims.clone(), b"a key");
    let old = token(json!({"alg": "HS256"}), claims.clone(), b"an old key");
    for token in [&good, &old] {
        assert_eq!(join(&mut world, json!({"token": token})).0, "joined");
    }
    let (signed, _) = good.rsplit_once('.').unwrap();
    let crit = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    for bad in [
        token(json!({"alg": "HS256"}), claims.clone(), b"another key"),
        token(json!({"alg": "none"}), claims.clone(), b"a key"),
        token(json!({"alg": "HS512"}), claims.clone(), b"a key"),
        token(crit, claims, b"a key"),
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}="),
        format!(".{good}"),
        String::new(),
        "..".to_owned(),
    ] {
        assert_eq!(
            join(&mut world, json!({"token": bad})).1,
            "the token is not valid",
            "{bad}"
        );
    }
    assert_eq!(
        join(&mut world, json!({"secret": "a key"})).1,
        "a token is needed"
    );
}

#[test]
fn the_log_says_of_a_refused_token_what_its_client_is_not_told() {
    let hs256 = || json!({"alg": "HS256"});
    for (header, claims, key, word) in [
        (hs256(), json!({"room": "blue"}), "a key", "no `exp`"),
        (hs256(), json!({"exp": 1_900_000_000}), "a key", "no `room`"),
        (
            hs256(),
            json!({"room": "blue", "exp": 1_900_000_000_000_i64}),
            "a key",
            "in milliseconds?",
        ),
        (
            hs256(),
            json!({}),
            "another key",
            "signature of the token does not match",
        ),
        (
            json!({"alg": "RS256"}),
            json!({}),
            "a key",
            "public key, and not HS256",
        ),
        (json!({"alg": "none"}), json!({}), "a key", "`alg` is none"),
        (
            hs256(),
            json!(["blue", null, 1_900_000_000, null]),
            "a key",
            "no JSON object",
        ),
    ] {
        let mut world = token_rooms();
        let token = token(header, claims, key.as_bytes());
        assert_eq!(
            join(&mut world, json!({"token": token})).1,
            "the token is not valid"
        );
        let said = format!("{:?}", world.reports);
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_network_that_guesses_is_answered_once_a_second_and_others_are_not_delayed() {
    let mut world = secret_rooms();
    for _ in 0..60 {
        assert_eq!(
            join(&mut world, json!({"secret": "guess"})).1,
            "the secret is not that of the room"
        );
    }
    // Not even a right guess is told now.
    for secret in ["guess", "first secret"] {
        let (_, message) = join(&mut world, json!({"secret": secret}));
        assert_eq!(message, "too many attempts from this network: try later");
    }
    let other = world.connect_from("198.51.100.1").unwrap();
    world.say(
        other,
        json!({"type": "join", "room": "blue", "secret": "first secret"}),
    );
    assert_eq!(world.types(other), ["joined"]);
    world.advance(1);
    assert_eq!(
        join(&mut world, json!({"secret": "first secret"})).0,
        "joined"
    );
}

#[test]
fn a_right_secret_opens_although_others_of_its_network_guess() {
    let mut world = secret_rooms();
    for _ in 0..100 {
        let guesser = world.connect_from("192.0.2.66").unwrap();
        let guess = json!({"type": "join", "room": "blue", "secret": "guess"});
        world.say(guesser, guess);
        world.break_off(guesser);
    }
    assert_eq!(
        join(&mut world, json!({"secret": "first secret"})).0,
        "joined"
    );
    // A wrong one of the same network waits.
    let (_, message) = join(&mut world, json!({"secret": "guess"}));
    assert_eq!(message, "too many attempts from this network: try later");
}

#[test]
fn members_stay_when_the_rules_change_and_newcomers_meet_the_new_ones() {
    let mut world = secret_rooms();
    let alice = world.connect();
    let secret = json!({"type": "join", "room": "blue", "secret": "first secret"});
    world.say(alice, secret.clone());
    world.hear(alice);
    let secrets = Secrets::new([&b"third secret"[..]]);
    world
        .rooms
        .follow(Access::Secret(secrets), Limits::default());
    let bob = world.connect();
    world.say(bob, secret);
    assert_eq!(world.fate(bob), (Some("forbidden".into()), Some(4003)));
    world.say(alice, json!({"type": "ping"}));
    assert_eq!(world.types(alice), ["pong"]);
}
