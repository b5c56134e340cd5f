//! How connections with peers begin, and how clients bind them. RFC 6062 §5.2-§5.4.

use relay::keys::{Mint, mint};
use relay::policy::{Mode, Policy};
use relay::{ConnectError, ConnectionId, DropReason, Reject, Transport};
use sim::{Outcome, Request, minutes, own_addresses, seconds};
use wire::Method;
use wire::attributes::XorPeerAddress;

use super::{alice, rules, sharded, world};

#[test]
fn a_client_hears_of_a_connection_when_the_peer_has_answered() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    world.peers_hesitate();
    let asked = alice.tell(&mut world, Request::connect(peer));
    assert_eq!(asked, Outcome::Silent);
    world.answer_connect(Ok(())).unwrap();
    let [answer] = &alice.inbox(&mut world)[..] else {
        panic!("one answer");
    };
    assert!(answer.is_success() && answer.is_signed(), "{answer:?}");
    let connection: ConnectionId = answer.get().unwrap();
    alice.carry(&mut world, 0, connection);
    assert_eq!(world.counters().connected, 1);
    assert_eq!(world.counters().bound, 1);
}

#[test]
fn a_peer_that_refuses_is_447() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    for why in [
        ConnectError::Refused,
        ConnectError::Unreachable,
        ConnectError::Exhausted,
    ] {
        world.peers_answer(Err(why));
        world.reports();
        alice.hears_error(&mut world, 447, Request::connect(peer));
        assert_eq!(world.refusal(), Reject::NotConnected(why));
        assert_eq!(world.peer_sockets(), 0);
    }
    world.peers_answer(Ok(()));
    alice.connect(&mut world, peer);
}

#[test]
fn a_peer_that_does_not_answer_for_30_seconds_is_447() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    world.peers_hesitate();
    alice.tell(&mut world, Request::connect(peer));
    world.advance(seconds(29));
    assert_eq!((alice.inbox(&mut world), world.dialled()), (vec![], 1));
    world.reports();
    world.advance(seconds(1));
    let [answer] = &alice.inbox(&mut world)[..] else {
        panic!("one answer");
    };
    assert_eq!(answer.code(), Some(447));
    assert_eq!(
        world.refusal(),
        Reject::NotConnected(ConnectError::TimedOut)
    );
    assert_eq!(world.dialled(), 0);
}

#[test]
fn a_second_connection_with_a_peer_is_446_while_there_is_one() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    world.peers_hesitate();
    alice.tell(&mut world, Request::connect(peer));
    alice.hears_error(&mut world, 446, Request::connect(peer));
    world.answer_connect(Ok(())).unwrap();
    alice.hears_error(&mut world, 446, Request::connect(peer));
    let answers = alice.inbox(&mut world);
    let connection: ConnectionId = answers[0].get().unwrap();
    alice.carry(&mut world, 0, connection);
    alice.hears_error(&mut world, 446, Request::connect(peer));
    world.end_splice(connection);
    world.peers_answer(Ok(()));
    alice.connect(&mut world, peer);
}

#[test]
fn a_connect_without_a_peer_is_400_and_to_another_family_443() {
    let mut world = world();
    let alice = alice(&mut world);
    alice.hears_error(&mut world, 400, Request::new(Method::Connect));
    let unreadable = Request::new(Method::Connect).put_raw(0x0012, &[0, 1]);
    alice.hears_error(&mut world, 400, unreadable);
    let v6 = world.peer_v6();
    alice.hears_error(&mut world, 443, Request::connect(v6));
    assert_eq!(world.peer_sockets(), 0);
}

#[test]
fn a_peer_that_the_policy_denies_is_not_connected_to_on_any_way() {
    let mut world = world();
    let alice = alice(&mut world);
    let own = alice.relayed(&world);
    for peer in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "198.41.0.5:22",
        "198.41.0.5:3478",
        "9.9.9.9:0",
    ] {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        world.reports();
        alice.hears_error(&mut world, 403, Request::connect(peer));
        let refusal = world.refusal();
        assert!(
            matches!(refusal, Reject::PeerDenied { .. }),
            "{peer}: {refusal:?}"
        );
    }
    // Its own relayed address, and one that no TCP allocation has.
    for port in [own.port(), own.port() ^ 1] {
        let peer = std::net::SocketAddr::new(own.ip(), port);
        alice.hears_error(&mut world, 447, Request::connect(peer));
    }
    assert_eq!((world.peer_sockets(), world.dialled()), (0, 0));
}

#[test]
fn a_port_that_an_entry_allows_is_connected_to_and_its_neighbour_is_not() {
    let listed = vec!["10.1.2.3:5000".parse().unwrap()];
    let policy = Policy::new(Mode::Closed, listed, vec![], own_addresses());
    let mut world = sharded(1, |rules| rules.policy = policy);
    let alice = alice(&mut world);
    let peer = |port| std::net::SocketAddr::from(([10, 1, 2, 3], port));
    alice.connect(&mut world, peer(5000));
    alice.hears_error(&mut world, 403, Request::connect(peer(5001)));
}

#[test]
fn two_clients_of_one_server_meet_by_their_relayed_addresses() {
    let mut world = world();
    let (alice, bob) = (alice(&mut world), world.tcp_client("bob"));
    let there = bob.allocate_tcp(&mut world, minutes(10));
    let here = alice.relayed(&world);
    bob.permit(&mut world, here);
    alice.connect(&mut world, there);
    // The kernel brings the connection to the other socket of this machine.
    let accepted = world.peer_connects(here, there).unwrap();
    assert_eq!(bob.attempts(&mut world), [(accepted, here)]);
    bob.carry(&mut world, 0, accepted);
}

#[test]
fn a_peer_with_a_permission_is_announced_and_bound() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, peer);
    let accepted = world.peer_connects(peer, relayed).unwrap();
    assert_eq!(alice.attempts(&mut world), [(accepted, peer.into())]);
    alice.carry(&mut world, 0, accepted);
    assert_eq!(world.counters().accepted, 1);
}

#[test]
fn a_peer_that_has_connected_is_not_connected_to_as_well() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, peer);
    world.peer_connects(peer, relayed).unwrap();
    alice.hears_error(&mut world, 446, Request::connect(peer));
}

#[test]
fn a_peer_without_a_permission_is_closed_at_once_and_not_announced() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let relayed = alice.relayed(&world);
    let accepted = world.peer_connects(peer, relayed);
    assert_eq!(accepted, Err(DropReason::NoPeerPermission));
    alice.permit(&mut world, peer);
    world.advance(minutes(5));
    let accepted = world.peer_connects(peer, relayed);
    assert_eq!(accepted, Err(DropReason::NoPeerPermission));
    assert_eq!(alice.attempts(&mut world), []);
    assert_eq!(world.peer_sockets(), 0);
    assert_eq!(world.counters().dropped(DropReason::NoPeerPermission), 2);
}

#[test]
fn a_program_of_this_host_is_no_peer_even_from_a_relay_address() {
    let mut world = world();
    let alice = alice(&mut world);
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, relayed);
    let other = std::net::SocketAddr::new(relayed.ip(), relayed.port() ^ 1);
    let accepted = world.peer_connects(other, relayed);
    assert_eq!(accepted, Err(DropReason::NoRelay));
    let low = std::net::SocketAddr::new(relayed.ip(), 1024);
    let accepted = world.peer_connects(low, relayed);
    assert_eq!(accepted, Err(DropReason::PeerDenied));
}

#[test]
fn an_allocation_has_no_more_connections_than_its_limit() {
    let mut world = sharded(1, |rules| rules.limits.connections = 2);
    let alice = alice(&mut world);
    let relayed = alice.relayed(&world);
    let [first, second, third] = [(); 3].map(|()| world.peer());
    alice.permit(&mut world, second);
    alice.permit(&mut world, third);
    let connection = alice.connect(&mut world, first);
    world.peer_connects(second, relayed).unwrap();
    let accepted = world.peer_connects(third, relayed);
    assert_eq!(accepted, Err(DropReason::TooManyConnections));
    world.reports();
    alice.hears_error(&mut world, 403, Request::connect(third));
    assert_eq!(world.refusal(), Reject::TooManyConnections);
    alice.carry(&mut world, 0, connection);
    alice.hears_error(&mut world, 403, Request::connect(third));
    world.end_splice(connection);
    alice.connect(&mut world, third);
}

#[test]
fn a_connection_that_is_not_bound_for_30_seconds_is_closed() {
    let mut world = world();
    let (alice, peer, other) = (alice(&mut world), world.peer(), world.peer());
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, other);
    let active = alice.connect(&mut world, peer);
    let passive = world.peer_connects(other, relayed).unwrap();
    world.advance(seconds(29));
    assert_eq!(world.peer_sockets(), 2);
    world.advance(seconds(1));
    assert_eq!(world.peer_sockets(), 0);
    assert_eq!(world.counters().unbound, 2);
    let data = world.roam(alice, 0, Transport::Tcp);
    for connection in [active, passive] {
        let bind = Request::connection_bind(connection);
        data.hears_error(&mut world, 400, bind);
    }
    alice.connect(&mut world, peer);
}

#[test]
fn one_that_is_bound_outlives_them() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let connection = alice.connect(&mut world, peer);
    let data = alice.carry(&mut world, 0, connection);
    world.advance(minutes(9));
    assert_eq!(world.carried_by(data), Some(connection));
}

#[test]
fn only_the_user_of_the_allocation_binds_its_connections() {
    let mut world = world();
    let (alice, bob, peer) = (alice(&mut world), world.tcp_client("bob"), world.peer());
    let connection = alice.connect(&mut world, peer);
    world.reports();
    let bind = || Request::connection_bind(connection);
    bob.hears_error(&mut world, 441, bind());
    assert_eq!(world.refusal(), Reject::WrongUser);
    let wrong = bind().as_user("alice", "wrong");
    bob.hears_error(&mut world, 401, wrong);
    bob.hears_error(&mut world, 401, bind().unsigned());
    assert_eq!(world.carried_by(bob), None);
    // Nobody has bound it by trying.
    alice.carry(&mut world, 0, connection);
}

#[test]
fn a_connection_is_bound_once_and_by_an_id_that_was_given() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let connection = alice.connect(&mut world, peer);
    let data = world.roam(alice, 0, Transport::Tcp);
    let other = ConnectionId(connection.0 ^ 1);
    data.hears_error(&mut world, 400, Request::connection_bind(other));
    data.hears_error(&mut world, 400, Request::new(Method::ConnectionBind));
    alice.carry(&mut world, 0, connection);
    world.reports();
    data.hears_error(&mut world, 400, Request::connection_bind(connection));
    assert_eq!(world.refusal(), Reject::NoConnection);
}

#[test]
fn a_connection_that_is_being_made_cannot_be_bound_yet() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    world.peers_hesitate();
    alice.tell(&mut world, Request::connect(peer));
    let data = world.roam(alice, 0, Transport::Tcp);
    // Nobody knows the id: it is tried as one who guesses would.
    for guess in 0..100 {
        let bind = Request::connection_bind(ConnectionId(guess));
        data.hears_error(&mut world, 400, bind);
    }
}

#[test]
fn a_connection_is_bound_over_tcp_or_tls_and_not_on_one_with_an_allocation() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    let connection = alice.connect(&mut world, peer);
    let bind = || Request::connection_bind(connection);
    for transport in [Transport::Udp, Transport::Dtls] {
        let data = world.roam(alice, 0, transport);
        data.hears_error(&mut world, 400, bind());
    }
    alice.hears_error(&mut world, 437, bind());
    let data = world.roam(alice, 0, Transport::Tls);
    data.succeeds(&mut world, bind());
    assert_eq!(world.carried_by(data), Some(connection));
}

#[test]
fn credentials_that_have_expired_bind_what_their_allocation_has() {
    let mut world = sharded(1, |rules| {
        rules.realms.default_keys().add_secret(b"north");
    });
    let now = world.now().unix.as_secs();
    let credential = mint(Mint::Sha1, b"north", Some("carol"), now + 60);
    let tuple = relay::ClientTuple {
        transport: Transport::Tcp,
        client: "100.1.1.1:7".parse().unwrap(),
        server: sim::LISTENER,
    };
    let carol = world.client_at(0, tuple, &credential.username, &credential.password);
    carol.allocate_tcp(&mut world, minutes(10));
    world.advance(minutes(2));
    let peer = world.peer();
    let connection = carol.connect(&mut world, peer);
    carol.carry(&mut world, 0, connection);
}

#[test]
fn what_is_announced_has_id_and_peer() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    alice.permit(&mut world, peer);
    let relayed = alice.relayed(&world);
    let accepted = world.peer_connects(peer, relayed).unwrap();
    let attempts = alice.attempts(&mut world);
    assert_eq!(attempts, [(accepted, XorPeerAddress(peer.into()).0)]);
}

#[test]
fn where_tcp_is_switched_off_meanwhile_nothing_new_is_connected_to() {
    let mut world = world();
    let (alice, peer, other) = (alice(&mut world), world.peer(), world.peer());
    let connection = alice.connect(&mut world, peer);
    let mut rules = rules();
    rules.tcp = false;
    world.change_rules(rules);
    alice.hears_error(&mut world, 403, Request::connect(other));
    alice.carry(&mut world, 0, connection);
}
