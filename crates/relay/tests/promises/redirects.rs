//! Clients that are sent to another server. RFC 8489 §10, RFC 8656 §7.2.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use relay::{Keys, Realm, Redirect, When};
use sim::{Answer, Client, Request, World, minutes, password};
use wire::attributes::AlternateServer;

const TO: [&str; 3] = [
    "203.0.113.9:3478",
    "203.0.113.10:3478",
    "[2001:db8::9]:3478",
];

fn redirect(to: &[&str], when: When) -> Redirect {
    Redirect {
        to: to.iter().map(|to| to.parse().unwrap()).collect(),
        when,
        realm: None,
    }
}

fn world(redirects: Vec<Redirect>) -> World {
    World::with(|config| config.redirects = redirects)
}

fn alternates(answer: &Answer) -> Vec<SocketAddr> {
    let all = answer.get_all::<AlternateServer>();
    all.into_iter()
        .map(|AlternateServer(address)| address)
        .collect()
}

/// A client that comes over IPv6.
fn client_v6(world: &mut World) -> Client {
    let tuple = relay::ClientTuple {
        client: "[2001:db8::77]:50000".parse().unwrap(),
        server: "[2620:fe::5]:3478".parse().unwrap(),
        ..world.client("nobody").tuple(world)
    };
    world.client_at(0, tuple, "alice", &password("alice"))
}

#[test]
fn an_allocate_is_answered_with_another_server_of_the_clients_family() {
    let mut world = world(vec![redirect(&TO[..], When::Always)]);
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    assert!(answer.is_signed());
    // One of the client's family first, one of the other behind it.
    let [same, other] = alternates(&answer)[..] else {
        panic!("{answer:?}");
    };
    assert!(TO[..2].contains(&&*same.to_string()));
    assert_eq!(other.to_string(), TO[2]);
    let six = client_v6(&mut world);
    let answer = six.ask(&mut world, Request::allocate());
    assert_eq!(alternates(&answer)[0].to_string(), TO[2]);
    assert_eq!(alternates(&answer).len(), 2);
    assert!(world.is_idle());
    assert_eq!(world.counters().redirected, 2);
    assert_eq!(world.counters().refused, 0);
}

#[test]
fn who_has_not_authenticated_is_not_redirected() {
    let mut world = world(vec![redirect(&TO[..], When::Always)]);
    let mallory = world.client_with("alice", "guessed");
    for request in [Request::allocate().unsigned(), Request::allocate()] {
        let answer = mallory.ask(&mut world, request);
        assert_eq!(answer.code(), Some(401));
        assert!(alternates(&answer).is_empty());
    }
    let answer = mallory.ask(&mut world, Request::binding());
    assert!(answer.is_success());
}

#[test]
fn a_client_of_a_family_that_no_address_has_stays() {
    let mut world = world(vec![
        redirect(&TO[2..], When::Always),
        redirect(&TO[..1], When::Allocations(1)),
    ]);
    // The first rule has nothing for IPv4, the second does not hold yet.
    world.client("alice").allocate(&mut world, minutes(10));
    let bob = world.client("bob");
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(alternates(&answer), [TO[0].parse().unwrap()]);
}

#[test]
fn clients_spread_over_all_addresses() {
    let mut world = world(vec![redirect(&TO[..2], When::Always)]);
    let seen: BTreeSet<SocketAddr> = (0..40)
        .map(|_| {
            let alice = world.client("alice");
            alternates(&alice.ask(&mut world, Request::allocate()))[0]
        })
        .collect();
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_full_server_sends_clients_on_until_there_is_room() {
    let mut world = world(vec![redirect(&TO[..1], When::Allocations(2))]);
    let [one, two, three] = ["alice", "bob", "carol"].map(|user| world.client(user));
    one.allocate(&mut world, minutes(10));
    two.allocate(&mut world, minutes(20));
    let answer = three.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    world.advance(minutes(10));
    three.allocate(&mut world, minutes(10));
}

#[test]
fn what_a_client_has_stays_where_it_is() {
    let mut world = world(vec![redirect(&TO[..1], When::Allocations(1))]);
    let (alice, peer) = (world.client("alice"), world.peer());
    let packet = alice.write(&mut world, &Request::allocate().lifetime(minutes(10)));
    assert!(alice.packet(&mut world, &packet).answer().is_success());
    // A retransmission hears what the first heard.
    assert!(alice.packet(&mut world, &packet).answer().is_success());
    alice.bind(&mut world, peer);
    alice.refresh(&mut world, minutes(20));
    alice.delete(&mut world);
}

#[test]
fn a_reserved_port_is_to_be_had_here_only() {
    let mut world = world(vec![redirect(&TO[..1], When::Allocations(1))]);
    let (first, second) = (world.client("alice"), world.client("alice"));
    let reserved = first.ask(&mut world, Request::allocate().reserve_next());
    let request = Request::allocate().reserved(reserved.get().unwrap());
    assert!(second.ask(&mut world, request).is_success());
}

#[test]
fn a_rule_for_one_realm_concerns_no_other() {
    let mut world = World::with(|config| {
        let mut keys = Keys::new("example.net");
        for user in ["alice@example.net", "bob@example.net"] {
            keys.add_user(user, &password(user)).unwrap();
        }
        config.realms.add(Realm {
            keys,
            listeners: vec![],
            total: None,
            per_user: None,
        });
        config.redirects = vec![Redirect {
            realm: Some("example.net".into()),
            ..redirect(&TO[..1], When::Allocations(1))
        }];
    });
    // The realm's own allocations count.
    for user in ["alice", "bob", "alice@example.net"] {
        world.client(user).allocate(&mut world, minutes(10));
    }
    let bob = world.client("bob@example.net");
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    world.client("carol").allocate(&mut world, minutes(10));
}
