//! The sources of credentials: passwords, precomputed keys, shared secrets. RFC 8489 §9.2.2; the
//! TURN REST convention.

use relay::keys::{Mint, mint};
use relay::{Keys, Reject, Sha256};
use sim::{Client, REALM, Request, World, minutes, seconds};
use wire::Key;

use crate::quotas::one_for_each_person;

/// A server with two secrets, the newer one first, and a user of its own.
fn world_with_secrets() -> World {
    World::ruled(|rules| {
        rules.realms = Keys::new(REALM).into();
        rules.realms.default_keys().add_secret(b"south");
        rules.realms.default_keys().add_secret(b"north");
        rules
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
    assert_eq!(world.refusal(), *why);
}

#[test]
fn a_key_computed_elsewhere_is_as_good_as_its_password() {
    let key = Key::md5("alice", REALM, "wonderland");
    let mut world = World::ruled(|rules| {
        rules.realms = Keys::new(REALM).into();
        let key = key.as_bytes().try_into().unwrap();
        rules.realms.default_keys().add_key("alice", key);
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
    // An allocation that ended cannot be opened again.
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

/// Names with the password of each under the secret `north`: `printf %s NAME | openssl dgst -sha1
/// -hmac north -binary | base64`. Worlds begin at 1800000000.
const MINTED_ELSEWHERE: [(&str, &str); 4] = [
    ("alice:1800000060", "yzinL+jz6DXGatnlNpzaokA+1N0="),
    ("1800000060.5:alice", "pHYK2gE37Risss7JqckoYtCp/sU="),
    ("alice:1800000060.25", "nrlT42uZ1dcRQ2dMeHpCGkqRr1w="),
    ("1800000060.75", "tp7HENmR0/38pMNY1s2zsJYOdAA="),
];

/// coturn takes `USER:EXPIRY`, too; JavaScript makes a time with a fraction.
#[test]
fn an_expiry_may_stand_behind_the_user_and_have_a_fraction() {
    let mut world = world_with_secrets();
    for (name, password) in MINTED_ELSEWHERE {
        let client = world.client_with(name, password);
        client.allocate(&mut world, minutes(10));
        client.delete(&mut world);
        let mallory = world.client_with(&format!("x{name}"), password);
        mallory.hears_error(&mut world, 401, Request::allocate());
    }
    // It ends with its whole second.
    world.advance(seconds(60));
    for (name, password) in MINTED_ELSEWHERE {
        let client = world.client_with(name, password);
        let since = seconds(0);
        assert_refused(&mut world, client, &Reject::Expired { since });
    }
}

/// Otherwise people who choose their names would choose how long they are good.
#[test]
fn where_user_and_expiry_are_numbers_the_first_is_the_expiry() {
    let mut world = world_with_secrets();
    let good = world.client_with("1800000060:1900000000", "Rhq8HGoxh6Vef5MmWyqNiX1w/o8=");
    good.allocate(&mut world, minutes(10));
    let over = world.client_with("1799999999:1900000000", "OsnQERz4T6KXTupxvRREyiU1foo=");
    let since = seconds(1);
    assert_refused(&mut world, over, &Reject::Expired { since });
    // A number that is no time is a user's name.
    let other = world.client_with("42:1800000060", "MgUrRq5a7EdIjrnFkk/75ZxF/bI=");
    other.allocate(&mut world, minutes(10));
}

/// As a time, this one would be good until the year 2418.
#[test]
fn a_telephone_number_in_front_is_a_user_and_no_expiry() {
    let mut world = world_with_secrets();
    let over = world.client_with("14155550123:1799999999", "GLjEh9sFVZIBW8Kv3cZVvG+XtKk=");
    let since = seconds(1);
    assert_refused(&mut world, over, &Reject::Expired { since });
}

#[test]
fn the_names_of_one_person_are_one_account_in_either_order() {
    let mut world = one_for_each_person();
    for names in [
        [
            ("14155550123:1800000060", "ukzX72etA2fzBS1yWxk7Anq2KyU="),
            ("14155550123:1800000061", "euC2s65Wngr6dg5VVHlO/yK5R2g="),
        ],
        [
            (
                "alice@example.org:1800000060",
                "QVEqtFI0sxN3qRnrfAAw+XpaKrk=",
            ),
            ("alice:1800000061", "GOozKMTYbN1bg3KW+u8rOi8NVko="),
        ],
    ] {
        let codes = names.map(|(name, password)| {
            let client = world.client_with(name, password);
            client.ask(&mut world, Request::allocate()).code()
        });
        assert_eq!(codes, [None, Some(486)]);
    }
}

/// Read as seconds, they would be good for 57,000 years.
#[test]
fn an_expiry_in_milliseconds_is_refused_and_told_as_what_it_is() {
    let mut world = world_with_secrets();
    for (name, password) in [
        ("1800000060000:alice", "B5Vy+jJu28lg2u6HzuVNZvqipbs="),
        ("alice:1800000060000", "wVQ5aBEebgNMX3ruEtw0+PEsruY="),
    ] {
        let client = world.client_with(name, password);
        assert_refused(&mut world, client, &Reject::ExpiryInMilliseconds);
    }
    let told = Reject::ExpiryInMilliseconds.to_string();
    assert!(told.contains("milliseconds") && told.contains("must be in seconds"));
}

#[test]
fn a_name_that_is_like_a_time_limited_one_is_told_the_forms_that_are_wanted() {
    let mut world = world_with_secrets();
    for (name, password) in [
        ("2026-12-01:alice", "BVCnx7hmV9HCZ2Rfe5iYvxm+8Z4="),
        ("alice:tomorrow", "Wz0RQeJa9ZHw+8GI4YsXTs17t74="),
    ] {
        let client = world.client_with(name, password);
        assert_refused(&mut world, client, &Reject::NoExpiry);
    }
    assert!(
        Reject::NoExpiry
            .to_string()
            .contains("EXPIRY:USER, USER:EXPIRY or EXPIRY")
    );
    let nobody = world.client_with("nobody", "wonderland");
    assert_refused(&mut world, nobody, &Reject::UnknownUser);
    // Where no secret is configured there is no hint about expiries.
    let mut world = World::new();
    for name in ["alice:tomorrow", "1800000060000:alice"] {
        let client = world.client_with(name, "wonderland");
        assert_refused(&mut world, client, &Reject::UnknownUser);
    }
}

/// A name and a password as many keyboards and files have them, with a combining accent and a wide
/// space, and as OpaqueString leaves them.
const SPELLINGS: [(&str, &str); 2] = [
    ("Zoe\u{308}", "cafe\u{301} au\u{3000}lait"),
    ("Zo\u{eb}", "caf\u{e9} au lait"),
];

/// RFC 8489 §9.2.2 has clients prepare both, and many do not.
#[test]
fn a_name_and_a_password_are_good_as_they_are_written_and_as_rfc_8265_prepares_them() {
    let [(written, written_password), (prepared, _)] = SPELLINGS;
    for policy in [Sha256::Off, Sha256::Offer] {
        let mut world = World::ruled(|rules| {
            rules.sha256 = policy;
            let keys = rules.realms.default_keys();
            keys.add_user(written, written_password).unwrap();
        });
        for (name, _) in SPELLINGS {
            for (_, password) in SPELLINGS {
                for own in [name.to_owned(), format!("{name}@{REALM}")] {
                    let client = world.client_with(&own, password);
                    client.allocate(&mut world, minutes(10));
                }
            }
            let mallory = world.client_with(name, "cafe au lait");
            assert_refused(&mut world, mallory, &Reject::BadIntegrity);
        }
    }
    // A name that was written as it is prepared has one spelling.
    let mut world = World::ruled(|rules| {
        let keys = rules.realms.default_keys();
        keys.add_user(prepared, written_password).unwrap();
    });
    let other = world.client_with(written, written_password);
    assert_refused(&mut world, other, &Reject::UnknownUser);
}

#[test]
fn both_spellings_of_a_name_have_one_quota() {
    let [(written, password), (prepared, _)] = SPELLINGS;
    let mut world = World::ruled(|rules| {
        rules.limits.per_user = Some(1);
        let keys = rules.realms.default_keys();
        keys.add_user(written, password).unwrap();
    });
    let first = world.client_with(written, password);
    first.allocate(&mut world, minutes(10));
    let second = world.client_with(prepared, password);
    second.hears_error(&mut world, 486, Request::allocate());
}

#[test]
fn without_a_secret_a_time_is_just_an_unknown_name() {
    let mut world = World::new();
    let bob = guest(&mut world, b"", Some("bob"), 60);
    assert_refused(&mut world, bob, &Reject::UnknownUser);
}
