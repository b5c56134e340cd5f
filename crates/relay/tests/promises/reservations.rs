//! EVEN-PORT with its R bit, and RESERVATION-TOKEN. RFC 8656 §7.2.

use std::net::SocketAddr;

use relay::keys::{Mint, mint};
use relay::{AddressFamily, OpenError, PortRange};
use sim::Outcome::Silent;
use sim::{Answer, Client, LOCAL, LOCAL_V6, Request, World, minutes, password, seconds};
use wire::attributes::{EvenPort, ReservationToken};
use wire::{Attribute, TransactionId};

use crate::allocate::relayed;
use crate::rules::code;

fn with_ports(count: u16) -> impl Fn(&mut relay::Config) {
    move |config| {
        config.ports = PortRange::new(50_000, 50_000 + count - 1).unwrap();
        config.rules_mut().limits.per_user = Some(u32::MAX);
    }
}

/// An even port, and the token for the next.
#[track_caller]
fn reserve(world: &mut World, client: Client) -> (SocketAddr, ReservationToken) {
    let answer = client.ask(world, Request::allocate().reserve_next());
    (relayed(&answer), answer.get().unwrap())
}

fn redeem(world: &mut World, client: Client, token: ReservationToken) -> Answer {
    client.ask(world, Request::allocate().reserved(token))
}

#[test]
fn who_has_the_token_gets_the_next_port_on_whatever_shard() {
    let mut world = World::sharded(2, |_| {});
    for shard in [0, 1] {
        let rtp = world.client_on(0, "alice");
        let rtcp = world.client_on(shard, "alice");
        let (even, token) = reserve(&mut world, rtp);
        assert_eq!(even.port() % 2, 0);
        let answer = redeem(&mut world, rtcp, token);
        let next = SocketAddr::new(even.ip(), even.port() + 1);
        assert_eq!(relayed(&answer), next);
        assert_eq!(answer.get::<ReservationToken>(), None);
        // It is an allocation like any other.
        let peer = world.peer();
        rtcp.permit(&mut world, peer);
        assert_eq!(rtcp.send(&mut world, peer, b"hi"), peer.hears(next, b"hi"));
    }
    assert_eq!(world.reservations(), 0);
}

#[test]
fn a_port_of_either_family_is_reserved() {
    let mut world = World::new();
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let asked = Request::allocate().family(AddressFamily::V6).reserve_next();
    let first = rtp.ask(&mut world, asked);
    let second = redeem(&mut world, rtcp, first.get().unwrap());
    let next = SocketAddr::new(LOCAL_V6, relayed(&first).port() + 1);
    assert_eq!(relayed(&second), next);
}

#[test]
fn a_reserved_port_is_kept_for_30_seconds_to_the_second_and_then_free() {
    let mut world = World::sharded(2, with_ports(2));
    let (rtp, rtcp) = (world.client_on(0, "alice"), world.client_on(1, "alice"));
    let bob = world.client_on(1, "bob");
    let (_, token) = reserve(&mut world, rtp);
    world.advance(seconds(29));
    assert_eq!(code(&mut world, bob, Request::allocate()), Some(508));
    world.advance(seconds(1));
    assert_eq!(redeem(&mut world, rtcp, token).code(), Some(508));
    assert_eq!((world.reservations(), world.ports_taken()), (0, 1));
    bob.allocate(&mut world, minutes(10));
}

#[test]
fn a_token_is_over_in_time_even_if_the_shard_that_made_it_overslept() {
    let mut world = World::sharded(2, |_| {});
    let (rtp, rtcp) = (world.client_on(0, "alice"), world.client_on(1, "alice"));
    let (_, token) = reserve(&mut world, rtp);
    world.oversleep(seconds(30));
    assert_eq!(redeem(&mut world, rtcp, token).code(), Some(508));
}

#[test]
fn each_reservation_has_its_own_30_seconds() {
    let mut world = World::new();
    let clients = [(); 3].map(|()| world.client("alice"));
    for client in clients {
        reserve(&mut world, client);
        world.advance(seconds(10));
    }
    for left in [2, 1, 0] {
        assert_eq!(world.reservations(), left);
        world.advance(seconds(10));
    }
}

#[test]
fn a_port_that_is_reserved_long_after_the_last_is_free_in_time_as_well() {
    let mut world = World::new();
    for _ in 0..3 {
        let client = world.client("alice");
        reserve(&mut world, client);
        assert_eq!(world.reservations(), 1);
        world.advance(seconds(30));
        assert_eq!(world.reservations(), 0);
        world.advance(seconds(30));
    }
}

#[test]
fn a_reservation_outlives_the_allocation_that_made_it() {
    let mut world = World::new();
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let (even, token) = reserve(&mut world, rtp);
    rtp.delete(&mut world);
    let answer = redeem(&mut world, rtcp, token);
    assert_eq!(relayed(&answer).port(), even.port() + 1);
}

#[test]
fn a_token_is_good_once() {
    let mut world = World::new();
    let clients = [(); 3].map(|()| world.client("alice"));
    let (_, token) = reserve(&mut world, clients[0]);
    assert!(redeem(&mut world, clients[1], token).is_success());
    assert_eq!(redeem(&mut world, clients[2], token).code(), Some(508));
    clients[1].delete(&mut world);
    assert_eq!(redeem(&mut world, clients[2], token).code(), Some(508));
}

#[test]
fn a_token_that_nobody_gave_out_is_refused() {
    let (mut world, alice) = World::of_alice();
    let made_up = ReservationToken(*b"anything");
    assert_eq!(redeem(&mut world, alice, made_up).code(), Some(508));
    let short = Request::allocate().put_raw(ReservationToken::TYPE, b"short");
    assert_eq!(code(&mut world, alice, short), Some(400));
    assert!(world.is_idle());
}

#[test]
fn a_token_is_of_no_use_to_another_user() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let (_, token) = reserve(&mut world, alice);
    assert_eq!(redeem(&mut world, bob, token).code(), Some(508));
    // Its owner has lost nothing by the attempt.
    let rtcp = world.client("alice");
    assert!(redeem(&mut world, rtcp, token).is_success());
}

#[test]
fn a_token_is_good_under_every_name_of_its_account() {
    let mut world = World::ruled(|rules| rules.realms.default_keys().add_secret(b"north"));
    let [first, second] = [1_800_001_000, 1_800_002_000].map(|expiry| {
        let credential = mint(Mint::Sha1, b"north", Some("dave"), expiry);
        world.client_with(&credential.username, &credential.password)
    });
    let (_, token) = reserve(&mut world, first);
    assert!(redeem(&mut world, second, token).is_success());
}

#[test]
fn tokens_are_not_alike() {
    let mut world = World::new();
    let mut tokens: Vec<_> = (0..50)
        .map(|_| {
            let client = world.client("alice");
            reserve(&mut world, client).1
        })
        .collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 50);
}

#[test]
fn a_retransmission_hears_the_same_token_and_the_same_port() {
    const ONCE: TransactionId = TransactionId::new(*b"the same one");
    let mut world = World::new();
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let request = Request::allocate().reserve_next().in_transaction(ONCE);
    let packet = rtp.write(&mut world, &request);
    let first = rtp.packet(&mut world, &packet).answer();
    assert_eq!(rtp.packet(&mut world, &packet).answer(), first);
    assert_eq!(world.reservations(), 1);

    let request = Request::allocate().reserved(first.get().unwrap());
    let packet = rtcp.write(&mut world, &request.in_transaction(ONCE));
    let second = rtcp.packet(&mut world, &packet).answer();
    assert!(second.is_success());
    assert_eq!(rtcp.packet(&mut world, &packet).answer(), second);
}

#[test]
fn attributes_beside_a_token_that_say_where_are_a_bad_request() {
    let mut world = World::new();
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let (_, token) = reserve(&mut world, rtp);
    let with_token = || Request::allocate().reserved(token);
    let even = EvenPort {
        reserve_next: false,
    };
    for request in [
        with_token().put(even),
        with_token().reserve_next(),
        with_token().family(AddressFamily::V4),
        with_token().dual(),
    ] {
        assert_eq!(code(&mut world, rtcp, request), Some(400));
    }
    // None of these requests used the token up.
    assert!(redeem(&mut world, rtcp, token).is_success());
}

#[test]
fn where_no_pair_is_free_a_reservation_is_refused_and_an_even_port_is_not() {
    let mut world = World::with(with_ports(3));
    let clients = [(); 3].map(|()| world.client("alice"));
    reserve(&mut world, clients[0]);
    let again = Request::allocate().reserve_next();
    assert_eq!(code(&mut world, clients[1], again), Some(508));
    let even = Request::allocate().put(EvenPort {
        reserve_next: false,
    });
    assert_eq!(
        relayed(&clients[1].ask(&mut world, even)).port(),
        50_002,
        "the third port has no partner"
    );
}

#[test]
fn ports_of_other_programs_lead_to_another_pair() {
    let mut world = World::with(with_ports(8));
    for taken in [50_000, 50_002, 50_004] {
        world.occupy(SocketAddr::new(LOCAL, taken));
    }
    let rtp = world.client("alice");
    let (even, _) = reserve(&mut world, rtp);
    assert_eq!((even.port(), world.ports_taken()), (50_006, 2));
}

/// The number is reserved but no socket is open, so another program may bind it first.
#[test]
fn a_reserved_port_that_another_program_took_is_refused_and_no_other_is_given() {
    let mut world = World::new();
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let (even, token) = reserve(&mut world, rtp);
    world.occupy(SocketAddr::new(even.ip(), even.port() + 1));
    assert_eq!(redeem(&mut world, rtcp, token).code(), Some(508));
    assert_eq!((world.allocations(), world.ports_taken()), (1, 1));
}

#[test]
fn what_is_not_granted_reserves_nothing() {
    let (mut world, alice) = World::of_alice();
    world.refuse_sockets(OpenError::Exhausted);
    let request = Request::allocate().reserve_next();
    assert_eq!(code(&mut world, alice, request), Some(508));
    assert_eq!((world.reservations(), world.ports_taken()), (0, 0));

    world.hold_sockets();
    let tcp = world.tcp_client("alice");
    assert_eq!(
        tcp.tell(&mut world, Request::allocate().reserve_next()),
        Silent
    );
    assert_eq!(world.ports_taken(), 2);
    tcp.disconnect(&mut world);
    world.open_sockets();
    assert_eq!((world.reservations(), world.ports_taken()), (0, 0));
}

#[test]
fn a_quota_that_is_reached_leaves_the_token_good() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(1));
    let (rtp, rtcp) = (world.client("alice"), world.client("alice"));
    let (_, token) = reserve(&mut world, rtp);
    assert_eq!(redeem(&mut world, rtcp, token).code(), Some(486));
    rtp.delete(&mut world);
    assert!(redeem(&mut world, rtcp, token).is_success());
}

#[test]
fn nobody_reserves_more_than_a_few_ports_at_a_time() {
    let mut world = World::new();
    let mut last = None;
    for _ in 0..65 {
        let client = world.client("alice");
        last = Some(client.ask(&mut world, Request::allocate().reserve_next()));
        let other = Request::refresh(seconds(0));
        client.ask(&mut world, other);
    }
    assert_eq!(last.unwrap().code(), Some(508));
    assert_eq!(world.reservations(), 64);
    let bob = Request::allocate()
        .reserve_next()
        .as_user("bob", &password("bob"));
    let client = world.client("alice");
    assert!(client.ask(&mut world, bob).is_success());
    world.advance(seconds(30));
    assert_eq!(world.reservations(), 0);
}

#[test]
fn a_reservation_is_over_in_its_time_although_the_shard_failed() {
    let mut world = World::with(with_ports(2));
    let rtp = world.client("alice");
    reserve(&mut world, rtp);
    world.restart_shard(0);
    assert_eq!((world.reservations(), world.ports_taken()), (1, 1));
    world.advance(seconds(30));
    assert_eq!((world.reservations(), world.ports_taken()), (0, 0));
}
