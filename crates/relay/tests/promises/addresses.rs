//! The host's addresses come, change and go while the server runs.

use std::net::{IpAddr, Ipv4Addr};

use relay::policy::{Mode, Policy};
use relay::{AddressFamily, Answer, Command, DropReason, EndCause, Places, RelayAddress, Rules};
use sim::Outcome::Lost;
use sim::{EXTERNAL, LOCAL, LOCAL_V6, Peer, Request, World, minutes};

/// An address that the host is given later.
const LATER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 77));

const fn plain(ip: IpAddr) -> RelayAddress {
    RelayAddress {
        local: ip,
        external: ip,
    }
}

/// The world's rules, where these networks are the host's, too, and it relays from these addresses.
fn rules(networks: &[&str], relays: &[RelayAddress]) -> Rules {
    let mut own = sim::own_addresses();
    let networks = networks
        .iter()
        .map(|network| network.parse::<ipnet::IpNet>().unwrap());
    own.addresses.extend(networks);
    own.relays = relays.iter().map(|relay| relay.external).collect();
    let mut config = sim::config();
    let rules = config.rules_mut();
    rules.policy = Policy::new(Mode::Closed, vec![], vec![], own);
    rules.relays = relays.to_vec();
    std::sync::Arc::into_inner(config.rules).unwrap()
}

const USUAL: [RelayAddress; 2] = [plain(LOCAL), plain(LOCAL_V6)];

#[test]
fn what_was_granted_for_an_address_ends_when_it_comes_to_the_host() {
    for network in ["9.9.9.9/32", "9.9.8.0/23"] {
        let mut world = World::new();
        let (alice, other) = (world.client("alice"), world.peer());
        let (permitted, bound) = (Peer::at("9.9.9.9:4000"), Peer::at("9.9.9.9:5000"));
        let relayed = alice.allocate(&mut world, minutes(60));
        alice.permit(&mut world, permitted);
        alice.permit(&mut world, other);
        let channel = alice.bind(&mut world, bound);
        world.change_rules(rules(&[network], &USUAL));
        let lost = Lost(DropReason::NoPeerPermission);
        assert_eq!(permitted.send(&mut world, relayed, b"x"), lost);
        let lost = Lost(DropReason::NoPermission);
        assert_eq!(alice.send(&mut world, permitted, b"x"), lost);
        let lost = Lost(DropReason::NoChannel);
        assert_eq!(alice.send_on(&mut world, channel, b"x"), lost);
        other.reaches(&mut world, alice, b"x");
        alice.hears_error(&mut world, 403, Request::create_permission([permitted]));
        // An address that has left the host is a peer again.
        world.change_rules(rules(&[], &USUAL));
        alice.permit(&mut world, permitted);
    }
}

#[test]
fn new_allocations_live_on_the_new_address_and_old_ones_keep_theirs() {
    let mut world = World::sharded(2, |_| {});
    let (old, peer) = (world.client("alice"), world.peer());
    old.allocate(&mut world, minutes(60));
    old.permit(&mut world, peer);
    let relays = [plain(LATER), plain(LOCAL), plain(LOCAL_V6)];
    world.change_rules(rules(&["198.41.0.77/32"], &relays));
    let new = world.client_on(1, "bob");
    assert_eq!(new.allocate(&mut world, minutes(60)).ip(), LATER);
    assert_eq!(old.relayed(&world).ip(), LOCAL);
    peer.reaches(&mut world, old, b"x");
    // They meet, although one of them lives where nobody can go any more.
    let (at_old, at_new) = (Peer(old.relayed(&world)), Peer(new.relayed(&world)));
    old.permit(&mut world, at_new);
    new.permit(&mut world, at_old);
    assert_eq!(old.send(&mut world, at_new, b"x"), new.hears(at_old, b"x"));
    assert_eq!(new.send(&mut world, at_old, b"x"), old.hears(at_new, b"x"));
    old.refresh(&mut world, minutes(60));
    // Another process takes over, and both addresses along.
    world.upgrade(minutes(0));
    assert_eq!(old.send(&mut world, at_new, b"x"), new.hears(at_old, b"x"));
    assert_eq!(new.send(&mut world, at_old, b"x"), old.hears(at_new, b"x"));
    let newest = world.client("carol");
    assert_eq!(newest.allocate(&mut world, minutes(60)).ip(), LATER);
    for client in [old, new, newest] {
        client.delete(&mut world);
    }
    assert!(world.is_idle());
    assert_eq!(world.ports_taken(), 0);
}

#[test]
fn what_is_relayed_from_an_address_that_is_gone_ends_with_that_cause() {
    let mut world = World::sharded(2, |_| {});
    let (lost, dual) = (world.client("alice"), world.client_on(1, "bob"));
    lost.allocate(&mut world, minutes(60));
    dual.succeeds(&mut world, Request::allocate().dual());
    let v6 = world.client_on(1, "carol");
    v6.succeeds(&mut world, Request::allocate().family(AddressFamily::V6));
    world.change_rules(rules(&[], &[plain(LATER), plain(LOCAL_V6)]));
    for shard in 0..2 {
        let gone = Command::Lose(plain(LOCAL), Places::ALL);
        assert_eq!(world.command(shard, gone), Answer::Ended(1, None));
    }
    assert_eq!(world.end_causes(), [EndCause::AddressGone]);
    // An allocation with an address that is still there lives on with that one.
    assert_eq!(world.allocations(), 2);
    dual.refresh(&mut world, minutes(10));
    assert_eq!(world.ports_taken(), 2);
}

#[test]
fn an_external_address_that_changes_ends_only_what_peers_knew_by_the_old_one() {
    let behind = |external| RelayAddress {
        local: LOCAL,
        external,
    };
    let mut world = World::with(|config| config.rules_mut().relays = vec![behind(EXTERNAL)]);
    let old = world.client("alice");
    assert_eq!(old.allocate(&mut world, minutes(60)).ip(), EXTERNAL);
    world.change_rules(rules(&[], &[behind(LATER)]));
    let new = world.client("bob");
    assert_eq!(new.allocate(&mut world, minutes(60)).ip(), LATER);
    let gone = Command::Lose(behind(EXTERNAL), Places::ALL);
    assert_eq!(world.command(0, gone), Answer::Ended(1, None));
    assert_eq!(world.end_causes(), [EndCause::AddressGone]);
    new.refresh(&mut world, minutes(10));
}

#[test]
fn a_host_without_a_relay_address_gets_one_later() {
    let mut world = World::with(|config| config.rules_mut().relays.clear());
    let alice = world.client("alice");
    alice.hears_error(&mut world, 440, Request::allocate());
    world.change_rules(rules(&["198.41.0.77/32"], &[plain(LATER)]));
    assert_eq!(alice.allocate(&mut world, minutes(10)).ip(), LATER);
}
