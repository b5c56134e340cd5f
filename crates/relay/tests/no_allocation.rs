//! The data path allocates nothing: neither a session's packets nor a stranger's.

use std::net::IpAddr;

use relay::{
    ClientTuple, Config, Destination, DropReason, HostAddress, Icmp, IcmpTold, NatDiscovery, Now,
    Outgoing, Partner, PartnerSecret, PeerAddr, SecondAddress, Server, Verdict,
};
use sim::{Client, Peer, Request, World, minutes};
use wire::attributes::ChangeRequest;

/// Packets of each kind.
const PACKETS: usize = 1000;

/// A client with a channel to one peer and a permission for another.
struct Session {
    world: World,
    alice: Client,
    bound: Peer,
    permitted: Peer,
}

impl Session {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = World::with(change);
        let (alice, bound, permitted) = (world.client("alice"), world.peer(), world.peer());
        alice.allocate(&mut world, minutes(10));
        alice.bind(&mut world, bound);
        alice.permit(&mut world, permitted);
        Self {
            world,
            alice,
            bound,
            permitted,
        }
    }

    /// Counts the allocations of a thousand calls, after one that may still make room.
    #[track_caller]
    fn assert_no_allocation(&mut self, mut handle: impl FnMut(&mut Server, Now, ClientTuple)) {
        let (now, tuple) = (self.world.now(), self.alice.tuple(&self.world));
        let server = self.world.server(0);
        handle(server, now, tuple);
        let counted = allocation_counter::measure(|| {
            for _ in 0..PACKETS {
                handle(server, now, tuple);
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }

    /// The client sends a packet again and again.
    #[track_caller]
    fn assert_client_costs_no_allocation(
        &mut self,
        packet: &[u8],
        expected: fn(&Verdict<'_, '_>) -> bool,
    ) {
        self.assert_no_allocation(|server, now, tuple| {
            let verdict = server.handle_client(now, tuple, packet);
            assert!(expected(&verdict), "{verdict:?}");
        });
    }

    /// A peer sends a packet again and again.
    #[track_caller]
    fn assert_peer_costs_no_allocation(
        &mut self,
        peer: Peer,
        payload: &[u8],
        expected: fn(&Verdict<'_, '_>) -> bool,
    ) {
        let relay = self.world.relay_of(self.alice);
        self.assert_no_allocation(|server, now, _| {
            let verdict = server.handle_peer(now, relay, PeerAddr(peer.0), payload);
            assert!(expected(&verdict), "{verdict:?}");
        });
    }
}

/// Whether all of the payload goes to a peer.
fn relays_to_peer(verdict: &Verdict<'_, '_>) -> bool {
    matches!(verdict, Verdict::Relay(Outgoing { to: Destination::Peer(_), contents }) if contents.len() == 1200)
}

/// Whether all of the payload goes to a client.
fn relays_to_client(verdict: &Verdict<'_, '_>) -> bool {
    matches!(verdict, Verdict::Relay(Outgoing { to: Destination::Client { .. }, contents }) if contents.len() == 1200)
}

/// Whether an answer goes where it should.
fn leads_to(verdict: &Verdict<'_, '_>, is_right: impl Fn(&Destination) -> bool) -> bool {
    matches!(verdict, Verdict::Answer(outgoing) if is_right(&outgoing.to))
}

#[test]
fn channel_data_costs_no_allocation() {
    let mut session = Session::new();
    let packet = [&[0x40, 0, 0x04, 0xB0][..], &[7; 1200]].concat();
    session.assert_client_costs_no_allocation(&packet, relays_to_peer);
}

#[test]
fn a_send_indication_costs_no_allocation_with_dont_fragment_or_without() {
    let mut session = Session::new();
    let request = || Request::send(session.permitted, &[7; 1200]);
    for request in [request(), request().dont_fragment()] {
        let packet = session.alice.write(&mut session.world, &request);
        session.assert_client_costs_no_allocation(&packet, relays_to_peer);
    }
}

#[test]
fn data_from_shard_to_shard_costs_neither_of_them_an_allocation() {
    let mut world = World::sharded(2, |_| {});
    let clients = [world.client_on(0, "alice"), world.client_on(1, "bob")];
    let doors = clients.map(|client| Peer(client.allocate(&mut world, minutes(10))));
    clients[0].bind(&mut world, doors[1]);
    clients[1].bind(&mut world, doors[0]);
    let packet = [&[0x40, 0, 0x04, 0xB0][..], &[7; 1200]].concat();
    let (now, tuple) = (world.now(), clients[0].tuple(&world));
    let mut cross = || {
        let verdict = world.server(0).handle_client(now, tuple, &packet);
        let Verdict::Relay(Outgoing {
            to: Destination::Relayed(crossing),
            contents,
        }) = verdict
        else {
            panic!("{verdict:?}");
        };
        let verdict = world.server(1).handle_crossing(now, crossing, contents);
        assert!(relays_to_client(&verdict), "{verdict:?}");
    };
    cross();
    let counted = allocation_counter::measure(|| (0..PACKETS).for_each(|_| cross()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// Media, checks, and what only looks like them: every packet is measured.
#[test]
fn what_is_measured_costs_no_allocation() {
    let mut session = Session::new();
    let mut place = 0_u32;
    let mut next = move |data: &mut [u8]| {
        place += 1;
        data.fill(0xA5);
        let (head, _) = data.split_first_chunk_mut::<12>().unwrap();
        // Two streams, gaps, a flood of sources, and STUN.
        let ssrc = match place % 5 {
            0 | 1 => place % 2,
            _ => place.wrapping_mul(0x9E37_79B9),
        };
        *head = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        head[2..4].copy_from_slice(&(place / 4 * 3).to_be_bytes()[2..]);
        head[4..8].copy_from_slice(&(place * 90).to_be_bytes());
        head[8..].copy_from_slice(&ssrc.to_be_bytes());
        if place.is_multiple_of(7) {
            let kind = if place.is_multiple_of(2) {
                [0, 1]
            } else {
                [1, 1]
            };
            data[..2].copy_from_slice(&kind);
            data[2..8].copy_from_slice(&[0x04, 0x9C, 0x21, 0x12, 0xA4, 0x42]);
            // One attribute that may be ignored.
            data[20..24].copy_from_slice(&[0xC0, 0x01, 0x04, 0x98]);
        }
    };
    let mut packet = [&[0x40, 0, 0x04, 0xB0][..], &[7; 1200]].concat();
    let (peer, relay) = (session.bound, session.world.relay_of(session.alice));
    session.assert_no_allocation(|server, mut now, tuple| {
        now.mono += std::time::Duration::from_millis(u64::from(packet[11]));
        next(&mut packet[4..]);
        let verdict = server.handle_client(now, tuple, &packet);
        assert!(relays_to_peer(&verdict), "{verdict:?}");
        let verdict = server.handle_peer(now, relay, PeerAddr(peer.0), &packet[4..]);
        assert!(relays_to_client(&verdict), "{verdict:?}");
    });
}

#[test]
fn an_icmp_error_costs_no_allocation_told_or_not() {
    for told in [IcmpTold::Always, IcmpTold::Never] {
        icmp_errors_cost_no_allocation(told);
    }
}

fn icmp_errors_cost_no_allocation(told: IcmpTold) {
    let mut session = Session::with(|config| config.rules_mut().icmp = told);
    let relay = session.world.relay_of(session.alice);
    let (permitted, stranger) = (session.permitted, Peer::at("9.9.9.9:9"));
    for (peer, is_told) in [(permitted, told == IcmpTold::Always), (stranger, false)] {
        session.assert_no_allocation(|server, now, _| {
            let icmp = Icmp {
                kind: 3,
                code: 3,
                data: 0,
            };
            let verdict = server.handle_icmp(now, relay, PeerAddr(peer.0), icmp);
            assert_eq!(matches!(verdict, Verdict::Relay(_)), is_told);
        });
    }
}

#[test]
fn a_peers_packet_costs_no_allocation_on_a_channel_or_off() {
    let mut session = Session::new();
    for peer in [session.bound, session.permitted] {
        session.assert_peer_costs_no_allocation(peer, &[7; 1200], relays_to_client);
    }
}

#[test]
fn a_packet_from_relay_to_relay_costs_no_allocation() {
    let mut session = Session::new();
    let bob = session.world.client("bob");
    let (alice, world) = (session.alice, &mut session.world);
    bob.allocate(world, minutes(10));
    let (at_alice, at_bob) = (alice.relayed(world), bob.relayed(world));
    alice.permit(world, at_bob);
    bob.permit(world, at_alice);
    let packet = alice.write(world, &Request::send(at_bob, &[7; 1200]));
    session.assert_client_costs_no_allocation(&packet, relays_to_client);
}

#[test]
fn what_is_dropped_costs_no_allocation() {
    let mut session = Session::new();
    let stranger = Peer::at("9.9.9.9:9");
    let unpermitted = Request::send(stranger, &[7; 1200]);
    let unpermitted = session.alice.write(&mut session.world, &unpermitted);
    for packet in [&unpermitted, &[0x40, 9, 0, 0][..], b"GET / HTTP/1.1", &[0]] {
        session.assert_client_costs_no_allocation(packet, |verdict| {
            matches!(verdict, Verdict::Drop(_))
        });
    }
    session.assert_peer_costs_no_allocation(stranger, &[7; 1200], |verdict| {
        matches!(verdict, Verdict::Drop(_))
    });
}

/// Requests that anyone may send: a flood of them must not exhaust memory.
#[test]
fn a_strangers_binding_and_challenge_cost_no_allocation() {
    let mut session = Session::new();
    for request in [Request::binding(), Request::allocate().unsigned()] {
        let packet = session.alice.write(&mut session.world, &request);
        session.assert_client_costs_no_allocation(&packet, |verdict| {
            matches!(verdict, Verdict::Answer(_))
        });
    }
}

/// Requests that are answered from another address, by this host or by its partner.
#[test]
fn a_strangers_change_request_costs_no_allocation() {
    let local = |ip: &str| {
        let ip = ip.parse().unwrap();
        HostAddress {
            local: ip,
            external: ip,
        }
    };
    let partner = Partner {
        address: "199.7.83.42".parse().unwrap(),
        port: 3480,
        secret: PartnerSecret::new(b"what only the two of them know"),
    };
    let discovery = |primary: &str, alternate| NatDiscovery {
        primary: local(primary),
        alternate,
        ports: [3478, 3479],
        tcp: false,
        tls: false,
    };
    let world = |primary, alternate| {
        World::with(|config| config.nat_discovery = vec![discovery(primary, alternate)])
    };
    let request = Request::binding().put(ChangeRequest {
        ip: true,
        port: true,
    });
    let mut here = world("198.41.0.5", SecondAddress::Here(local("198.41.0.6")));
    let alice = here.client("alice");
    let packet = alice.write(&mut here, &request);
    let tuple = alice.tuple(&here);
    measure(&mut here, |server, now| {
        let verdict = server.handle_client(now, tuple, &packet);
        assert!(
            leads_to(
                &verdict,
                |to| matches!(to, Destination::Answer(via) if *via != tuple)
            ),
            "{verdict:?}"
        );
    });
    // Two servers that meet: one reads the notes that the other writes.
    let mut there = world("198.41.0.5", SecondAddress::Partner(partner.clone()));
    let other = Partner {
        address: "198.41.0.5".parse().unwrap(),
        ..partner
    };
    let mut far = world("199.7.83.42", SecondAddress::Partner(other));
    there.keep_partners(1);
    far.keep_partners(2);
    let (a, b) = (
        "198.41.0.5:3480".parse().unwrap(),
        "199.7.83.42:3480".parse().unwrap(),
    );
    for _ in 0..3 {
        for note in there.notes() {
            far.partner_writes(a, &note);
        }
        for note in far.notes() {
            there.partner_writes(b, &note);
        }
    }
    measure(&mut there, |server, now| {
        let verdict = server.handle_client(now, tuple, &packet);
        assert!(
            leads_to(&verdict, |to| matches!(to, Destination::Partner(_))),
            "{verdict:?}"
        );
    });
    measure(&mut there, |server, now| {
        let verdict = server.handle_partner(now, b, &[0; 104]);
        assert!(matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
    });
}

/// Counts the allocations of a few calls, after one that may still make room. There are few calls,
/// as the budget is that of one stranger.
#[track_caller]
fn measure(world: &mut World, mut handle: impl FnMut(&mut Server, Now)) {
    let now = world.now();
    let server = world.server(0);
    handle(server, now);
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| handle(server, now)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_hundred_thousand_strangers_cost_no_memory_answered_or_not() {
    let mut session = Session::new();
    let requests = [Request::binding(), Request::allocate().unsigned()];
    let packets = requests.map(|request| session.alice.write(&mut session.world, &request));
    let (now, tuple) = (session.world.now(), session.alice.tuple(&session.world));
    let server = session.world.server(0);
    let (mut answered, mut silent) = (0, 0);
    let mut ask = |stranger: u32, packet| {
        let ip = IpAddr::from((stranger << 8).to_be_bytes());
        let client = (ip, tuple.client.port()).into();
        match server.handle_client(now, ClientTuple { client, ..tuple }, packet) {
            Verdict::Answer(_) => answered += 1,
            Verdict::Drop(DropReason::OverBudget) => silent += 1,
            other @ (Verdict::Relay(_) | Verdict::Drop(_) | Verdict::Done) => panic!("{other:?}"),
        }
    };
    packets.iter().for_each(|packet| ask(0, packet));
    let counted = allocation_counter::measure(|| {
        for stranger in 1..=100_000 {
            packets.iter().for_each(|packet| ask(stranger, packet));
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(answered > 1000 && silent > 100_000);
}

/// Shows that the tests above can fail.
#[test]
fn what_allocates_is_counted() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![7; 10])));
    assert_eq!(counted.count_total, 1);
}
