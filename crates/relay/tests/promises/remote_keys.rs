//! Keys from a store outside the process: requests wait for them, and nothing else does.

use relay::{Allowance, ClientTuple, Config, DropReason, Keys, Reject, Transport};
use sim::Outcome::{Lost, Silent};
use sim::{Answer, Choices, Client, Outcome, REALM, Request, World, minutes, password, seconds};
use wire::attributes::{MobilityTicket, Nonce};
use wire::{Message, Method};

fn remote(config: &mut Config) {
    config.rules_mut().realms = Keys::remote(REALM).into();
}

/// The same where strangers are answered without a budget.
fn unrationed(config: &mut Config) {
    remote(config);
    config.rules_mut().unauthenticated = Allowance {
        per_prefix: None,
        total: None,
    };
}

/// A world whose users are in a store that answers when it is told to.
fn world() -> World {
    let mut world = World::with(remote);
    world.hold_keys();
    world
}

/// The method and the code of each answer that has come late.
fn late(world: &mut World, client: Client) -> Vec<(Method, Option<u16>)> {
    let of = |answer: Answer| (answer.message().method(), answer.code());
    client.inbox(world).into_iter().map(of).collect()
}

/// An Allocate in an invented name, from this address; the nonce is one for that address.
fn invent(world: &mut World, from: [u8; 4], port: u16) -> Outcome {
    let client = client_of(world, from, port, &format!("{from:?} {port}"));
    client.tell(world, Request::allocate())
}

fn client_of(world: &mut World, from: [u8; 4], port: u16, user: &str) -> Client {
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: (from, port).into(),
        server: sim::LISTENER,
    };
    world.client_at(0, tuple, user, "guessed")
}

#[test]
fn a_request_whose_key_is_being_fetched_is_answered_when_it_comes() {
    let mut world = world();
    let (alice, peer) = (world.client("alice"), world.peer());
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    assert!(!world.is_idle());
    world.advance(seconds(4));
    assert_eq!(late(&mut world, alice), []);
    world.answer_keys();
    assert_eq!(late(&mut world, alice), [(Method::Allocate, None)]);
    // From now on all is as with any other key.
    alice.permit(&mut world, peer);
    alice.bind(&mut world, peer);
    alice.refresh(&mut world, minutes(10));
    alice.delete(&mut world);
    assert_eq!(world.asked_for(), ["alice"]);
    assert!(world.is_idle());
}

#[test]
fn packets_of_a_client_that_waits_keep_their_order() {
    let mut world = world();
    let alice = world.client("alice");
    let requests = [
        Request::allocate(),
        Request::allocate(),
        Request::refresh(minutes(10)),
        Request::allocate().unsigned(),
    ];
    let sent = requests.map(|request| alice.write(&mut world, &request));
    for packet in &sent {
        assert_eq!(alice.packet(&mut world, packet), Silent);
    }
    // A Binding needs no credentials, and waits for none.
    assert!(alice.ask(&mut world, Request::binding()).is_success());
    world.answer_keys();
    let heard = alice.inbox(&mut world);
    let heard = heard
        .iter()
        .map(|it| (it.message().transaction(), it.code()));
    let of = |index: usize| Message::parse(&sent[index]).unwrap().transaction();
    // The first Allocate is answered when its socket is open, after all that came behind it.
    let expected = [
        (of(1), Some(437)),
        (of(2), Some(437)),
        (of(3), Some(401)),
        (of(0), None),
    ];
    assert_eq!(heard.collect::<Vec<_>>(), expected);
}

#[test]
fn a_key_that_never_comes_ends_the_wait_at_its_deadline() {
    let mut world = world();
    let alice = world.client("alice");
    let request = alice.write(&mut world, &Request::allocate());
    assert_eq!(alice.packet(&mut world, &request), Silent);
    let unsigned = Request::allocate().unsigned();
    assert_eq!(alice.tell(&mut world, unsigned), Silent);
    world.lose_keys();
    world.advance(seconds(4));
    assert_eq!(late(&mut world, alice), []);
    world.advance(seconds(1));
    // The request is lost without an answer, and what was behind it is not.
    assert_eq!(late(&mut world, alice), [(Method::Allocate, Some(401))]);
    assert_eq!(world.counters().dropped(DropReason::KeyUnavailable), 1);
    assert!(world.is_idle());
    // The store is left alone for a second, and then asked again.
    let lost = Lost(DropReason::KeyUnavailable);
    assert_eq!(alice.packet(&mut world, &request), lost);
    world.advance(seconds(1));
    world.answer_keys();
    assert!(alice.packet(&mut world, &request).answer().is_success());
    assert_eq!(world.asked_for(), ["alice", "alice"]);
}

#[test]
fn a_store_that_fails_is_silence_and_one_that_knows_nobody_a_401() {
    let mut world = World::with(remote);
    world.fail_keys();
    let alice = world.client("alice");
    // The verdict is on a request that was parked; the drop is the parked one's.
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    assert_eq!(world.counters().dropped(DropReason::KeyUnavailable), 1);
    world.answer_keys();
    let (mallory, eve) = (world.client("mallory"), world.client_with("bob", "guessed"));
    for (client, reject) in [
        (mallory, Reject::UnknownUser),
        (eve, Reject::BadIntegrity),
        (mallory, Reject::UnknownUser),
    ] {
        world.reports();
        let answer = client.ask(&mut world, Request::allocate());
        assert_eq!((answer.code(), answer.is_signed()), (Some(401), false));
        assert!(answer.get::<Nonce<'_>>().is_some());
        assert_eq!(world.refusal(), reject);
    }
    assert_eq!(world.asked_for(), ["alice", "mallory", "bob"]);
}

#[test]
fn answers_of_the_store_hold_for_a_time_and_until_the_rules_change() {
    let mut world = World::with(remote);
    let tries = |world: &mut World, user: &str| {
        let client = world.client(user);
        let answer = client.ask(world, Request::allocate());
        assert_eq!(answer.is_success(), user == "alice");
        world.asked_for().len()
    };
    for (user, lifetime) in [("alice", 60), ("mallory", 10)] {
        assert_eq!(tries(&mut world, user), 1);
        world.advance(seconds(lifetime - 1));
        assert_eq!(tries(&mut world, user), 0);
        world.advance(seconds(1));
        assert_eq!(tries(&mut world, user), 1);
    }
    let mut rules = relay::Rules::new(Keys::remote(REALM), sim::policy());
    rules.sha256 = relay::Sha256::Off;
    world.change_rules(rules);
    assert_eq!(tries(&mut world, "alice"), 1);
}

#[test]
fn a_name_that_no_user_can_have_is_not_asked_for() {
    let mut world = World::with(remote);
    for name in ["", "a\tb", "Zoe\u{308}"] {
        let client = world.client(name);
        let answer = client.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), Some(401), "{name:?}");
    }
    assert_eq!(world.asked_for(), [""; 0]);
}

#[test]
fn a_stale_nonce_is_told_at_once_and_has_no_key_fetched() {
    let mut world = world();
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().nonce("made up"));
    assert_eq!(answer.code(), Some(438));
    alice.nonce(&mut world);
    world.advance(minutes(10));
    let answer = alice.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(438));
    assert!(world.asked_for().is_empty() && world.is_idle());
}

#[test]
fn a_thousand_invented_names_cost_bounded_memory_and_fetches() {
    let mut world = World::with(unrationed);
    world.hold_keys();
    let full = Lost(DropReason::KeyQueueFull);
    let parked = |world: &mut World, from: fn(u16) -> [u8; 4], port: u16| {
        let outcomes = (0..1_000).map(|number| invent(world, from(number), port + number));
        let parked = outcomes.filter(|outcome| {
            assert!([&Silent, &full].contains(&outcome), "{outcome:?}");
            *outcome == Silent
        });
        let parked = parked.count();
        assert_eq!(world.asked_for().len(), parked);
        parked
    };
    // A thousand ports of one network: somebody elsewhere is not concerned.
    assert_eq!(parked(&mut world, |_| [192, 0, 2, 1], 1), 64);
    let alice = world.client("alice");
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    assert_eq!(world.asked_for(), ["alice"]);
    // A thousand networks.
    let networks = |number: u16| [11, number.to_be_bytes()[0], number.to_be_bytes()[1], 1];
    assert_eq!(parked(&mut world, networks, 1), 512 - 65);
    world.advance(seconds(1));
    assert_eq!(parked(&mut world, networks, 2_000), 512);
    world.answer_keys();
    assert_eq!(late(&mut world, alice), [(Method::Allocate, None)]);
}

/// Over TCP a request that finds no room is never sent again.
#[test]
fn many_who_wait_behind_one_address_for_one_name_leave_room_for_others() {
    let mut world = World::with(unrationed);
    world.hold_keys();
    let crowd: Vec<Client> = (1..=4_096)
        .map(|port| client_of(&mut world, [192, 0, 2, 1], port, "mallory"))
        .collect();
    let mut waits = |client: &&Client| client.tell(&mut world, Request::allocate()) == Silent;
    assert_eq!(crowd.iter().filter(|it| waits(it)).count(), 1_024);
    assert_eq!(world.asked_for(), ["mallory"]);
    let alice = world.tcp_client("alice");
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
}

#[test]
fn a_client_that_waits_has_few_packets_kept() {
    let mut world = world();
    let alice = world.client("alice");
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    for number in 0..20 {
        let outcome = alice.tell(&mut world, Request::refresh(minutes(10)));
        let full = Lost(DropReason::KeyQueueFull);
        assert_eq!(outcome, if number < 7 { Silent } else { full });
    }
    let bob = world.client("bob");
    let long = Request::allocate().put_raw(0xC000, &[0; 9_000]);
    assert_eq!(bob.tell(&mut world, long), Lost(DropReason::KeyQueueFull));
}

#[test]
fn clients_whose_keys_are_known_do_not_wait_for_one_that_is_fetched() {
    let mut world = World::with(remote);
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    world.hold_keys();
    let bob = world.client("bob");
    assert_eq!(bob.tell(&mut world, Request::allocate()), Silent);
    assert_eq!(
        alice.send(&mut world, peer, b"x"),
        peer.hears(relayed, b"x")
    );
    assert_eq!(
        peer.send(&mut world, relayed, b"y"),
        alice.hears_on(channel, peer, b"y")
    );
    alice.refresh(&mut world, minutes(10));
    let another = world.client("alice");
    another.allocate(&mut world, minutes(10));
}

#[test]
fn a_retransmission_does_not_wait_twice() {
    let mut world = world();
    let alice = world.client("alice");
    let request = alice.write(&mut world, &Request::allocate());
    assert_eq!(alice.packet(&mut world, &request), Silent);
    for _ in 0..3 {
        world.advance(seconds(1));
        let again = Lost(DropReason::KeyAwaited);
        assert_eq!(alice.packet(&mut world, &request), again);
    }
    world.answer_keys();
    assert_eq!(late(&mut world, alice), [(Method::Allocate, None)]);
    assert_eq!(world.asked_for(), ["alice"]);
}

#[test]
fn one_fetch_serves_all_who_wait_for_it() {
    let mut world = world();
    let clients = [(); 3].map(|()| world.client("alice"));
    for client in clients {
        assert_eq!(client.tell(&mut world, Request::allocate()), Silent);
    }
    assert_eq!(world.asked_for(), ["alice"]);
    world.answer_keys();
    for client in clients {
        assert_eq!(late(&mut world, client), [(Method::Allocate, None)]);
    }
}

#[test]
fn an_answer_after_its_deadline_serves_the_request_that_comes_again() {
    let mut world = world();
    let alice = world.client("alice");
    let request = alice.write(&mut world, &Request::allocate());
    assert_eq!(alice.packet(&mut world, &request), Silent);
    world.advance(seconds(6));
    world.answer_keys();
    assert!(alice.packet(&mut world, &request).answer().is_success());
    assert_eq!(world.asked_for(), ["alice"]);
}

/// Somebody who shares an address with a client can send in its name, with a nonce of their own.
#[test]
fn a_request_in_the_name_of_a_client_with_an_allocation_holds_nothing_up() {
    let mut world = World::with(remote);
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    world.hold_keys();
    let forged = Request::refresh(minutes(1)).as_user("bob", &password("bob"));
    let forged = alice.write(&mut world, &forged);
    let awaited = Lost(DropReason::KeyAwaited);
    assert_eq!(alice.packet(&mut world, &forged), awaited);
    assert_eq!(
        alice.send(&mut world, peer, b"x"),
        peer.hears(relayed, b"x")
    );
    alice.refresh(&mut world, minutes(10));
    world.answer_keys();
    assert_eq!(alice.packet(&mut world, &forged).answer().code(), Some(441));
}

#[test]
fn a_connection_that_ends_takes_its_waiting_request_along() {
    let mut world = world();
    let alice = world.tcp_client("alice");
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    alice.disconnect(&mut world);
    // The next client on the same 5-tuple waits for itself.
    let bob = Request::allocate().as_user("bob", &password("bob"));
    assert_eq!(alice.tell(&mut world, bob), Silent);
    assert!(world.answer_one_key());
    assert_eq!(late(&mut world, alice), []);
    world.answer_keys();
    assert_eq!(late(&mut world, alice), [(Method::Allocate, None)]);
    assert_eq!(alice.tuple(&world).transport, Transport::Tcp);
}

#[test]
fn a_server_that_stops_waits_for_no_key() {
    let mut world = world();
    let alice = world.client("alice");
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    world.shut_down();
    assert!(world.is_idle());
    world.answer_keys();
    assert_eq!(late(&mut world, alice), []);
}

#[test]
fn an_allocation_whose_user_is_remote_moves_to_another_shard_without_a_fetch() {
    let mut world = World::sharded(2, remote);
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().ticket(b""));
    let ticket = crate::mobility::ticket(&answer);
    assert_eq!(world.asked_for(), ["alice"]);
    world.hold_keys();
    let roamed = world.roam(alice, 1, Transport::Udp);
    let refresh = Request::refresh(minutes(10)).ticket(&ticket);
    assert!(roamed.ask(&mut world, refresh).is_success());
    assert_eq!(world.asked_for(), [""; 0]);
}

#[test]
fn a_request_that_another_shard_passed_does_not_wait_there() {
    let mut world = World::sharded(2, remote);
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().ticket(b""));
    let ticket = crate::mobility::ticket(&answer);
    let bob = world.client_on(1, "bob");
    let stolen = Request::refresh(minutes(10)).ticket(&ticket);
    let stolen = bob.write(&mut world, &stolen);
    assert_eq!(bob.packet(&mut world, &stolen), Silent);
    assert_eq!(world.counters().dropped(DropReason::KeyAwaited), 1);
    assert_eq!(bob.packet(&mut world, &stolen).answer().code(), Some(441));
    assert_eq!(world.asked_for(), ["alice", "bob", "bob"]);
}

/// The world checks its books after every step.
#[test]
fn whatever_the_store_does_and_whenever_nothing_is_left_behind() {
    for seed in 0..100 {
        let mut choices = Choices::seeded(seed);
        let mut world = World::sharded(2, remote);
        let mut clients = vec![world.tcp_client("carol")];
        for user in ["alice", "bob", "mallory"] {
            clients.extend([0, 1].map(|shard| world.client_on(shard, user)));
        }
        for client in &clients {
            client.nonce(&mut world);
        }
        let peer = world.peer();
        let mut ticket = Vec::new();
        for _ in 0..100 {
            let client = clients[choices.below(clients.len())];
            let mut tell = |request| drop(client.tell(&mut world, request));
            match choices.below(16) {
                0..=3 => tell(Request::allocate().ticket(b"")),
                4 => tell(Request::allocate().as_user("bob", &password("bob"))),
                5 => tell(Request::refresh(minutes(10)).ticket(&ticket)),
                6 => tell(Request::refresh(minutes(choices.below(2) as u64 * 10))),
                7 => tell(Request::create_permission([peer])),
                8 => tell(Request::send(peer, b"x")),
                9 => {
                    let roamed = world.roam(client, choices.below(2), Transport::Udp);
                    roamed.nonce(&mut world);
                    clients.push(roamed);
                }
                10 => client.disconnect(&mut world),
                11 => world.hold_keys(),
                12 => world.fail_keys(),
                13 => drop(world.answer_one_key()),
                14 => world.lose_keys(),
                _ => world.answer_keys(),
            }
            let heard = client.inbox(&mut world);
            let mut tickets = heard.iter().filter_map(|it| it.get::<MobilityTicket<'_>>());
            ticket = tickets.next_back().map_or(ticket, |it| it.0.to_vec());
            world.advance(seconds(choices.below(3) as u64));
        }
        world.answer_keys();
        world.advance(seconds(3_601));
        assert!(world.is_idle(), "seed {seed}");
    }
}
