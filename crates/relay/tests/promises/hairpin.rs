//! Two clients of one server: relay to relay, in one shard and across two, with and without a
//! 1:1 NAT.

use std::net::SocketAddr;

use relay::DropReason::{NoPeerPermission, NoPermission, NoRelay, PeerDenied};
use relay::{Destination, Outgoing, PortRange, RelayAddress, Verdict};
use sim::Outcome::{Lost, NoSocket, Silent};
use sim::{Client, EXTERNAL, LOCAL, Outcome, Peer, Request, World, assert_lost, minutes, seconds};

fn behind_nat(config: &mut relay::Config) {
    config.rules_mut().relays = vec![RelayAddress {
        local: LOCAL,
        external: EXTERNAL,
    }];
}

/// Every way in which two clients may sit on one server.
fn worlds() -> [(World, Client, Client); 4] {
    let open = |_: &mut relay::Config| {};
    let meet = |mut world: World, shard| {
        let (alice, bob) = (world.client("alice"), world.client_on(shard, "bob"));
        alice.allocate(&mut world, minutes(60));
        bob.allocate(&mut world, minutes(60));
        (world, alice, bob)
    };
    [
        meet(World::with(open), 0),
        meet(World::sharded(2, open), 1),
        meet(World::with(behind_nat), 0),
        meet(World::sharded(2, behind_nat), 1),
    ]
}

/// The relayed transport address of a client, as a peer of the other.
fn door(world: &World, client: Client) -> Peer {
    Peer(client.relayed(world))
}

#[test]
fn two_clients_reach_each_other_through_their_relayed_addresses() {
    for (mut world, alice, bob) in worlds() {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        alice.permit(&mut world, at_bob);
        bob.permit(&mut world, at_alice);
        assert_eq!(
            alice.send(&mut world, at_bob, b"hi"),
            bob.hears(at_alice, b"hi")
        );
        assert_eq!(
            bob.send(&mut world, at_alice, b"ho"),
            alice.hears(at_bob, b"ho")
        );
    }
}

#[test]
fn they_do_so_on_channels_too() {
    for (mut world, alice, bob) in worlds() {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        alice.bind(&mut world, at_bob);
        let channel = bob.bind(&mut world, at_alice);
        assert_eq!(
            alice.send(&mut world, at_bob, b"hi"),
            bob.hears_on(channel, at_alice, b"hi")
        );
    }
}

#[test]
fn both_permissions_are_asked_as_if_the_packet_had_travelled() {
    for (mut world, alice, bob) in worlds() {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        assert_lost(alice.send(&mut world, at_bob, b"x"), NoPermission);
        alice.bind(&mut world, at_bob);
        assert_lost(alice.send(&mut world, at_bob, b"x"), NoPeerPermission);
        bob.permit(&mut world, at_alice);
        world.advance(seconds(300));
        assert_eq!(
            alice.send(&mut world, at_bob, b"x"),
            Lost(NoPeerPermission),
            "lapsed at the far end"
        );
    }
}

#[test]
fn the_packet_never_meets_the_kernel_whatever_the_shards() {
    for (at_once, (mut world, alice, bob)) in [true, false, true, false].into_iter().zip(worlds()) {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        alice.permit(&mut world, at_bob);
        bob.permit(&mut world, at_alice);
        let packet = alice.write(&mut world, &Request::send(at_bob, b"x"));
        let (now, from, to) = (world.now(), alice.tuple(&world), bob.tuple(&world));
        match world.server(0).handle_client(now, from, &packet) {
            Verdict::Relay(Outgoing {
                to: Destination::Client { client, .. },
                ..
            }) => assert!(at_once && client == to),
            // From the address that Bob knows, to the one that his socket has.
            Verdict::Relay(Outgoing {
                to: Destination::Relayed(crossing),
                ..
            }) => {
                assert!(!at_once && crossing.from.0 == at_alice.0);
                assert_eq!(crossing.to, SocketAddr::new(LOCAL, at_bob.0.port()));
            }
            other @ (Verdict::Relay(_) | Verdict::Answer(_) | Verdict::Drop(_) | Verdict::Done) => {
                panic!("{other:?}")
            }
        }
    }
}

#[test]
fn a_packet_counts_for_both() {
    for (mut world, alice, bob) in worlds() {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        alice.permit(&mut world, at_bob);
        bob.permit(&mut world, at_alice);
        alice.send(&mut world, at_bob, b"12345");
        let counters = world.counters();
        assert_eq!((counters.sent.packets, counters.sent.bytes), (1, 5));
        assert_eq!((counters.received.packets, counters.received.bytes), (1, 5));
    }
}

#[test]
fn a_client_may_be_its_own_peer() {
    for (mut world, alice, _) in worlds() {
        let own = door(&world, alice);
        alice.permit(&mut world, own);
        assert_eq!(
            alice.send(&mut world, own, b"echo"),
            alice.hears(own, b"echo")
        );
    }
}

#[test]
fn a_relayed_address_that_nobody_has_leads_nowhere() {
    for (mut world, alice, bob) in worlds() {
        let at_bob = door(&world, bob);
        alice.bind(&mut world, at_bob);
        bob.delete(&mut world);
        assert_lost(alice.send(&mut world, at_bob, b"x"), NoRelay);
    }
}

#[test]
fn a_port_of_another_program_in_the_relay_range_is_never_reached() {
    for (mut world, alice, bob) in worlds() {
        let at_bob = door(&world, bob);
        bob.delete(&mut world);
        let local = SocketAddr::new(LOCAL, at_bob.0.port());
        world.occupy(local);
        for door in [at_bob, Peer(local)] {
            alice.permit(&mut world, door);
            assert_lost(alice.send(&mut world, door, b"x"), NoRelay);
        }
    }
}

/// A permission for the address of one relay does not admit every other program on that address.
#[test]
fn another_program_that_speaks_from_the_relay_range_is_not_heard() {
    for (mut world, alice, bob) in worlds() {
        let at_bob = door(&world, bob);
        alice.permit(&mut world, at_bob);
        bob.delete(&mut world);
        let local = Peer(SocketAddr::new(LOCAL, at_bob.0.port()));
        world.occupy(local.0);
        let at_alice = alice.relayed(&world);
        assert_lost(local.send(&mut world, at_alice, b"x"), NoRelay);
    }
}

/// Behind a 1:1 NAT the local address is a second name of the same thing.
#[test]
fn the_local_name_of_a_relay_leads_to_the_relay_or_nowhere() {
    for (mut world, alice, bob) in worlds() {
        let (at_alice, at_bob) = (door(&world, alice), door(&world, bob));
        let local = Peer(SocketAddr::new(LOCAL, at_bob.0.port()));
        alice.permit(&mut world, local);
        bob.permit(&mut world, at_alice);
        assert_eq!(
            alice.send(&mut world, local, b"x"),
            bob.hears(at_alice, b"x")
        );
    }
}

#[test]
fn clients_behind_a_1_1_nat_see_only_the_external_address() {
    for shard in [0, 1] {
        let mut world = World::sharded(2, behind_nat);
        let alice = world.client_on(shard, "alice");
        let peer = world.peer();
        let relayed = alice.allocate(&mut world, minutes(10));
        assert_eq!(relayed.ip(), EXTERNAL);
        alice.permit(&mut world, peer);
        alice.reaches(&mut world, peer, b"x");
        peer.reaches(&mut world, alice, b"y");
    }
}

#[test]
fn the_servers_listener_is_no_peer() {
    for (mut world, alice, _) in worlds() {
        for ip in [LOCAL, EXTERNAL] {
            let listener = Peer(SocketAddr::new(ip, 3478));
            let request = Request::channel_bind(0x4000, listener);
            assert_eq!(alice.ask(&mut world, request).code(), Some(403));
            alice.permit(&mut world, listener);
            let outcome = alice.send(&mut world, listener, b"x");
            assert_lost(outcome, PeerDenied);
        }
    }
}

#[test]
fn a_socket_that_closes_under_way_loses_the_packet_and_nothing_else() {
    let (mut world, alice, bob) = worlds().into_iter().nth(1).unwrap();
    let at_bob = door(&world, bob);
    let peer = world.peer();
    alice.permit(&mut world, peer);
    bob.delete(&mut world);
    let outcome: Outcome = peer.send(&mut world, at_bob.0, b"x");
    assert_eq!(outcome, NoSocket);
    alice.relayed(&world);
    alice.reaches(&mut world, peer, b"x");
}

#[test]
fn a_relay_that_is_still_being_opened_is_nobody_on_whatever_shard() {
    for shard in [0, 1] {
        let mut world = World::sharded(2, |config| {
            config.ports = PortRange::new(50_000, 50_001).expect("a range");
        });
        let (alice, bob) = (world.client_on(0, "alice"), world.client_on(shard, "bob"));
        let relayed = alice.allocate(&mut world, minutes(10));
        bob.nonce(&mut world);
        world.hold_sockets();
        assert_eq!(bob.tell(&mut world, Request::allocate()), Silent);
        let port = if relayed.port() == 50_000 {
            50_001
        } else {
            50_000
        };
        let opening = SocketAddr::new(relayed.ip(), port);
        alice.permit(&mut world, opening);
        let sent = alice.send(&mut world, opening, b"early");
        assert_lost(sent, NoRelay);
    }
}
