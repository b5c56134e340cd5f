//! Data connections in another shard than their allocation.

use relay::{ConnectionId, Transport};
use sim::{Client, Peer, Request, World, minutes, seconds};

use super::{alice, sharded};

/// Two shards, and Alice with an allocation in the first.
fn scene() -> (World, Client) {
    let mut world = sharded(2, |_| {});
    let alice = alice(&mut world);
    (world, alice)
}

/// A data connection that has heard success in the second shard, while the letter by which that
/// claims the peer's socket is on its way.
struct Claim {
    world: World,
    alice: Client,
    peer: Peer,
    connection: ConnectionId,
    data: Client,
}

fn claim() -> Claim {
    let (mut world, alice) = scene();
    let peer = world.peer();
    let connection = alice.connect(&mut world, peer);
    let data = world.roam(alice, 1, Transport::Tcp);
    data.nonce(&mut world);
    world.hold_mail();
    data.succeeds(&mut world, Request::connection_bind(connection));
    Claim {
        world,
        alice,
        peer,
        connection,
        data,
    }
}

#[test]
fn a_connection_is_bound_in_whatever_shard_the_client_comes_to() {
    let (mut world, alice) = scene();
    let (active, passive) = (world.peer(), world.peer());
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, passive);
    let connection = alice.connect(&mut world, active);
    let accepted = world.peer_connects(passive, relayed).unwrap();
    alice.carry(&mut world, 1, connection);
    alice.carry(&mut world, 1, accepted);
    assert_eq!(world.peer_sockets(), 2);
    world.advance(minutes(5));
    world.end_splice(connection);
    assert_eq!(world.peer_sockets(), 1);
    // It may be made anew.
    alice.connect(&mut world, active);
    alice.disconnect(&mut world);
    assert!(world.is_idle());
}

#[test]
fn others_cannot_bind_it_from_another_shard_either() {
    let (mut world, alice) = scene();
    let peer = world.peer();
    let connection = alice.connect(&mut world, peer);
    let bob = world.tcp_client("bob");
    let bob = world.roam(bob, 1, Transport::Tcp);
    let bind = || Request::connection_bind(connection);
    bob.hears_error(&mut world, 441, bind());
    let one = alice.carry(&mut world, 1, connection);
    let again = world.roam(alice, 0, Transport::Tcp);
    again.hears_error(&mut world, 400, bind());
    assert_eq!(world.carried_by(one), Some(connection));
}

#[test]
fn an_allocation_that_ends_meanwhile_ends_the_connection_there() {
    for letters in 0..3 {
        let Claim {
            mut world,
            alice,
            data,
            ..
        } = claim();
        for _ in 0..letters {
            world.deliver_one();
        }
        alice.disconnect(&mut world);
        world.release_mail();
        assert_eq!(world.carried_by(data), None, "{letters}");
        assert!(world.is_idle(), "{letters}");
    }
}

#[test]
fn a_client_that_is_gone_before_the_socket_has_come_leaves_nothing_behind() {
    for letters in 0..3 {
        let Claim {
            mut world,
            alice,
            peer,
            connection,
            ..
        } = claim();
        for _ in 0..letters {
            world.deliver_one();
        }
        world.end_splice(connection);
        world.release_mail();
        assert_eq!(world.peer_sockets(), 0, "{letters}");
        alice.connect(&mut world, peer);
    }
}

#[test]
fn a_shard_that_stops_takes_its_connections_along() {
    let Claim {
        mut world,
        alice,
        peer,
        data,
        ..
    } = claim();
    world.lose_mail_to(0);
    assert_eq!(world.carried_by(data), None);
    world.release_mail();
    world.advance(seconds(30));
    alice.connect(&mut world, peer);
}
