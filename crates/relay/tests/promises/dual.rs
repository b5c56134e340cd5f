//! Dual allocations: one allocation with a relay socket of each family. RFC 8656 §7.2, §8.

use std::net::SocketAddr;

use relay::{
    AddressFamily, DropReason, EndCause, OpenError, PeerAddr, PortRange, Reject, Report, Verdict,
};
use sim::Outcome::{Lost, Silent};
use sim::{Answer, Client, LOCAL, LOCAL_V6, Request, World, minutes, seconds};
use wire::TransactionId;
use wire::attributes::{
    AdditionalAddressFamily, AddressErrorCode, DraftAdditionalAddressFamily, ErrorCode, EvenPort,
    Lifetime, XorRelayedAddress,
};

const BOTH: [AddressFamily; 2] = [AddressFamily::V4, AddressFamily::V6];

fn relayed(answer: &Answer) -> Vec<SocketAddr> {
    let all = answer.get_all::<XorRelayedAddress>();
    all.into_iter().map(|it| it.0).collect()
}

/// A dual allocation's addresses.
#[track_caller]
fn allocate(world: &mut World, client: Client) -> [SocketAddr; 2] {
    let answer = client.ask(world, Request::allocate().dual());
    relayed(&answer).try_into().unwrap()
}

fn refusal(answer: &Answer) -> Option<(AddressFamily, u16)> {
    let refused = answer.get::<AddressErrorCode<'_>>();
    refused.map(|refused| (refused.family, refused.code))
}

#[test]
fn a_dual_allocation_has_an_address_of_each_family_and_counts_once() {
    let mut world = World::with(|config| config.rules_mut().limits.per_user = Some(1));
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().dual());
    let [v4, v6] = relayed(&answer).try_into().unwrap();
    assert_eq!((v4.ip(), v6.ip()), (LOCAL, LOCAL_V6));
    assert_eq!(answer.get(), Some(Lifetime(600)));
    assert_eq!(refusal(&answer), None);
    assert_eq!((world.allocations(), world.ports_taken()), (1, 2));
    let reports = world.reports();
    let [Report::Opened { relayed, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(relayed[..], [v4, v6]);
    world.advance(minutes(10));
    assert!(world.is_idle());
}

/// Clients of coturn know it by that number.
#[test]
fn the_number_of_the_drafts_asks_for_a_dual_allocation_too() {
    let mut world = World::new();
    let alice = world.client("alice");
    let draft = DraftAdditionalAddressFamily(Ok(AddressFamily::V6));
    let answer = alice.ask(&mut world, Request::allocate().put(draft));
    assert_eq!(relayed(&answer).len(), 2);
}

#[test]
fn peers_of_both_families_are_reached_by_permission_and_by_channel() {
    let mut world = World::new();
    let alice = world.client("alice");
    let relayed = allocate(&mut world, alice);
    let peers = [world.peer(), world.peer_v6()];
    alice.ask(&mut world, Request::create_permission(peers));
    for (relayed, peer) in relayed.into_iter().zip(peers) {
        let said = alice.send(&mut world, peer, b"hi");
        assert_eq!(said, peer.hears(relayed, b"hi"));
        let heard = peer.send(&mut world, relayed, b"ho");
        assert_eq!(heard, alice.hears(peer, b"ho"));
    }
    for (relayed, peer) in relayed.into_iter().zip(peers) {
        let channel = alice.bind(&mut world, peer);
        let said = alice.send(&mut world, peer, b"hi");
        assert_eq!(said, peer.hears(relayed, b"hi"));
        let heard = peer.send(&mut world, relayed, b"ho");
        assert_eq!(heard, alice.hears_on(channel, peer, b"ho"));
    }
}

#[test]
fn two_dual_allocations_meet_over_either_family() {
    let mut world = World::sharded(2, |_| {});
    for shard in [0, 1] {
        let (alice, bob) = (world.client_on(0, "alice"), world.client_on(shard, "bob"));
        let (here, there) = (allocate(&mut world, alice), allocate(&mut world, bob));
        alice.ask(&mut world, Request::create_permission(there));
        bob.ask(&mut world, Request::create_permission(here));
        for (here, there) in here.into_iter().zip(there) {
            let said = alice.send(&mut world, there, b"hi");
            assert_eq!(said, bob.hears(here, b"hi"));
        }
    }
}

#[test]
fn a_family_that_the_allocation_has_not_is_a_mismatch() {
    let mut world = World::with(|config| config.rules_mut().relays.truncate(1));
    let (alice, peer) = (world.client("alice"), world.peer_v6());
    assert!(
        alice
            .ask(&mut world, Request::allocate().dual())
            .is_success()
    );
    for request in [
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
        Request::refresh(seconds(0)).family(AddressFamily::V6),
    ] {
        assert_eq!(alice.ask(&mut world, request).code(), Some(443));
    }
}

#[test]
fn attributes_that_exclude_each_other_are_a_bad_request() {
    let mut world = World::new();
    let alice = world.client("alice");
    let additional = |family| Request::allocate().put(AdditionalAddressFamily(family));
    for request in [
        Request::allocate().dual().family(AddressFamily::V4),
        Request::allocate().dual().family(AddressFamily::V6),
        Request::allocate().dual().reserve_next(),
        additional(Ok(AddressFamily::V4)),
        additional(Err(0)),
        additional(Err(3)),
    ] {
        assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    }
    assert!(world.is_idle());
}

#[test]
fn even_ports_are_even_in_both_families() {
    let mut world = World::new();
    for _ in 0..20 {
        let alice = world.client("alice");
        let even = EvenPort {
            reserve_next: false,
        };
        let answer = alice.ask(&mut world, Request::allocate().dual().put(even));
        let ports: Vec<u16> = relayed(&answer).iter().map(|it| it.port() % 2).collect();
        assert_eq!(ports, [0, 0]);
    }
}

#[test]
fn a_family_that_the_server_has_not_is_named_and_the_other_granted() {
    for (missing, local) in [(0, LOCAL_V6), (1, LOCAL)] {
        let mut world = World::with(|config| {
            config.rules_mut().relays.remove(missing);
        });
        let alice = world.client("alice");
        let answer = alice.ask(&mut world, Request::allocate().dual());
        assert_eq!(relayed(&answer).len(), 1);
        assert_eq!(relayed(&answer)[0].ip(), local);
        assert_eq!(refusal(&answer), Some((BOTH[missing], 440)));
    }
}

#[test]
fn a_family_without_a_free_port_is_named_and_the_other_granted() {
    for (full, family) in BOTH.into_iter().enumerate() {
        let mut world = World::with(|config| {
            config.ports = PortRange::new(50_000, 50_000).unwrap();
        });
        let (alice, bob) = (world.client("alice"), world.client("bob"));
        bob.ask(&mut world, Request::allocate().family(family));
        let answer = alice.ask(&mut world, Request::allocate().dual());
        assert_eq!(relayed(&answer).len(), 1);
        assert_eq!(refusal(&answer), Some((BOTH[full], 508)));
    }
}

#[test]
fn a_socket_that_cannot_be_opened_refuses_its_family_only() {
    for (family, local) in BOTH.into_iter().zip([LOCAL, LOCAL_V6]) {
        let mut world = World::with(|config| {
            config.ports = PortRange::new(50_000, 50_001).unwrap();
        });
        for port in [50_000, 50_001] {
            world.occupy(SocketAddr::new(local, port));
        }
        let alice = world.client("alice");
        let answer = alice.ask(&mut world, Request::allocate().dual());
        assert_eq!(relayed(&answer).len(), 1);
        assert_ne!(relayed(&answer)[0].ip(), local);
        assert_eq!(refusal(&answer), Some((family, 508)));
    }
}

#[test]
fn if_neither_family_can_be_had_the_error_is_that_of_ipv4() {
    let mut world = World::with(|config| config.rules_mut().relays.clear());
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().dual());
    assert_eq!(answer.code(), Some(440));

    let mut world = World::with(|config| config.rules_mut().relays.truncate(1));
    let alice = world.client("alice");
    world.refuse_sockets(OpenError::Exhausted);
    let answer = alice.ask(&mut world, Request::allocate().dual());
    assert_eq!(answer.get::<ErrorCode<'_>>().unwrap().code, 508);
    assert_eq!(refusal(&answer), None);
    assert!(world.is_idle());

    let mut world = World::new();
    let alice = world.client("alice");
    world.refuse_sockets(OpenError::System);
    let answer = alice.ask(&mut world, Request::allocate().dual());
    assert_eq!(answer.code(), Some(508));
    assert!(answer.is_signed() && world.is_idle());
    assert_eq!(world.refusal(), Reject::CannotOpen(OpenError::System));
}

#[test]
fn no_success_before_both_sockets_are_known() {
    let mut world = World::new();
    let alice = world.client("alice");
    world.hold_sockets();
    let packet = alice.write(&mut world, &Request::allocate().dual());
    assert_eq!(alice.packet(&mut world, &packet), Silent);
    world.open_one_socket();
    assert!(alice.inbox(&mut world).is_empty());
    assert_eq!(
        alice.packet(&mut world, &packet),
        Lost(DropReason::AllocationOpening)
    );
    world.open_sockets();
    let answers = alice.inbox(&mut world);
    assert_eq!((answers.len(), relayed(&answers[0]).len()), (1, 2));
}

#[test]
fn who_leaves_between_the_two_sockets_leaves_nothing() {
    let mut world = World::new();
    let alice = world.tcp_client("alice");
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate().dual());
    world.open_one_socket();
    alice.disconnect(&mut world);
    world.open_sockets();
    assert!(world.is_idle());
    assert!(alice.inbox(&mut world).is_empty() && world.reports().is_empty());
}

#[test]
fn a_retransmission_hears_both_addresses_or_the_same_refusal() {
    const ONCE: TransactionId = TransactionId::new(*b"the same one");
    for relays in [1, 2] {
        let mut world = World::with(|config| config.rules_mut().relays.truncate(relays));
        let alice = world.client("alice");
        let request = Request::allocate().dual().in_transaction(ONCE);
        let packet = alice.write(&mut world, &request);
        let first = alice.packet(&mut world, &packet).answer();
        world.advance(seconds(1));
        assert_eq!(alice.packet(&mut world, &packet).answer(), first);
        assert_eq!(refusal(&first).is_some(), relays == 1);
    }
}

#[test]
fn a_refresh_without_family_is_for_both() {
    let mut world = World::new();
    let alice = world.client("alice");
    allocate(&mut world, alice);
    world.advance(minutes(9));
    alice.refresh(&mut world, minutes(10));
    world.advance(minutes(9));
    assert_eq!((world.allocations(), world.ports_taken()), (1, 2));
    alice.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn deleting_one_family_leaves_the_other_its_permissions_and_channels() {
    for (gone, family) in BOTH.into_iter().enumerate() {
        let mut world = World::new();
        let alice = world.client("alice");
        let relayed = allocate(&mut world, alice);
        let bound = [world.peer(), world.peer_v6()];
        let permitted = [world.peer(), world.peer_v6()];
        alice.ask(&mut world, Request::create_permission(permitted));
        for peer in bound {
            alice.bind(&mut world, peer);
        }
        let delete = Request::refresh(seconds(0)).family(family);
        assert_eq!(alice.ask(&mut world, delete).get(), Some(Lifetime(0)));
        assert_eq!((world.allocations(), world.ports_taken()), (1, 1));
        assert!(!world.has_socket(relayed[gone]));

        let kept = 1 - gone;
        for peer in [bound[kept], permitted[kept]] {
            let said = alice.send(&mut world, peer, b"hi");
            assert_eq!(said, peer.hears(relayed[kept], b"hi"));
        }
        for peer in [bound[gone], permitted[gone]] {
            assert_eq!(
                alice.send(&mut world, peer, b"hi"),
                Lost(DropReason::NoPermission)
            );
            let again = Request::create_permission([peer]);
            assert_eq!(alice.ask(&mut world, again).code(), Some(443));
        }
        let again = Request::refresh(seconds(600)).family(family);
        assert_eq!(alice.ask(&mut world, again).code(), Some(443));
        alice.delete(&mut world);
        assert!(world.is_idle());
    }
}

#[test]
fn what_still_arrives_for_a_family_that_was_deleted_is_for_nobody() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    allocate(&mut world, alice);
    let relay = world.relay_of(alice);
    assert_eq!(relay.family, AddressFamily::V4);
    let delete = Request::refresh(seconds(0)).family(AddressFamily::V4);
    alice.ask(&mut world, delete);
    let now = world.now();
    let late = world
        .server(0)
        .handle_peer(now, relay, PeerAddr(peer.0), b"hi");
    assert!(matches!(late, Verdict::Drop(DropReason::RelayGone)));
}

#[test]
fn with_its_last_family_the_allocation_ends() {
    let mut world = World::new();
    let alice = world.client("alice");
    allocate(&mut world, alice);
    for family in BOTH {
        let delete = Request::refresh(seconds(0)).family(family);
        assert!(alice.ask(&mut world, delete).is_success());
    }
    assert!(world.is_idle());
    assert_eq!(world.end_causes(), [EndCause::Deleted]);
}

#[test]
fn the_family_that_is_not_refreshed_expires_alone() {
    for (kept, family) in BOTH.into_iter().enumerate() {
        let mut world = World::new();
        let alice = world.client("alice");
        let relayed = allocate(&mut world, alice);
        let peers = [world.peer(), world.peer_v6()];
        world.advance(minutes(9));
        let refresh = Request::refresh(minutes(10)).family(family);
        assert!(alice.ask(&mut world, refresh).is_success());
        alice.ask(&mut world, Request::create_permission(peers));
        world.advance(minutes(1));
        assert_eq!((world.allocations(), world.ports_taken()), (1, 1));
        let said = alice.send(&mut world, peers[kept], b"hi");
        assert_eq!(said, peers[kept].hears(relayed[kept], b"hi"));
        let lost = alice.send(&mut world, peers[1 - kept], b"hi");
        assert_eq!(lost, Lost(DropReason::NoPermission));
        world.advance(minutes(9));
        assert!(world.is_idle());
    }
}
