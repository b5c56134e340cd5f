//! DONT-FRAGMENT: promised in Allocate, and kept in Send indications. RFC 8656 §3.7, §7.2, §13-15.

use relay::DropReason::IncompleteSend;
use relay::{AddressFamily, ClientTuple, Transport};
use sim::{Client, Request, World, assert_lost, minutes, password, seconds};
use wire::attributes::{
    DontFragment, DraftAdditionalAddressFamily, UnknownAttributes, XorRelayedAddress,
};
use wire::{AddressFamily::V4, AddressFamily::V6, Attribute};

/// A client of each transport and family.
fn client(world: &mut World, transport: Transport, family: AddressFamily) -> Client {
    let address = match family {
        V4 => "100.99.0.1:50000",
        V6 => "[2a00::1]:50000",
    };
    let server = match family {
        V4 => "198.41.0.4:3478",
        V6 => "[2001:503:ba3e::2:30]:3478",
    };
    let tuple = ClientTuple {
        transport,
        client: address.parse().unwrap(),
        server: server.parse().unwrap(),
    };
    world.client_at(0, tuple, "alice", &password("alice"))
}

#[test]
fn an_allocate_may_ask_whether_df_can_be_set() {
    let (mut world, alice) = World::of_alice();
    let asked = Request::allocate().dont_fragment();
    assert!(alice.ask(&mut world, asked).is_success());
}

#[test]
fn a_send_indication_that_asks_for_it_leaves_with_df_and_no_other() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let asking = || Request::send(peer, b"whole").dont_fragment();
    assert_eq!(
        alice.tell(&mut world, asking()),
        peer.hears_unfragmented(relayed, b"whole")
    );
    alice.reaches(&mut world, peer, b"plain");
    // ChannelData cannot ask for it.
    alice.bind(&mut world, peer);
    alice.reaches(&mut world, peer, b"plain");
    assert_eq!(
        alice.tell(&mut world, asking()),
        peer.hears_unfragmented(relayed, b"whole")
    );
}

#[test]
fn what_is_translated_from_datagrams_ignores_it_and_what_comes_by_stream_does_not() {
    for (transport, family, relay, counts) in [
        (Transport::Udp, V4, V4, true),
        (Transport::Udp, V4, V6, false),
        (Transport::Udp, V6, V4, false),
        (Transport::Udp, V6, V6, false),
        (Transport::Tcp, V4, V4, true),
        (Transport::Tcp, V4, V6, true),
        (Transport::Tcp, V6, V4, true),
        (Transport::Tcp, V6, V6, true),
    ] {
        let mut world = World::new();
        let alice = client(&mut world, transport, family);
        let peer = match relay {
            V4 => world.peer(),
            V6 => world.peer_v6(),
        };
        let answer = alice.ask(&mut world, Request::allocate().family(relay));
        let XorRelayedAddress(relayed) = answer.get().unwrap();
        alice.permit(&mut world, peer);
        let outcome = alice.tell(&mut world, Request::send(peer, b"x").dont_fragment());
        let expected = if counts {
            peer.hears_unfragmented(relayed, b"x")
        } else {
            peer.hears(relayed, b"x")
        };
        assert_eq!(outcome, expected, "{transport:?} {family:?} to {relay:?}");
    }
}

/// No socket shows the DF bit of a datagram that it received, which that translation must know.
#[test]
fn an_allocate_for_translation_from_ipv4_to_ipv6_cannot_have_it() {
    let dont_fragment = || Request::allocate().dont_fragment();
    let draft = DraftAdditionalAddressFamily(Ok(V6));
    for (transport, family, request, code) in [
        (Transport::Udp, V4, dont_fragment().family(V6), Some(420)),
        (Transport::Udp, V4, dont_fragment().dual(), Some(420)),
        (Transport::Udp, V4, dont_fragment().put(draft), Some(420)),
        (Transport::Udp, V4, dont_fragment().family(V4), None),
        (Transport::Udp, V6, dont_fragment().family(V4), None),
        (Transport::Udp, V6, dont_fragment().family(V6), None),
        (Transport::Udp, V6, dont_fragment().dual(), None),
        (Transport::Tcp, V4, dont_fragment().family(V6), None),
        (Transport::Tcp, V4, dont_fragment().dual(), None),
    ] {
        let mut world = World::new();
        let alice = client(&mut world, transport, family);
        let answer = alice.ask(&mut world, request);
        assert_eq!(answer.code(), code, "{transport:?} {family:?}");
        if code.is_some() {
            let UnknownAttributes(unknown) = answer.get().unwrap();
            assert_eq!(unknown, [DontFragment::TYPE]);
        }
    }
}

#[test]
fn a_token_for_an_ipv6_port_is_not_used_up_by_asking_for_it() {
    let mut world = World::new();
    let (first, second) = (world.client("alice"), world.client("alice"));
    let pair = Request::allocate().family(V6).reserve_next();
    let token = first.ask(&mut world, pair).get().unwrap();
    let asked = Request::allocate().reserved(token).dont_fragment();
    assert_eq!(second.ask(&mut world, asked).code(), Some(420));
    let unasked = Request::allocate().reserved(token);
    assert!(second.ask(&mut world, unasked).is_success());
}

/// The shard that reserved the port has not noticed yet.
#[test]
fn a_token_that_is_over_is_none_whatever_it_was_for() {
    let mut world = World::sharded(2, |_| {});
    let (first, second) = (world.client("alice"), world.client_on(1, "alice"));
    let pair = Request::allocate().family(V6).reserve_next();
    let token = first.ask(&mut world, pair).get().unwrap();
    world.oversleep(seconds(30));
    let asked = Request::allocate().reserved(token).dont_fragment();
    assert_eq!(second.ask(&mut world, asked).code(), Some(508));
}

#[test]
fn it_is_judged_after_the_transport_and_before_the_token() {
    let (mut world, alice) = World::of_alice();
    let no_transport = Request::new(wire::Method::Allocate)
        .dont_fragment()
        .family(V6);
    assert_eq!(alice.ask(&mut world, no_transport).code(), Some(400));
    let contradiction = Request::allocate().dont_fragment().family(V6).dual();
    assert_eq!(alice.ask(&mut world, contradiction).code(), Some(420));
}

#[test]
fn an_attribute_with_a_value_is_none() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let allocate = Request::allocate().put_raw(DontFragment::TYPE, b"?");
    assert_eq!(alice.ask(&mut world, allocate).code(), Some(400));
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let send = Request::send(peer, b"x").put_raw(DontFragment::TYPE, b"?");
    assert_lost(alice.tell(&mut world, send), IncompleteSend);
}
