//! Clients that are sent to another server. RFC 8489 §10, RFC 8656 §7.2.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use relay::{
    Config, DropReason, Keys, NonceSecret, OpenError, ProcessSecret, Redirect, Sha256, Target,
    Transport, When,
};
use sim::{Answer, Client, Outcome, Request, World, minutes, password};
use wire::attributes::{
    AlternateDomain, AlternateServer, ErrorCode, Nonce, Realm as RealmAttribute, ReservationToken,
    Software,
};
use wire::{AddressFamily, Method};

use crate::nonces_of_several_servers::challenged;

pub(crate) const TO: [&str; 3] = [
    "203.0.113.9:3478",
    "203.0.113.10:3478",
    "[2001:db8::9]:3478",
];

pub(crate) fn redirect(to: &[&str], when: When) -> Redirect {
    let address = |to: &&str| Target::from(to.parse::<SocketAddr>().unwrap());
    Redirect {
        to: to.iter().map(address).collect(),
        when,
        realm: None,
        domain: None,
    }
}

pub(crate) fn world(redirects: Vec<Redirect>) -> World {
    World::with(|config| config.rules_mut().redirects = redirects)
}

pub(crate) fn alternates(answer: &Answer) -> Vec<SocketAddr> {
    let all = answer.get_all::<AlternateServer>();
    all.into_iter()
        .map(|AlternateServer(address)| address)
        .collect()
}

fn stranger() -> Request {
    Request::allocate().unsigned()
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
    let answer = alice.ask(&mut world, stranger());
    assert_eq!(answer.code(), Some(300));
    // The address of the client's family is first, one of the other is second.
    let [same, other] = alternates(&answer)[..] else {
        panic!("{answer:?}");
    };
    assert!(TO[..2].contains(&&*same.to_string()));
    assert_eq!(other.to_string(), TO[2]);
    let six = client_v6(&mut world);
    let answer = six.ask(&mut world, stranger());
    assert_eq!(alternates(&answer)[0].to_string(), TO[2]);
    assert_eq!(alternates(&answer).len(), 2);
    assert!(world.is_idle());
    assert_eq!(world.counters().redirected(), 2);
    assert_eq!(world.counters().refused(), 0);
    assert_eq!(world.counters().challenges(), 0);
}

#[test]
fn a_client_is_sent_on_before_it_has_a_nonce_to_take_along() {
    let mut world = world(vec![redirect(&TO[..1], When::Always)]);
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, stranger());
    assert!(!answer.is_signed());
    // Anyone can send such requests, so the answer has not a byte more than needed.
    assert_eq!(answer.get::<ErrorCode<'_>>().unwrap().reason, "");
    assert_eq!(answer.get::<RealmAttribute<'_>>(), None);
    assert_eq!(answer.get::<Nonce<'_>>(), None);
    assert_eq!(answer.get::<Software<'_>>(), None);
}

#[test]
fn only_an_allocate_is_sent_on_and_no_credentials_that_are_wrong() {
    let mut world = world(vec![redirect(&TO[..], When::Always)]);
    let mallory = world.client_with("alice", "guessed");
    let refresh = || Request::refresh(minutes(10));
    let requests = [
        refresh().unsigned(),
        Request::new(Method::CreatePermission).unsigned(),
        refresh(),
        Request::allocate(),
        Request::allocate().nonce("of another server"),
    ];
    for request in requests {
        let answer = mallory.ask(&mut world, request);
        assert_eq!(answer.code(), Some(401));
        assert!(alternates(&answer).is_empty());
    }
    assert!(mallory.ask(&mut world, Request::binding()).is_success());
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
    let answer = bob.ask(&mut world, stranger());
    assert_eq!(alternates(&answer), [TO[0].parse().unwrap()]);
}

#[test]
fn a_client_is_never_sent_to_a_port_of_another_transport() {
    let only = |address: &str, transport| Target {
        address: address.parse().unwrap(),
        transport: Some(transport),
    };
    let rule = |to| Redirect {
        to,
        ..redirect(&[], When::Always)
    };
    let udp = only(TO[0], Transport::Udp);
    let mut world = world(vec![rule(vec![udp])]);
    world.tcp_client("alice").allocate(&mut world, minutes(10));
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, stranger());
    assert_eq!(alternates(&answer), [TO[0].parse().unwrap()]);

    let tcp = "203.0.113.9:443";
    let both = vec![
        udp,
        only(tcp, Transport::Tcp),
        // For the other family there is one for UDP only.
        only(TO[2], Transport::Udp),
    ];
    let mut world = self::world(vec![rule(both)]);
    for _ in 0..20 {
        let (alice, bob) = (world.tcp_client("alice"), world.client("bob"));
        let answer = alice.ask(&mut world, stranger());
        assert_eq!(alternates(&answer), [tcp.parse().unwrap()]);
        let answer = bob.ask(&mut world, stranger());
        let expected = [TO[0], TO[2]].map(|to| to.parse().unwrap());
        assert_eq!(alternates(&answer), expected);
    }
}

#[test]
fn over_tls_a_client_goes_only_where_a_certificate_has_a_name_for_it() {
    let domain = "b.example.org";
    for transport in [Transport::Tls, Transport::Dtls] {
        let secure = Target {
            address: TO[0].parse().unwrap(),
            transport: Some(transport),
        };
        let rule = |to, domain: Option<&str>| Redirect {
            to,
            domain: domain.map(Into::into),
            ..redirect(&[], When::Always)
        };
        let plain = Target::from(secure.address);
        // A name alone does not say that there is TLS at a port.
        for stays in [rule(vec![secure], None), rule(vec![plain], Some(domain))] {
            let mut world = world(vec![stays]);
            let alice = world.client_over(transport, "alice");
            alice.allocate(&mut world, minutes(10));
        }
        let mut world = world(vec![rule(vec![plain, secure], Some(domain))]);
        let alice = world.client_over(transport, "alice");
        let answer = alice.ask(&mut world, stranger());
        assert_eq!(alternates(&answer), [secure.address]);
        assert_eq!(answer.get(), Some(AlternateDomain(domain)));
        // Nobody else hears the name, or is sent to that port as such.
        let bob = world.client("bob");
        let answer = bob.ask(&mut world, stranger());
        assert_eq!(alternates(&answer), [plain.address]);
        assert_eq!(answer.get::<AlternateDomain<'_>>(), None);
    }
}

#[test]
fn clients_spread_over_all_addresses() {
    let mut world = world(vec![redirect(&TO[..2], When::Always)]);
    let seen: BTreeSet<SocketAddr> = (0..40)
        .map(|_| {
            let alice = world.client("alice");
            alternates(&alice.ask(&mut world, stranger()))[0]
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
    three.hears_error(&mut world, 300, stranger());
    world.advance(minutes(10));
    three.allocate(&mut world, minutes(10));
}

#[test]
fn what_a_client_has_stays_where_it_is() {
    let mut world = world(vec![redirect(&TO[..1], When::Allocations(1))]);
    let (alice, peer) = (world.client("alice"), world.peer());
    let packet = alice.write(&mut world, &Request::allocate().lifetime(minutes(10)));
    assert!(alice.packet(&mut world, &packet).answer().is_success());
    // A retransmission gets the answer of the first request.
    assert!(alice.packet(&mut world, &packet).answer().is_success());
    assert_eq!(alice.ask(&mut world, stranger()).code(), Some(401));
    alice.bind(&mut world, peer);
    alice.refresh(&mut world, minutes(20));
    alice.delete(&mut world);
}

#[test]
fn a_reserved_port_is_to_be_had_here_only() {
    let mut world = world(vec![redirect(&TO[..1], When::Allocations(1))]);
    let (first, second) = (world.client("alice"), world.client("alice"));
    let reserved = first.ask(&mut world, Request::allocate().reserve_next());
    let token: ReservationToken = reserved.get().unwrap();
    second.hears_error(&mut world, 401, stranger().reserved(token));
    second.succeeds(&mut world, Request::allocate().reserved(token));
}

#[test]
fn what_strangers_hear_of_other_servers_is_rationed_like_all_they_hear() {
    let mut world = world(vec![redirect(&TO[..1], When::Always)]);
    let victim = world.client("alice");
    let (mut asked, mut heard) = (0, 0);
    loop {
        let packet = victim.write(&mut world, &stranger());
        match victim.packet(&mut world, &packet) {
            Outcome::Answered(answer) => heard += answer.as_bytes().len() - packet.len(),
            Outcome::Lost(DropReason::OverBudget) => break,
            other @ (Outcome::AnsweredAs(..)
            | Outcome::AtPeer { .. }
            | Outcome::AtClient { .. }
            | Outcome::IcmpAtClient { .. }
            | Outcome::Lost(_)
            | Outcome::NoSocket
            | Outcome::Silent) => panic!("{other:?}"),
        }
        asked += 1;
        assert!(asked < 5000);
    }
    assert!(heard >= 16 * 1024, "{heard}");
    assert_eq!(world.counters().redirected(), asked);
    // A 300 is shorter than a challenge.
    assert!(asked > 16 * 1024 / 20, "{asked}");
    // TCP clients have the addresses that they claim.
    let bob = world.tcp_client("bob");
    assert_eq!(bob.ask(&mut world, stranger()).code(), Some(300));
}

/// A second realm, whose users are known by their names.
fn add_realm(config: &mut Config) {
    let mut keys = Keys::new("example.net");
    for user in ["alice@example.net", "bob@example.net"] {
        keys.add_user(user, &password(user)).unwrap();
    }
    config.rules_mut().realms.add(keys.into());
    config.nonce_secret = Some(NonceSecret::shared(b"known to all nodes"));
}

fn of_realm(rule: Redirect) -> Redirect {
    Redirect {
        realm: Some("example.net".into()),
        ..rule
    }
}

#[test]
fn a_rule_for_one_realm_concerns_no_other() {
    let mut world = World::with(|config| {
        add_realm(config);
        config.rules_mut().redirects = vec![of_realm(redirect(&TO[..1], When::Allocations(1)))];
    });
    // The realm's own allocations count.
    for user in ["alice", "bob", "alice@example.net"] {
        world.client(user).allocate(&mut world, minutes(10));
    }
    let bob = world.client("bob@example.net");
    // Without a user name the server does not know yet that the client is of this realm.
    assert_eq!(bob.ask(&mut world, stranger()).code(), Some(401));
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    // The next server takes the realm that the client can sign with.
    let realm = answer.get::<RealmAttribute<'_>>().unwrap();
    assert_eq!(realm.0, sim::REALM);
    world.client("carol").allocate(&mut world, minutes(10));
}

#[test]
fn the_first_rule_that_may_concern_a_client_is_waited_for() {
    let rules = [
        of_realm(redirect(&TO[..1], When::Allocations(1))),
        redirect(&TO[1..2], When::Always),
    ];
    let mut world = World::with(|config| {
        add_realm(config);
        config.rules_mut().redirects = rules.to_vec();
    });
    let second = [TO[1].parse().unwrap()];
    let alice = world.client("alice@example.net");
    // As long as the first rule does not hold, all go to the second.
    assert_eq!(alternates(&alice.ask(&mut world, stranger())), second);

    let mut world = World::with(|config| {
        add_realm(config);
        config.rules_mut().redirects = rules.to_vec();
        config.rules_mut().redirects[0].when = When::Always;
    });
    for (user, expected) in [("alice@example.net", TO[0]), ("alice", TO[1])] {
        let client = world.client(user);
        assert_eq!(client.ask(&mut world, stranger()).code(), Some(401));
        let answer = client.ask(&mut world, Request::allocate());
        assert_eq!(alternates(&answer), [expected.parse().unwrap()]);
    }
}

#[test]
fn a_rule_for_one_realm_that_has_no_address_for_a_client_is_not_waited_for() {
    let mut world = World::with(|config| {
        add_realm(config);
        config.rules_mut().redirects = vec![
            of_realm(redirect(&TO[2..], When::Always)),
            redirect(&TO[..1], When::Always),
        ];
    });
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, stranger());
    assert_eq!(alternates(&answer), [TO[0].parse().unwrap()]);
}

#[test]
fn a_request_that_no_server_would_grant_is_refused_here() {
    let mut world = world(vec![redirect(&TO[..1], When::Always)]);
    let alice = challenged(&mut world, "alice");
    let family = AddressFamily::V6;
    let contradiction = Request::allocate().dual().family(family);
    assert_eq!(alice.ask(&mut world, contradiction).code(), Some(400));
}

/// No port is free, or no descriptor: a refusal that comes late is answered like one at once.
#[test]
fn a_client_whose_socket_cannot_be_opened_is_sent_on_in_place_of_a_508() {
    let mut world =
        World::ruled(|rules| rules.redirects = vec![redirect(&TO[..1], When::Allocations(1))]);
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    alice.nonce(&mut world);
    bob.allocate(&mut world, minutes(10));
    world.refuse_sockets(OpenError::Exhausted);
    alice.hears_error(&mut world, 300, Request::allocate());
}

#[test]
fn nodes_that_share_a_nonce_secret_take_each_others_nonces_whatever_users_they_have() {
    let node = |process, change: fn(&mut Config)| {
        World::with(|config| {
            config.secret = ProcessSecret([process; 32]);
            config.nonce_secret = Some(NonceSecret::shared(b"known to all nodes"));
            config.rules_mut().sha256 = Sha256::Offer;
            change(config);
        })
    };
    let mut first = node(1, |_| {});
    let mut second = node(2, |config| {
        config
            .rules_mut()
            .realms
            .default_keys()
            .add_secret(b"north");
    });
    let nonce = first.client("alice").nonce(&mut first);
    let alice = second.client("alice");
    let answer = alice.ask(&mut second, Request::allocate().nonce(&nonce));
    assert!(answer.is_success());
}
