//! Snapshots: a core as bytes, and the core that goes on from them.

use std::sync::Arc;

use proptest::prelude::*;
use relay::{
    Answer, Command, EndCause, Keys, Now, OpenError, Places, ProcessSecret, Realm, Report, Rules,
    Selection, Server, ShardId, Shared, Snapshot, Transport, Unreadable,
};
use ring::hmac;
use sim::Outcome::Silent;
use sim::{Client, LOCAL, REALM, Request, World, config, minutes, password, policy, seconds};

use crate::mobility::{allocate, shown, ticket};

/// Traffic both ways, on a channel and without one.
#[track_caller]
fn assert_served(world: &mut World, client: Client, peers: [sim::Peer; 2]) {
    let relayed = client.relayed(world);
    let [bound, permitted] = peers;
    let channel = client.bind(world, bound);
    for peer in peers {
        assert_eq!(client.send(world, peer, b"x"), peer.hears(relayed, b"x"));
    }
    assert_eq!(
        bound.send(world, relayed, b"y"),
        client.hears_on(channel, bound, b"y")
    );
    assert_eq!(
        permitted.send(world, relayed, b"y"),
        client.hears(permitted, b"y")
    );
}

fn listed(world: &mut World) -> Answer {
    world.command(0, Command::List(Selection::default(), Places::ALL))
}

#[test]
fn a_core_made_from_a_snapshot_goes_on_where_the_other_stopped() {
    let mut world = World::sharded(2, |_| {});
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    let peers = [world.peer(), world.peer()];
    alice.permit(&mut world, peers[1]);
    assert_served(&mut world, alice, peers);
    world.advance(seconds(100));
    let (before, counted) = (listed(&mut world), *world.counters().words());
    world.upgrade(seconds(0));
    assert_eq!(listed(&mut world), before);
    assert_eq!(world.counters().words(), &counted);
    // With the nonce that it has, and without another permission.
    let again = Request::refresh(minutes(10));
    assert!(alice.ask(&mut world, again).is_success());
    world.upgrade(seconds(2));
    assert_served(&mut world, alice, peers);
    let bob = world.client("bob");
    bob.allocate(&mut world, minutes(10));
    assert_ne!(bob.relayed(&world), alice.relayed(&world));
    // Permission and channel end when they would have ended: no upgrade prolongs them.
    world.advance(seconds(299 - 102));
    assert_eq!(
        alice.send(&mut world, peers[1], b"x"),
        peers[1].hears(alice.relayed(&world), b"x")
    );
    world.advance(seconds(1));
    assert!(matches!(
        alice.send(&mut world, peers[1], b"x"),
        sim::Outcome::Lost(_)
    ));
    alice.delete(&mut world);
    bob.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_retransmission_after_a_thaw_hears_the_remembered_answer() {
    let mut world = World::with(|config| config.rules_mut().relays.truncate(1));
    let alice = world.client("alice");
    let both = Request::allocate().dual().ticket(b"");
    let packet = alice.write(&mut world, &both);
    let first = alice.packet(&mut world, &packet).answer();
    assert!(first.is_success());
    world.upgrade(seconds(1));
    assert_eq!(alice.packet(&mut world, &packet).answer(), first);
    let away = world.roam(alice, 0, Transport::Udp);
    let packet = away.write(&mut world, &shown(&ticket(&first)));
    let moved = away.packet(&mut world, &packet).answer();
    world.upgrade(seconds(1));
    assert_eq!(away.packet(&mut world, &packet).answer(), moved);
}

#[test]
fn a_ticket_is_good_after_an_upgrade_and_for_no_later_allocation() {
    for shard in [0, 1] {
        let mut world = World::sharded(2, |_| {});
        let (alice, bob) = (world.client("alice"), world.client("bob"));
        let peers = [world.peer(), world.peer()];
        let kept = allocate(alice, &mut world);
        let over = allocate(bob, &mut world);
        alice.permit(&mut world, peers[1]);
        alice.bind(&mut world, peers[0]);
        bob.delete(&mut world);
        let away = world.roam(alice, shard, Transport::Udp);
        let next = ticket(&away.ask(&mut world, shown(&kept)));
        // The client is on its way, and one shard passes its packets to the other.
        world.upgrade(seconds(1));
        let refreshed = away.ask(&mut world, Request::refresh(minutes(10)));
        assert!(refreshed.is_success());
        assert_served(&mut world, away, peers);
        let late = world.client("bob");
        allocate(late, &mut world);
        let roamed = world.roam(late, shard, Transport::Udp);
        assert_eq!(roamed.ask(&mut world, shown(&over)).code(), Some(437));
        let further = world.roam(away, 0, Transport::Udp);
        ticket(&further.ask(&mut world, shown(&next)));
    }
}

#[test]
fn a_reserved_port_is_kept_over_an_upgrade_and_free_in_its_time() {
    let mut world = World::new();
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().reserve_next());
    let token = answer.get().unwrap();
    let lost = world.client("bob");
    lost.ask(&mut world, Request::allocate().reserve_next());
    world.upgrade(seconds(29));
    assert_eq!((world.reservations(), world.ports_taken()), (2, 4));
    let second = world.client("alice");
    let redeemed = second.ask(&mut world, Request::allocate().reserved(token));
    assert!(redeemed.is_success());
    world.upgrade(seconds(1));
    world.advance(seconds(1));
    assert_eq!((world.reservations(), world.ports_taken()), (0, 3));
}

#[test]
fn a_socket_that_was_asked_for_is_asked_for_again() {
    let mut world = World::new();
    let alice = world.client("alice");
    world.hold_sockets();
    let packet = alice.write(&mut world, &Request::allocate().reserve_next());
    assert_eq!(alice.packet(&mut world, &packet), Silent);
    world.upgrade(seconds(1));
    assert_eq!((alice.inbox(&mut world), world.ports_taken()), (vec![], 2));
    world.open_sockets();
    let [answer] = &alice.inbox(&mut world)[..] else {
        panic!("one answer");
    };
    assert!(answer.is_success());
    world.hold_sockets();
    let bob = world.client("bob");
    bob.tell(&mut world, Request::allocate());
    world.refuse_sockets(OpenError::Exhausted);
    world.upgrade(seconds(0));
    assert_eq!(bob.inbox(&mut world)[0].code(), Some(508));
    alice.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_request_that_waits_for_a_key_is_answered_when_it_is_sent_again_after_an_upgrade() {
    let mut world = World::ruled(|rules| rules.realms = Keys::remote(REALM).into());
    world.hold_keys();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    world.answer_keys();
    assert!(alice.inbox(&mut world)[0].is_success());
    world.hold_keys();
    let waiting = bob.write(&mut world, &Request::allocate());
    assert_eq!(bob.packet(&mut world, &waiting), Silent);
    world.upgrade(seconds(0));
    // The fetch of the process before is over, and its deadline with it.
    world.advance(seconds(6));
    assert!(bob.inbox(&mut world).is_empty());
    world.answer_keys();
    assert!(bob.packet(&mut world, &waiting).answer().is_success());
    // An allocation keeps its key, and the store is asked for no other.
    alice.refresh(&mut world, minutes(10));
    assert_eq!(world.asked_for(), ["alice", "bob", "bob"]);
}

#[test]
fn what_expired_between_freeze_and_thaw_ends_as_expired() {
    let mut world = World::new();
    let (alice, bob, peer) = (world.client("alice"), world.client("bob"), world.peer());
    alice.allocate(&mut world, minutes(10));
    world.advance(minutes(5));
    bob.allocate(&mut world, minutes(10));
    bob.bind(&mut world, peer);
    world.reports();
    world.upgrade(minutes(6));
    let [
        Report::Ended {
            cause, age, client, ..
        },
    ] = &world.reports()[..]
    else {
        panic!("one allocation is over");
    };
    assert_eq!((*cause, *age), (EndCause::Expired, minutes(11)));
    assert_eq!(*client, alice.tuple(&world));
    assert_eq!((world.allocations(), world.ports_taken()), (1, 1));
    // A pause that outlives all of it leaves nothing.
    world.upgrade(minutes(100));
    assert_eq!(world.end_causes(), [EndCause::Expired]);
    assert!(world.is_idle());
}

#[test]
fn quotas_are_counted_again_and_a_server_that_drains_drains_on() {
    let mut world = World::with(|config| config.rules_mut().limits.per_user = Some(1));
    let (alice, more) = (world.client("alice"), world.client("alice"));
    alice.allocate(&mut world, minutes(10));
    world.upgrade(seconds(1));
    assert_eq!(more.ask(&mut world, Request::allocate()).code(), Some(486));
    world.drain();
    world.upgrade(seconds(1));
    let bob = world.client("bob");
    assert_eq!(bob.ask(&mut world, Request::allocate()).code(), Some(508));
    alice.delete(&mut world);
    assert!(world.is_drained());
}

#[test]
fn a_port_of_another_program_is_left_alone_over_an_upgrade() {
    let mut world = World::with(|config| {
        config.ports = relay::PortRange::new(50_000, 50_001).unwrap();
    });
    world.occupy((LOCAL, 50_000).into());
    world.occupy((LOCAL, 50_001).into());
    let alice = world.client("alice");
    assert_eq!(alice.ask(&mut world, Request::allocate()).code(), Some(508));
    world.vacate((LOCAL, 50_000).into());
    world.upgrade(seconds(30));
    assert_eq!(alice.ask(&mut world, Request::allocate()).code(), Some(508));
    world.advance(seconds(30));
    alice.allocate(&mut world, minutes(10));
}

/// A snapshot of a core with all that one can have, and the moment.
fn frozen() -> (World, Snapshot, Now) {
    let mut world = World::sharded(2, |_| {});
    let (alice, bob, peer) = (world.client("alice"), world.tcp_client("bob"), world.peer());
    let ticket = allocate(alice, &mut world);
    alice.bind(&mut world, peer);
    let both = Request::allocate().dual();
    assert!(bob.ask(&mut world, both).is_success());
    let away = world.roam(alice, 1, Transport::Udp);
    away.ask(&mut world, shown(&ticket));
    let now = world.now();
    let snapshot = world.server(0).freeze(now);
    (world, snapshot, now)
}

fn thaw(rules: Rules, shard: u16, now: Now, snapshot: &Snapshot) -> Result<Server, Unreadable> {
    let config = config();
    let shared = Arc::new(Shared::new(&config));
    let (config, rules) = (Arc::new(config), Arc::new(rules));
    Server::thaw(
        config,
        rules,
        shared,
        ShardId(shard),
        [1; 32],
        now,
        snapshot,
    )
}

/// The rules of every world.
fn rules() -> Rules {
    let mut config = config();
    std::mem::replace(config.rules_mut(), Rules::new(Keys::new("none"), policy()))
}

fn read(bytes: Vec<u8>) -> Result<Snapshot, Unreadable> {
    Snapshot::from_bytes(bytes, &config().secret)
}

#[test]
fn no_damaged_snapshot_panics_or_is_taken() {
    let (_, snapshot, _) = frozen();
    let whole = snapshot.as_bytes();
    for at in 0..whole.len() {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 1 << (at % 8);
        assert!(read(damaged).is_err(), "byte {at}");
        assert!(read(whole[..at].to_vec()).is_err(), "{at} bytes");
    }
    let longer = [whole, &[0]].concat();
    assert_eq!(read(longer).err(), Some(Unreadable::Length));
    assert_eq!(read(vec![]).err(), Some(Unreadable::Foreign));
    assert!(read(whole.to_vec()).is_ok());
    let other = ProcessSecret([8; 32]);
    let elsewhere = Snapshot::from_bytes(whole.to_vec(), &other);
    assert_eq!(elsewhere.err(), Some(Unreadable::Seal));
}

#[test]
fn a_snapshot_of_another_version_is_refused_by_name() {
    let (_, snapshot, now) = frozen();
    let mut bytes = snapshot.as_bytes().to_vec();
    bytes[8..10].copy_from_slice(&(Snapshot::FORMAT + 1).to_be_bytes());
    let refused = read(bytes).unwrap_err();
    assert_eq!(
        refused,
        Unreadable::Version {
            found: Snapshot::FORMAT + 1
        }
    );
    assert_eq!(
        refused.to_string(),
        format!(
            "the snapshot has format {}, and this program reads format {}",
            Snapshot::FORMAT + 1,
            Snapshot::FORMAT
        )
    );
    let other = thaw(rules(), 1, now, &snapshot);
    assert_eq!(other.err(), Some(Unreadable::Part));
}

/// The bytes under a seal that fits, as only a process with the secret can make it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let hmac = |key: &[u8], of: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), of);
    let end = bytes.len() - 32;
    let key = hmac(&config().secret.0, b"snapshot");
    let seal = hmac(key.as_ref(), &bytes[..end]);
    bytes[end..].copy_from_slice(seal.as_ref());
    bytes
}

proptest! {
    /// Bytes that a flawed version of the program might write.
    #[test]
    fn bytes_under_a_good_seal_are_a_whole_core_or_an_error(
        changes in prop::collection::vec((18..1_500_usize, any::<u8>()), 1..4),
    ) {
        let (_, snapshot, now) = frozen();
        let mut bytes = snapshot.as_bytes().to_vec();
        let body = bytes.len() - 32;
        for (at, value) in changes {
            bytes[18 + at % (body - 18)] = value;
        }
        let snapshot = read(sealed(bytes)).unwrap();
        let Ok(mut server) = thaw(rules(), 0, now, &snapshot) else {
            return Ok(());
        };
        while server.poll_effect().is_some() {}
        server.freeze(now);
        server.handle_shutdown(now.mono);
        while server.poll_effect().is_some() {}
        prop_assert_eq!(server.allocations(), 0);
    }
}

#[test]
fn a_snapshot_shows_no_secret_and_is_the_same_for_the_same_state() {
    let (mut world, snapshot, now) = frozen();
    let shown = format!("{snapshot:?}");
    assert_eq!(
        shown,
        format!("Snapshot({} bytes)", snapshot.as_bytes().len())
    );
    let again = world.server(0).freeze(now);
    assert_eq!(again.as_bytes(), snapshot.as_bytes());
}

/// A change of what is written needs another number, or an upgrade reads nonsense.
#[test]
fn a_change_of_the_format_changes_its_number() {
    let (_, snapshot, _) = frozen();
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let print = snapshot.as_bytes().iter().fold(0x811C_9DC5, fold);
    assert_eq!((Snapshot::FORMAT, print), (5, 1_758_359_599));
}

#[test]
fn realms_are_found_by_name_and_those_that_are_gone_have_no_users() {
    let realm = |name: &str, user: &str| {
        let mut keys = Keys::new(name);
        keys.add_user(user, &password(user)).unwrap();
        Realm::from(keys)
    };
    let mut world = World::with(|config| {
        config.rules_mut().realms.add(realm("example.net", "dave"));
        config.rules_mut().realms.add(realm("example.com", "erin"));
    });
    for user in ["dave@example.net", "erin@example.com"] {
        let own = user.split('@').next().unwrap();
        let client = world.client_with(user, &password(own));
        client.allocate(&mut world, minutes(10));
    }
    let now = world.now();
    let snapshot = world.server(0).freeze(now);
    let next = || {
        let mut next = rules();
        next.realms.add(realm("example.com", "erin"));
        next
    };
    let unknown = thaw(next(), 0, now, &snapshot);
    assert_eq!(unknown.err(), Some(Unreadable::Realm));
    let mut following = next();
    following.follow(&snapshot, now).unwrap();
    assert_eq!(following.serial, 1);
    let mut server = thaw(following, 0, now, &snapshot).unwrap();
    let all = Command::List(Selection::default(), Places::ALL);
    let Answer::Allocations(all, None) = server.handle_command(now, all) else {
        panic!("a list was asked for");
    };
    let names: Vec<_> = all.iter().map(|it| (&*it.user, &*it.realm)).collect();
    assert_eq!(names, [("dave", "example.net"), ("erin", "example.com")]);
}
