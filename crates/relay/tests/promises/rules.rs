//! Rules that change while the server runs.

use std::sync::Arc;
use std::time::Instant;

use relay::keys::{Mint, mint};
use relay::policy::{Mode, Policy};
use relay::{Answer, Command, DropReason, EndCause, Keys, Realm, Rules, Sha256, Transport};
use sim::Outcome::Lost;
use sim::{Client, Proof, REALM, Request, World, minutes, password, seconds};
use wire::Attribute;
use wire::attributes::{PasswordAlgorithm, UserHash, Username};

use crate::quotas::one_for_each_person;
use crate::{mobility, tokens};

/// Rules for these users of the default realm, as every world begins with.
pub(crate) fn rules(users: &[&str]) -> Rules {
    let mut keys = Keys::new(REALM);
    for user in users {
        keys.add_user(user, &password(user)).unwrap();
    }
    let mut rules = Rules::new(keys, sim::policy());
    rules.sha256 = Sha256::Off;
    rules
}

pub(crate) fn code(world: &mut World, client: Client, request: Request) -> Option<u16> {
    client.ask(world, request).code()
}

#[test]
fn a_user_who_is_taken_away_keeps_what_was_granted_to_its_end_and_gets_no_more() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    let early = world.client("alice");
    early.allocate(&mut world, minutes(10));
    let changed = rules(&["bob"]);
    world.change_rules(changed);
    for _ in 0..3 {
        let heard = alice.hears_on(channel, peer, b"x");
        assert_eq!(peer.send(&mut world, relayed, b"x"), heard);
        let refresh = Request::refresh(minutes(10));
        assert_eq!(code(&mut world, alice, refresh), Some(401));
        let another = Request::create_permission([world.peer()]);
        assert_eq!(code(&mut world, alice, another), None);
        world.advance(minutes(3));
    }
    // It may be ended.
    early.delete(&mut world);
    assert_eq!(code(&mut world, early, Request::allocate()), Some(401));
    world.client("bob").allocate(&mut world, minutes(10));
    world.advance(minutes(1));
    assert_eq!(world.end_causes().last(), Some(&EndCause::Expired));
}

#[test]
fn a_user_who_hides_the_name_and_is_taken_away_is_still_known_by_the_allocation() {
    let mut world = World::with(|config| config.rules_mut().sha256 = Sha256::Offer);
    let alice = world.client("alice");
    let hashed = |request: Request| {
        let request = request.proof(Proof::New(PasswordAlgorithm::SHA256));
        request
            .without(Username::TYPE)
            .put(UserHash::of("alice", REALM))
    };
    assert_eq!(code(&mut world, alice, hashed(Request::allocate())), None);
    // Hashes are not offered any more either.
    let mut changed = rules(&["bob"]);
    changed.sha256 = Sha256::Offer;
    changed.realms.default_keys().add_secret(b"north");
    world.change_rules(changed);
    let permission = Request::create_permission([world.peer()]);
    assert_eq!(code(&mut world, alice, hashed(permission)), None);
    let refresh = hashed(Request::refresh(minutes(10)));
    assert_eq!(code(&mut world, alice, refresh), Some(401));
    let end = hashed(Request::refresh(seconds(0)));
    assert_eq!(code(&mut world, alice, end), None);
    assert_eq!(
        code(&mut world, alice, hashed(Request::allocate())),
        Some(400)
    );
}

#[test]
fn what_a_secret_has_opened_is_prolonged_also_when_the_secret_is_gone() {
    let mut world = one_for_each_person();
    let expiry = world.now().unix.as_secs() + 3600;
    let credential = mint(Mint::Sha1, b"north", Some("alice"), expiry);
    let alice = world.client_with(&credential.username, &credential.password);
    alice.allocate(&mut world, minutes(10));
    let mut changed = rules(&["bob"]);
    changed.realms.default_keys().add_secret(b"another");
    world.change_rules(changed);
    for _ in 0..9 {
        world.advance(minutes(9));
        assert_eq!(code(&mut world, alice, Request::refresh(minutes(10))), None);
    }
    alice.delete(&mut world);
    assert_eq!(code(&mut world, alice, Request::allocate()), Some(401));
}

#[test]
fn a_shard_that_begins_anew_begins_with_the_rules_in_force() {
    let mut world = World::new();
    world.change_rules(rules(&["bob"]));
    world.restart_shard(0);
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    assert_eq!(code(&mut world, alice, Request::allocate()), Some(401));
    assert_eq!(code(&mut world, bob, Request::allocate()), None);
    world.upgrade(seconds(1));
    assert_eq!(code(&mut world, alice, Request::allocate()), Some(401));
}

#[test]
fn an_allocation_with_a_ticket_moves_also_where_none_are_given_any_more() {
    let mut world = World::sharded(2, |_| {});
    let home = world.client_on(0, "alice");
    let mut ticket = mobility::allocate(home, &mut world);
    let mut changed = rules(&["alice", "bob"]);
    changed.mobility = false;
    world.change_rules(changed);
    let peer = world.peer();
    for shard in [1, 0] {
        let away = world.roam(home, shard, Transport::Udp);
        let answer = away.ask(&mut world, mobility::shown(&ticket));
        assert!(answer.is_success());
        ticket = mobility::ticket(&answer);
        away.permit(&mut world, peer);
        assert!(away.send(&mut world, peer, b"here") != Lost(DropReason::NoPermission));
    }
    let bob = world.client("bob");
    let asked = Request::allocate().ticket(&[]);
    assert_eq!(code(&mut world, bob, asked), Some(405));
    assert_eq!(code(&mut world, bob, mobility::shown(&[7; 40])), Some(405));
}

#[test]
fn a_password_that_changes_holds_for_what_comes_next() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    let mut changed = rules(&[]);
    let keys = changed.realms.default_keys();
    keys.add_user("alice", "another").unwrap();
    world.change_rules(changed);
    assert_eq!(code(&mut world, alice, Request::refresh(minutes(10))), None);
    let (old, new) = (world.client("alice"), world.client_with("alice", "another"));
    assert_eq!(code(&mut world, old, Request::allocate()), Some(401));
    assert_eq!(code(&mut world, new, Request::allocate()), None);
}

#[test]
fn a_realm_that_is_taken_away_or_moves_among_others_confuses_nobody() {
    let other = |name: &str, user: &str| {
        let mut keys = Keys::new(name);
        keys.add_user(user, &password(user)).unwrap();
        Realm {
            total: Some(1),
            ..keys.into()
        }
    };
    let mut world = World::with(|config| {
        config.rules_mut().realms.add(other("example.net", "dave"));
        config.rules_mut().realms.add(other("example.com", "erin"));
    });
    let dave = world.client_with("dave@example.net", &password("dave"));
    let erin = world.client_with("erin@example.com", &password("erin"));
    for client in [dave, erin] {
        client.allocate(&mut world, minutes(10));
    }
    // The first of them is gone, and another has come behind. Its name is free for others' names.
    let mut changed = rules(&["alice", "dave@example.net"]);
    changed.realms.add(other("example.com", "erin"));
    changed.realms.add(other("example.edu", "frank"));
    world.change_rules(changed);
    let refresh = || Request::refresh(minutes(10));
    assert_eq!(code(&mut world, erin, refresh()), None);
    assert_eq!(code(&mut world, dave, refresh()), Some(401));
    let permission = Request::create_permission([world.peer()]);
    assert_eq!(code(&mut world, dave, permission), None);
    dave.delete(&mut world);
    // The counts of realms are still those of their own users.
    let second = world.client_with("erin@example.com", &password("erin"));
    assert_eq!(code(&mut world, second, Request::allocate()), Some(486));
    let frank = world.client_with("frank@example.edu", &password("frank"));
    frank.allocate(&mut world, minutes(10));
    erin.delete(&mut world);
    second.allocate(&mut world, minutes(10));
    let gone = world.client_with("dave@example.net", &password("dave"));
    assert_eq!(code(&mut world, gone, Request::allocate()), Some(401));
    let full_name = "dave@example.net";
    let other = world.client_with(full_name, &password(full_name));
    other.allocate(&mut world, minutes(10));
}

#[test]
fn peers_that_a_new_policy_denies_are_cut_off_and_others_are_not() {
    let mut world = World::new();
    let alice = world.client("alice");
    let relayed = alice.allocate(&mut world, minutes(60));
    let (denied, bound, kept) = (world.peer(), world.peer(), world.peer());
    for peer in [denied, kept] {
        alice.permit(&mut world, peer);
    }
    let channel = alice.bind(&mut world, bound);
    let mut changed = rules(&["alice"]);
    let deny = [denied, bound].map(|peer| peer.0.ip().to_string().parse().unwrap());
    changed.policy = Policy::new(Mode::Closed, vec![], deny.into(), sim::own_addresses());
    world.change_rules(changed);
    for peer in [denied, bound] {
        assert_eq!(
            peer.send(&mut world, relayed, b"x"),
            Lost(DropReason::NoPeerPermission)
        );
    }
    assert_eq!(
        alice.send_on(&mut world, channel, b"x"),
        Lost(DropReason::NoChannel)
    );
    assert_eq!(
        kept.send(&mut world, relayed, b"x"),
        alice.hears(kept, b"x")
    );
    alice.refresh(&mut world, minutes(60));
}

#[test]
fn what_the_rules_counted_is_given_back_under_other_rules() {
    let mut world = one_for_each_person();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    // No secret any more: names are whole names from now on.
    let mut changed = rules(&["alice"]);
    changed.limits.per_user = Some(2);
    world.change_rules(changed);
    let second = world.client("alice");
    second.allocate(&mut world, minutes(10));
    let third = world.client("alice");
    assert_eq!(code(&mut world, third, Request::allocate()), Some(486));
    for client in [alice, second] {
        client.delete(&mut world);
    }
    assert!(world.is_idle());
}

#[test]
fn a_shorter_nonce_lifetime_ends_no_call() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(60));
    let mut changed = rules(&["alice"]);
    changed.nonce_lifetime = seconds(1);
    world.change_rules(changed);
    world.advance(minutes(5));
    assert_eq!(code(&mut world, alice, Request::refresh(minutes(60))), None);
}

/// By the first user with a precomputed key, by SHA-256 switched off and on, by a secret: what a
/// challenge says changes, and no call ends of it.
#[test]
fn what_is_offered_may_change_and_no_call_ends() {
    type Change = fn(&mut Rules);
    let offers: [(&str, Change); 4] = [
        ("off", |rules| rules.sha256 = Sha256::Off),
        ("require", |rules| rules.sha256 = Sha256::Require),
        ("a key", |rules| {
            rules.realms.default_keys().add_key("dave", [7; 16]);
        }),
        ("a secret", |rules| {
            rules.realms.default_keys().add_secret(b"north");
        }),
    ];
    for (what, change) in offers {
        let mut world = World::with(|config| config.rules_mut().sha256 = Sha256::Offer);
        let (old, new) = (world.client("alice"), world.client("bob"));
        let sha256 = || Proof::New(PasswordAlgorithm::SHA256);
        old.allocate(&mut world, minutes(10));
        let allocate = Request::allocate().proof(sha256());
        assert!(new.ask(&mut world, allocate).is_success());
        let mut changed = rules(&["alice", "bob"]);
        changed.sha256 = Sha256::Offer;
        change(&mut changed);
        world.change_rules(changed);
        for _ in 0..3 {
            world.advance(minutes(9));
            let refresh = || Request::refresh(minutes(10));
            assert_eq!(code(&mut world, old, refresh()), None, "{what}");
            let refresh = refresh().proof(sha256());
            assert_eq!(code(&mut world, new, refresh), None, "{what}");
        }
    }
}

#[test]
fn a_limit_that_comes_later_counts_what_was_there_before() {
    let mut world = World::new();
    let first = world.client("alice");
    first.allocate(&mut world, minutes(10));
    let mut changed = rules(&["alice"]);
    changed.limits.per_user = Some(2);
    world.change_rules(changed);
    let (second, third) = (world.client("alice"), world.client("alice"));
    second.allocate(&mut world, minutes(10));
    assert_eq!(code(&mut world, third, Request::allocate()), Some(486));
    first.delete(&mut world);
    third.allocate(&mut world, minutes(10));
    assert_eq!(code(&mut world, first, Request::allocate()), Some(486));
}

#[test]
fn permissions_are_prolonged_where_their_limit_was_lowered() {
    let mut world = World::new();
    let alice = world.client("alice");
    let relayed = alice.allocate(&mut world, minutes(60));
    let peers = [world.peer(), world.peer(), world.peer()];
    for peer in peers {
        alice.permit(&mut world, peer);
    }
    let mut changed = rules(&["alice"]);
    changed.limits.permissions = 1;
    world.change_rules(changed);
    for _ in 0..3 {
        world.advance(seconds(250));
        let all = Request::create_permission(peers);
        assert_eq!(code(&mut world, alice, all), None);
    }
    assert_eq!(
        peers[2].send(&mut world, relayed, b"x"),
        alice.hears(peers[2], b"x")
    );
    let more = world.peer();
    let more = Request::create_permission([more]);
    assert_eq!(code(&mut world, alice, more), Some(403));
}

#[test]
fn a_policy_reaches_an_allocation_that_is_between_two_shards() {
    let mut world = World::sharded(2, |_| {});
    let home = world.client_on(0, "alice");
    let ticket = mobility::allocate(home, &mut world);
    let (relayed, peer) = (home.relayed(&world), world.peer());
    home.bind(&mut world, peer);
    let away = world.roam(home, 1, Transport::Udp);
    assert!(away.ask(&mut world, mobility::shown(&ticket)).is_success());
    world.hold_mail();
    // The first data from there sends it on its way.
    away.send(&mut world, peer, b"here");
    while !world.is_between_shards() {
        assert!(world.deliver_one(), "it settles");
    }
    let mut changed = rules(&["alice"]);
    let deny = vec![peer.0.ip().to_string().parse().unwrap()];
    changed.policy = Policy::new(Mode::Closed, vec![], deny, sim::own_addresses());
    world.change_rules(changed);
    world.release_mail();
    assert_eq!(
        peer.send(&mut world, relayed, b"x"),
        Lost(DropReason::NoPeerPermission)
    );
}

#[test]
fn what_tokens_have_opened_lives_on_when_no_token_is_taken_any_more() {
    let mut world = tokens::world();
    let guest = tokens::guest(&mut world);
    guest.allocate(&mut world, minutes(10));
    world.change_rules(rules(&["alice"]));
    for _ in 0..3 {
        world.advance(minutes(9));
        assert_eq!(code(&mut world, guest, Request::refresh(minutes(10))), None);
    }
    assert_eq!(code(&mut world, guest, Request::refresh(seconds(0))), None);
}

#[test]
fn earlier_rules_that_arrive_late_change_nothing() {
    let mut world = World::new();
    let alice = world.client("alice");
    world.change_rules(rules(&["alice"]));
    let earlier = Arc::new(rules(&["bob"]));
    assert_eq!(world.command(0, Command::Adopt(earlier)), Answer::Adopted);
    alice.allocate(&mut world, minutes(10));
}

/// All packets of a shard wait while it adopts rules.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a ratio of times is what is measured"
)]
fn other_users_are_adopted_in_a_moment_however_many_they_and_the_permissions_are() {
    let mut world = World::with(|config| config.rules_mut().limits.per_user = None);
    let peers = [(); 256].map(|()| world.peer());
    for client in [(); 40].map(|()| world.client("alice")) {
        client.allocate(&mut world, minutes(10));
        let permissions = Request::create_permission(peers);
        assert_eq!(code(&mut world, client, permissions), None);
    }
    let with_users = || {
        let mut changed = rules(&["alice"]);
        for user in 0..40_000 {
            let keys = changed.realms.default_keys();
            keys.add_user(&format!("user{user}"), "a password").unwrap();
        }
        changed
    };
    let mut judging = with_users();
    let deny = vec!["192.0.2.1".parse().unwrap()];
    judging.policy = Policy::new(Mode::Closed, vec![], deny, sim::own_addresses());
    let [changed, judging] = [with_users(), judging].map(Arc::new);
    // The least of many is that in which nothing else had the processor.
    let mut least = |rules: [&Arc<Rules>; 2]| {
        let took = (0..10).map(|turn| {
            let rules = Arc::clone(rules[turn % 2]);
            let start = Instant::now();
            assert_eq!(world.command(0, Command::Adopt(rules)), Answer::Adopted);
            start.elapsed()
        });
        took.min().unwrap()
    };
    let users_only = least([&changed, &changed]);
    let with_policy = least([&judging, &changed]);
    assert!(
        4 * users_only < with_policy,
        "{users_only:?}, {with_policy:?}"
    );
}
