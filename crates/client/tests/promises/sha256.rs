//! RFC 8489 §9.2.5 and RFC 8656 §6: how the client handles an offer of SHA-256, and an offer that
//! an attacker has changed.

use client::{AllocateOptions, Config, DropReason, Event, Request, Sha256, Transport};
use wire::attributes::{
    Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UserHash, Username, XorMappedAddress,
};
use wire::{Algorithm, Attribute, Key, MacKey, Message};

use crate::server::{Answer, PASSWORD, REALM, USERNAME, grant_allocate, key, mapped};
use crate::world::{World, alice, allocate_request, allocated, failed, refused};

/// A nonce that announces algorithms.
const NONCE: &str = "obMatJos2gAAA-and-the-rest";
/// A nonce that announces algorithms, and wants names hashed.
const ANONYMOUS: &str = "obMatJos2wAAA-and-the-rest";

const SHA256: [u8; 4] = [0, 2, 0, 0];
const MD5: [u8; 4] = [0, 1, 0, 0];
const BOTH: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

fn sha256_key() -> MacKey {
    Key::sha256(USERNAME, REALM, PASSWORD).schedule(Algorithm::Sha256)
}

fn config(sha256: Sha256) -> Config {
    let mut config = alice(Transport::Udp);
    config.sha256 = sha256;
    config
}

/// A 401 or a 438 that offers these algorithms.
fn offer(request: &[u8], code: u16, nonce: &str, algorithms: &[u8]) -> Vec<u8> {
    Answer::error(request, code, "")
        .put(&Realm(REALM))
        .put(&Nonce(nonce))
        .put(&PasswordAlgorithms(algorithms))
        .unsigned()
}

/// A world whose client has asked for an allocation and got this offer, and its next request.
fn offered(sha256: Sha256, nonce: &str, algorithms: &[u8]) -> (World, Vec<u8>) {
    let (mut world, unsigned) = asked(sha256);
    world.input(&offer(&unsigned, 401, nonce, algorithms));
    let signed = world.packet();
    (world, signed)
}

/// A world whose client has asked for an allocation, and that request.
fn asked(sha256: Sha256) -> (World, Vec<u8>) {
    let mut world = World::new(config(sha256));
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    (world, unsigned)
}

fn chosen(packet: &[u8]) -> Option<PasswordAlgorithm> {
    Message::parse(packet).unwrap().get().unwrap()
}

#[track_caller]
fn assert_gave_up(world: &mut World, code: u16) {
    assert_eq!(world.event(), failed(allocate_request(), refused(code, "")));
    assert_eq!(world.client.poll_transmit(), None);
}

#[test]
fn where_sha256_is_offered_it_is_chosen_and_the_offer_sent_back() {
    let (mut world, signed) = offered(Sha256::Accept, NONCE, &BOTH);
    let message = Message::parse(&signed).unwrap();
    assert_eq!(chosen(&signed), Some(PasswordAlgorithm::SHA256));
    assert_eq!(message.get(), Ok(Some(PasswordAlgorithms(&BOTH))));
    assert_eq!(message.get(), Ok(Some(Nonce(NONCE))));
    assert_eq!(message.get(), Ok(Some(Username(USERNAME))));
    assert_eq!(message.verify(&sha256_key()), Ok(()));
    // Only that one: a second MAC would be one more to guess passwords by.
    assert!(message.verify(&key()).is_err());
    world.input(&grant_allocate(&signed).signed(&sha256_key()));
    assert_eq!(world.event(), allocated());

    let lifetime = std::time::Duration::from_secs(60);
    world.client.refresh(world.now, lifetime);
    let refresh = world.packet();
    assert_eq!(chosen(&refresh), Some(PasswordAlgorithm::SHA256));
    assert_eq!(
        Message::parse(&refresh).unwrap().verify(&sha256_key()),
        Ok(())
    );
}

#[test]
fn sha256_is_chosen_wherever_it_stands_in_the_offer() {
    let with_parameters = [0, 9, 0, 1, b'x', 0, 0, 0];
    for algorithms in [
        [MD5, SHA256].concat(),
        [&with_parameters[..], &SHA256].concat(),
        SHA256.to_vec(),
    ] {
        let (_, signed) = offered(Sha256::Accept, NONCE, &algorithms);
        assert_eq!(chosen(&signed), Some(PasswordAlgorithm::SHA256));
        let echoed = Message::parse(&signed).unwrap().get();
        assert_eq!(echoed, Ok(Some(PasswordAlgorithms(&algorithms))));
    }
}

#[test]
fn where_only_md5_is_offered_it_is_named_and_the_integrity_is_of_sha256() {
    let (_, signed) = offered(Sha256::Accept, NONCE, &MD5);
    assert_eq!(chosen(&signed), Some(PasswordAlgorithm::MD5));
    let key = Key::md5(USERNAME, REALM, PASSWORD).schedule(Algorithm::Sha256);
    assert_eq!(Message::parse(&signed).unwrap().verify(&key), Ok(()));
}

#[test]
fn the_name_is_hashed_where_the_server_wants_it_hashed() {
    let (_, signed) = offered(Sha256::Accept, ANONYMOUS, &BOTH);
    let message = Message::parse(&signed).unwrap();
    assert_eq!(message.get(), Ok(Some(UserHash::of(USERNAME, REALM))));
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
    assert!(!signed.windows(5).any(|part| part == USERNAME.as_bytes()));
}

#[test]
fn an_offer_without_a_known_algorithm_is_not_met() {
    let (mut world, unsigned) = asked(Sha256::Accept);
    world.input(&offer(&unsigned, 401, NONCE, &[0, 9, 0, 0]));
    assert_gave_up(&mut world, 401);
}

#[test]
fn an_offer_that_the_nonce_announces_and_that_is_gone_is_not_met() {
    let (mut world, unsigned) = asked(Sha256::Accept);
    world.input(&Answer::challenge(&unsigned, 401, REALM, NONCE));
    assert_gave_up(&mut world, 401);

    let (mut world, signed) = offered(Sha256::Accept, NONCE, &BOTH);
    world.input(&Answer::challenge(&signed, 438, REALM, NONCE));
    assert_gave_up(&mut world, 438);
}

#[test]
fn any_other_answer_whose_offer_is_gone_is_ignored_and_counted() {
    let mut world = World::new(config(Sha256::Accept));
    world.client.binding(world.now);
    let request = world.packet();
    let answer = || Answer::success(&request).put(&XorMappedAddress(mapped()));
    world.input(&answer().put(&Nonce(NONCE)).unsigned());
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::BidDown), 1);
    world.input(&answer().unsigned());
    assert_eq!(world.event(), Event::Bound { mapped: mapped() });
}

#[test]
fn who_has_used_sha256_does_not_go_back() {
    let (mut world, signed) = offered(Sha256::Accept, NONCE, &BOTH);
    // The new challenge is like one of an old server.
    world.input(&Answer::challenge(&signed, 438, REALM, "plain"));
    assert_gave_up(&mut world, 438);

    // The next request does not answer it either.
    world.client.allocate(world.now, AllocateOptions::default());
    let again = world.packet();
    assert_eq!(
        Message::parse(&again).unwrap().verify(&sha256_key()),
        Ok(())
    );
    world.input(&Answer::challenge(&again, 401, "elsewhere", "plain"));
    assert_gave_up(&mut world, 401);
}

#[test]
fn a_stale_nonce_is_met_with_the_offer_that_came_with_the_new_one() {
    let (mut world, signed) = offered(Sha256::Accept, NONCE, &BOTH);
    world.input(&offer(&signed, 438, ANONYMOUS, &SHA256));
    let again = world.packet();
    let message = Message::parse(&again).unwrap();
    assert_eq!(message.get(), Ok(Some(PasswordAlgorithms(&SHA256))));
    assert_eq!(message.get(), Ok(Some(Nonce(ANONYMOUS))));
    assert_eq!(message.verify(&sha256_key()), Ok(()));
    world.input(&grant_allocate(&again).signed(&sha256_key()));
    assert_eq!(world.event(), allocated());
}

#[test]
fn an_answer_signed_with_less_than_the_request_is_ignored_and_counted() {
    let (mut world, signed) = offered(Sha256::Accept, NONCE, &BOTH);
    let sha1 = Key::sha256(USERNAME, REALM, PASSWORD).schedule(Algorithm::Sha1);
    for less in [key(), sha1] {
        world.input(&grant_allocate(&signed).signed(&less));
        assert_eq!(world.client.poll_event(), None);
    }
    assert_eq!(world.client.dropped(DropReason::BadIntegrity), 2);
}

#[test]
fn who_must_have_sha256_meets_no_challenge_without_it() {
    let (mut world, unsigned) = asked(Sha256::Require);
    world.input(&Answer::challenge(&unsigned, 401, REALM, "plain"));
    assert_gave_up(&mut world, 401);

    let (mut world, unsigned) = asked(Sha256::Require);
    world.input(&offer(&unsigned, 401, NONCE, &MD5));
    assert_gave_up(&mut world, 401);

    let (_, signed) = offered(Sha256::Require, NONCE, &BOTH);
    assert_eq!(chosen(&signed), Some(PasswordAlgorithm::SHA256));
}

#[test]
fn who_wants_none_of_it_says_what_an_old_client_says() {
    let (mut world, signed) = offered(Sha256::Off, ANONYMOUS, &BOTH);
    let message = Message::parse(&signed).unwrap();
    assert_eq!(message.get(), Ok(Some(Username(USERNAME))));
    for kind in [
        PasswordAlgorithm::TYPE,
        PasswordAlgorithms::TYPE,
        UserHash::TYPE,
    ] {
        assert!(!message.attributes().any(|found| found.kind == kind));
    }
    assert_eq!(message.verify(&key()), Ok(()));
    world.input(&grant_allocate(&signed).signed(&key()));
    assert_eq!(world.event(), allocated());
}

#[test]
fn a_client_without_credentials_meets_no_offer() {
    let mut world = World::new(Config::new(Transport::Udp));
    world.client.binding(world.now);
    let request = world.packet();
    world.input(&offer(&request, 401, NONCE, &BOTH));
    assert_eq!(world.event(), failed(Request::Binding, refused(401, "")));
}
