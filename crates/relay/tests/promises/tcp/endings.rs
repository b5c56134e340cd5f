//! How connections end: with their allocation, and by themselves. RFC 6062 §5.5.

use relay::policy::{Mode, Policy};
use relay::{Command, EndCause, Places, Selection};
use sim::{Client, Request, World, minutes, own_addresses};

use super::{alice, rules, world};

/// Alice with a connection that is being made, one that waits and one that is bound.
fn scene() -> (World, Client) {
    let mut world = world();
    let alice = alice(&mut world);
    let [first, second, third] = [(); 3].map(|()| world.peer());
    let connection = alice.connect(&mut world, first);
    alice.carry(&mut world, 0, connection);
    alice.connect(&mut world, second);
    world.peers_hesitate();
    alice.tell(&mut world, Request::connect(third));
    assert_eq!((world.peer_sockets(), world.dialled()), (2, 1));
    (world, alice)
}

#[test]
fn all_connections_end_with_their_allocation() {
    type End = fn(&mut World, Client);
    let ends: [(EndCause, End); 5] = [
        (EndCause::Deleted, |world, alice| alice.delete(world)),
        (EndCause::Disconnected, |world, alice| {
            alice.disconnect(world);
        }),
        (EndCause::Operator, |world, _| {
            world.command(
                0,
                Command::End(Selection::default(), EndCause::Operator, Places::ALL),
            );
        }),
        (EndCause::Shutdown, |world, _| world.shut_down()),
        // The bound connection is all that lives so long.
        (EndCause::Expired, |world, _| world.advance(minutes(10))),
    ];
    for (cause, end) in ends {
        let (mut world, alice) = scene();
        world.reports();
        end(&mut world, alice);
        assert_eq!(world.end_causes(), [cause]);
        assert_eq!((world.peer_sockets(), world.dialled()), (0, 0), "{cause:?}");
        assert!(world.is_idle(), "{cause:?}");
    }
}

#[test]
fn a_connection_that_is_made_too_late_is_closed() {
    let (mut world, alice) = scene();
    world.stall_shard(0);
    alice.disconnect(&mut world);
    // The peer answers before the shard has closed the socket.
    world.answer_connect(Ok(()));
    world.wake_shard(0);
    assert!(world.is_idle());
}

#[test]
fn peers_that_the_policy_denies_by_now_are_cut_off() {
    let (mut world, alice) = scene();
    let mut rules = rules();
    let deny = vec!["9.9.0.0/16".parse().unwrap()];
    rules.policy = Policy::new(Mode::Closed, vec![], deny, own_addresses());
    world.change_rules(rules);
    assert_eq!((world.peer_sockets(), world.dialled()), (0, 0));
    let answers = alice.inbox(&mut world);
    let codes: Vec<_> = answers.iter().map(sim::Answer::code).collect();
    assert_eq!(codes, [Some(447)], "who waits hears so");
    alice.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn an_allocation_lives_on_when_its_connections_have_ended() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let connection = alice.connect(&mut world, peer);
    let data = alice.carry(&mut world, 0, connection);
    world.end_splice(connection);
    // The client's data connection is closed, which is no control connection.
    data.disconnect(&mut world);
    assert_eq!(world.allocations(), 1);
    alice.refresh(&mut world, minutes(5));
}

#[test]
fn another_process_goes_on_with_every_connection() {
    let (mut world, alice) = scene();
    world.upgrade(minutes(0));
    assert_eq!((world.peer_sockets(), world.dialled()), (2, 1));
    world.answer_connect(Ok(())).unwrap();
    let [answer] = &alice.inbox(&mut world)[..] else {
        panic!("one answer");
    };
    let connection = answer.get().unwrap();
    alice.carry(&mut world, 0, connection);
    alice.delete(&mut world);
    assert!(world.is_idle());
}
