//! Loops of servers that are each other's clients. RFC 8656 §21.4.
//!
//! A [`Ring`] is a few servers on one network. An attacker with credentials has them send to each
//! other, and may send from every relayed address, whoever has it: so a port that has changed hands
//! is tried like a ticket.

mod ring;

use std::net::SocketAddr;

use relay::{ClientTuple, DropReason, Transport};
use sim::{Choices, Outcome, Request, World, minutes, password};
use wire::attributes::{
    ChannelNumberAttribute, ErrorCode, Lifetime, MobilityTicket, XorPeerAddress,
};
use wire::{ChannelNumber, Class, Message, Method, Writer};

use crate::mobility::{allocate, shown, ticket};
use ring::{Held, Ring, send_to};

#[test]
fn no_order_of_requests_makes_a_datagram_multiply() {
    let (mut most, mut moved, mut within) = (0, 0, 0);
    for seed in 0..200 {
        let mut choices = Choices::seeded(seed);
        let mut ring = Ring::new(2 + choices.below(2) as u8, seed);
        for _ in 0..60 {
            ring.step(&mut choices);
            most = most.max(ring.hops);
        }
        for node in &ring.nodes {
            moved += node.server.counters().moved;
            within += node.server.counters().dropped(DropReason::TurnWithin);
        }
    }
    // Clients moved, a few servers in a row were passed, and some datagrams would have gone on.
    assert!(
        moved > 20 && within > 200 && most >= 4,
        "{moved} {within} {most}"
    );
}

#[test]
fn a_ticket_leads_no_server_into_a_loop() {
    let mut ring = Ring::new(2, 0);
    let [first, second] = [ring.nodes[0].listener, ring.nodes[1].listener];
    let relayed = ring.allocate(ATTACKER, 0, true).unwrap();
    ring.ask(ATTACKER, 0, Method::CreatePermission, |w| {
        w.put(&XorPeerAddress(second));
    });
    // To the second server through the allocation: not even the first request gets there.
    let mut allocate = Vec::new();
    Writer::new(&mut allocate, Method::Allocate, Class::Request, ring.next());
    ring.run(ATTACKER, first, &send_to(second, &allocate));
    let dropped = ring.nodes[0].server.counters();
    assert_eq!(dropped.dropped(DropReason::TurnWithin), 1);
    // From the relayed address all the same, as if an earlier client had been there.
    let back = ring.allocate(relayed, 1, false).unwrap();
    ring.ask(relayed, 1, Method::CreatePermission, |w| {
        w.put(&XorPeerAddress(first));
    });
    let ticket = ring.held[0].ticket.clone();
    let show = |w: &mut Writer<'_>| {
        w.put(&MobilityTicket(&ticket));
    };
    // Its IP address is that of a peer.
    let refused = ring.ask(back, 0, Method::Refresh, show);
    assert_eq!(code(&refused), 403);
}

#[test]
fn a_client_reaches_a_server_through_two_others() {
    let mut ring = Ring::new(3, 0);
    let first = ring.allocate(ATTACKER, 0, false).unwrap();
    let second = ring.allocate(first, 1, false).unwrap();
    let third = ring.allocate(second, 2, false).unwrap();
    let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
    let listeners: Vec<_> = ring.nodes.iter().map(|node| node.listener).collect();
    for (client, at, next) in [
        (ATTACKER, 0, listeners[1]),
        (first, 1, listeners[2]),
        (second, 2, peer),
    ] {
        ring.ask(client, at, Method::CreatePermission, |w| {
            w.put(&XorPeerAddress(next));
        });
    }
    let data = send_to(listeners[1], &send_to(listeners[2], &send_to(peer, b"out")));
    ring.run(ATTACKER, listeners[0], &data);
    assert_eq!(
        ring.outside.pop_back(),
        Some((third, peer, b"out".to_vec()))
    );
    ring.run(peer, third, b"back");
    let (from, to, data) = ring.outside.pop_back().unwrap();
    assert_eq!((from, to), (listeners[0], ATTACKER));
    assert_eq!(wire::turn_headers(&data, 9), 3);
    assert!(data.windows(4).any(|it| it == b"back"));
}

#[test]
fn a_client_does_not_move_to_the_ip_address_of_its_peer() {
    for by_channel in [true, false] {
        let mut world = World::new();
        let (home, peer) = (world.client("alice"), world.peer());
        let first = allocate(home, &mut world);
        let relayed = home.relayed(&world);
        if by_channel {
            home.bind(&mut world, peer);
        } else {
            home.permit(&mut world, peer);
        }
        let tuple = ClientTuple {
            client: SocketAddr::from(peer),
            ..home.tuple(&world)
        };
        let beside = world.client_at(0, tuple, "alice", &password("alice"));
        beside.hears_error(&mut world, 403, shown(&first));
        // It is as good as before.
        let away = world.roam(home, 0, Transport::Udp);
        ticket(&away.ask(&mut world, shown(&first)));
        let friend = world.peer();
        away.permit(&mut world, friend);
        away.tell(&mut world, Request::send(friend, b"settled"));
        let heard = peer.send(&mut world, relayed, b"still there");
        assert!(matches!(heard, Outcome::AtClient { client, .. } if client == away));
    }
}

#[test]
fn a_client_that_has_moved_gets_no_permission_for_its_own_ip_address() {
    let mut world = World::new();
    let (home, peer, friend) = (world.client("alice"), world.peer(), world.peer());
    let first = allocate(home, &mut world);
    let tuple = ClientTuple {
        client: SocketAddr::from(peer.on_port(5000)),
        ..home.tuple(&world)
    };
    let away = world.client_at(0, tuple, "alice", &password("alice"));
    ticket(&away.ask(&mut world, shown(&first)));
    for _ in 0..2 {
        away.hears_error(&mut world, 403, Request::create_permission([friend, peer]));
        away.hears_error(&mut world, 403, Request::channel_bind(0x4001, peer));
        // From now on it is there.
        away.permit(&mut world, friend);
        away.tell(&mut world, Request::send(friend, b"settled"));
    }
}

#[test]
fn a_client_that_has_not_moved_may_share_an_address_with_its_peers() {
    let mut world = World::new();
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: SocketAddr::from(([9, 9, 7, 7], 5000)),
        server: sim::LISTENER,
    };
    let alice = world.client_at(0, tuple, "alice", &password("alice"));
    allocate(alice, &mut world);
    let peer = sim::Peer::at("9.9.7.7:4000");
    alice.bind(&mut world, peer);
    assert!(matches!(
        alice.send(&mut world, peer, b"hi"),
        Outcome::AtPeer { .. }
    ));
}

#[test]
fn no_address_of_the_server_is_a_clients() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let ticket = allocate(bob, &mut world);
    let relayed = alice.allocate(&mut world, minutes(10));
    for client in [relayed, sim::LISTENER] {
        let tuple = ClientTuple {
            client,
            ..alice.tuple(&world)
        };
        let own = world.client_at(0, tuple, "bob", &password("bob"));
        own.hears_error(&mut world, 403, Request::allocate());
        own.hears_error(&mut world, 403, shown(&ticket));
    }
    // The port is nobody's when the allocation has ended.
    alice.delete(&mut world);
    let tuple = ClientTuple {
        client: relayed,
        ..alice.tuple(&world)
    };
    let own = world.client_of(tuple).unwrap();
    own.allocate(&mut world, minutes(10));
}

/// An attacker's choices.
impl Ring {
    /// Something that an attacker might do next.
    fn step(&mut self, choices: &mut Choices<'_>) {
        let at = choices.below(self.nodes.len());
        let place = self.place(choices);
        if self.held.is_empty() || choices.below(5) == 0 {
            let from = self.source(choices, at);
            self.allocate(from, at, choices.flag());
            return;
        }
        let chosen = self.held.len() - 1 - choices.below(self.held.len().min(5));
        let Held {
            at,
            client,
            relayed,
            ..
        } = self.held[chosen];
        let listener = self.nodes[at].listener;
        let put_place = |w: &mut Writer<'_>| {
            w.put(&XorPeerAddress(place));
        };
        match choices.below(16) {
            0..=3 => drop(self.ask(client, at, Method::CreatePermission, put_place)),
            4 => {
                let number = ChannelNumberAttribute(0x4000 + choices.below(3) as u16);
                self.ask(client, at, Method::ChannelBind, |w| {
                    w.put(&number);
                    put_place(w);
                });
            }
            5 | 6 => {
                let (from, ticket) = (self.source(choices, at), self.held[chosen].ticket.clone());
                self.ask(from, at, Method::Refresh, |w| {
                    w.put(&MobilityTicket(&ticket));
                });
            }
            7 | 8 => {
                self.ask(client, at, Method::Refresh, |w| {
                    w.put(&Lifetime(0));
                });
                self.held.remove(chosen);
            }
            9..=11 => {
                let data = self.data(choices);
                self.run(client, listener, &send_to(place, &data));
            }
            12 => {
                let data = self.data(choices);
                self.run(client, listener, &on_channel(choices, &data));
            }
            _ => {
                let data = self.data(choices);
                self.run(place, relayed, &data);
            }
        }
    }

    /// An address that the attacker can send from to a server: most likely of another server.
    fn source(&self, choices: &mut Choices<'_>, to: usize) -> SocketAddr {
        let others = self.held.iter().filter(|held| held.at != to);
        let others: Vec<SocketAddr> = others.map(|held| held.relayed).collect();
        if others.is_empty() || choices.below(4) == 0 {
            return ATTACKER;
        }
        others[others.len() - 1 - choices.below(others.len().min(3))]
    }

    /// A peer.
    fn place(&self, choices: &mut Choices<'_>) -> SocketAddr {
        let at = choices.below(self.nodes.len());
        match choices.below(4) {
            0 => self.source(choices, at),
            _ => self.nodes[at].listener,
        }
    }

    /// A byte, or any TURN around it.
    fn data(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let mut data = vec![0xFF; 1 + choices.below(2) * 1200];
        for _ in 0..choices.below(6) {
            data = if choices.flag() {
                on_channel(choices, &data)
            } else {
                send_to(self.place(choices), &data)
            };
        }
        data
    }
}

fn on_channel(choices: &mut Choices<'_>, data: &[u8]) -> Vec<u8> {
    let number = ChannelNumber::new(0x4000 + choices.below(3) as u16).unwrap();
    [
        &wire::RelayHeader::channel_data(number, data.len())[..],
        data,
    ]
    .concat()
}

#[track_caller]
fn code(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).unwrap();
    let error: ErrorCode<'_> = message.get().unwrap().unwrap();
    error.code
}

const ATTACKER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 0, 66)),
    6666,
);
