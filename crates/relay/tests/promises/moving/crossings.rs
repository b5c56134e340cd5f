//! Data from a client of a third shard, beside the kernel, to one that moves between two others.

use super::*;

/// A scene, and a client in shard 2 that alice and it may reach each other.
fn beside_bob() -> (Scene, Client, [Peer; 2]) {
    let mut scene = Scene::new();
    let bob = scene.world.client_on(2, "bob");
    bob.allocate(&mut scene.world, minutes(60));
    let doors = [scene.home, bob].map(|client| Peer(client.relayed(&scene.world)));
    scene.home.permit(&mut scene.world, doors[1]);
    bob.permit(&mut scene.world, doors[0]);
    (scene, bob, doors)
}

/// Alice settles at shard 1, and her allocation is under way until mail is released.
fn departs(scene: &mut Scene) {
    scene.show();
    scene.world.hold_mail();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    scene.world.deliver_one();
    assert!(scene.world.is_between_shards());
}

#[test]
fn what_crosses_to_a_client_that_moves_meanwhile_follows_it() {
    let (mut scene, bob, [at_alice, at_bob]) = beside_bob();
    scene.world.hold_crossings();
    let sent = bob.send(&mut scene.world, at_alice, b"before");
    assert_eq!(sent, Outcome::Silent);
    scene.show();
    scene.away.send(&mut scene.world, scene.peer, b"settled");
    assert_eq!(scene.world.server(1).allocations(), 1);
    let heard = scene.world.release_crossings();
    assert_eq!(heard, [scene.away.hears(at_bob, b"before")]);
    // From now on it goes there at once.
    let heard = bob.send(&mut scene.world, at_alice, b"after");
    assert_eq!(heard, scene.away.hears(at_bob, b"after"));
}

#[test]
fn what_is_sent_to_a_client_between_two_shards_waits_in_its_socket() {
    let (mut scene, bob, [at_alice, at_bob]) = beside_bob();
    departs(&mut scene);
    let sent = bob.send(&mut scene.world, at_alice, b"meanwhile");
    assert_eq!(sent, Outcome::Silent);
    scene.world.late();
    scene.world.release_mail();
    let heard = scene.away.hears(at_bob, b"meanwhile");
    assert!(scene.world.late().contains(&heard));
}

#[test]
fn what_crosses_and_finds_its_receiver_under_way_or_gone_is_lost() {
    let (mut scene, bob, [at_alice, _]) = beside_bob();
    scene.world.hold_crossings();
    bob.send(&mut scene.world, at_alice, b"x");
    departs(&mut scene);
    let gone = [Outcome::Lost(DropReason::RelayGone)];
    assert_eq!(scene.world.release_crossings(), gone);
    scene.world.release_mail();

    scene.world.hold_crossings();
    bob.send(&mut scene.world, at_alice, b"x");
    scene.world.restart_shard(1);
    assert_eq!(scene.world.release_crossings(), gone);
    let sent = bob.send(&mut scene.world, at_alice, b"x");
    assert_eq!(sent, Outcome::Lost(DropReason::NoRelay));
}
