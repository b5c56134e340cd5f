//! Datagrams that are lost on their way to a peer: the client is told why, and loses nothing else.
//! RFC 8656 §11.5, §14, §15.

use client::{AllocateOptions, Event, Transport};
use lab::{
    live::{Code, LiveClient},
    program::Program,
    raw::tell_unreachable,
    server::serving,
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::{FAR_V4, FAR_V6, PEER_V4, SERVER_V4, in_own_world, peer_of},
};
use wire::AddressFamily::{self, V4, V6};
use wire::attributes::Icmp;

use crate::{capture::Capture, far::far_host};

const PORT_UNREACHABLE_V4: Icmp = Icmp {
    kind: 3,
    code: 3,
    data: 0,
};
const PORT_UNREACHABLE_V6: Icmp = Icmp {
    kind: 1,
    code: 4,
    data: 0,
};

const fn fragmentation_needed(mtu: u16) -> Icmp {
    Icmp {
        kind: 3,
        code: 4,
        data: mtu as u32,
    }
}

const fn packet_too_big(mtu: u16) -> Icmp {
    Icmp {
        kind: 2,
        code: 0,
        data: mtu as u32,
    }
}

#[test]
fn a_client_hears_that_a_peers_port_is_closed() {
    serving(Setup::default(), |_, _| {
        for transport in [Transport::Udp, Transport::Tcp] {
            for (family, unreachable) in [(V4, PORT_UNREACHABLE_V4), (V6, PORT_UNREACHABLE_V6)] {
                let (mut session, _) = LiveClient::over(transport, V4).allocated_of(family);
                let (closed, address) = peer_at(peer_of(family));
                drop(closed);
                session.create_permission(address).expect("a permission");
                session.post(address, b"is anybody there?");
                assert_eq!(session.loss(), (address, unreachable));
                let channel = session.bind_channel(address).expect("a channel");
                session.post_on(channel, b"and on a channel?");
                assert_eq!(session.loss(), (address, unreachable));
                session.assert_nothing_else_comes();
            }
        }
    });
}

#[test]
fn a_loss_that_waits_at_the_socket_takes_no_other_datagram_with_it() {
    in_own_world(|world| {
        // Errors are reported as fast as they come, not a few a second.
        far_host(1500);
        let mut server = world.serve(Setup::default());
        for family in [V4, V6] {
            let (mut session, relayed) = LiveClient::over(Transport::Udp, V4).allocated_of(family);
            let (closed, nowhere) = peer_at(peer_of(family));
            drop(closed);
            let (open, address) = peer_at(peer_of(family));
            session.create_permission(address).expect("a permission");
            for number in 0..ROUNDS {
                // Both come in one turn of the server: the first is lost before the second is sent.
                server.program.while_stopped(|| {
                    session.post(nowhere, b"lost");
                    session.post(address, &number.to_be_bytes());
                    open.send_to(b"back", relayed)
                        .expect("a route to the relay");
                });
                assert_hears(&open, relayed, &number.to_be_bytes());
            }
            let (mut back, mut lost) = (0, 0);
            while back + lost < 2 * ROUNDS {
                let event = session.next_event();
                if matches!(event, Event::Lost { peer, .. } if peer == nowhere) {
                    lost += 1;
                } else {
                    assert!(matches!(event, Event::Data { .. }), "{event:?}");
                    back += 1;
                }
            }
            assert_eq!((back, lost), (ROUNDS, ROUNDS));
        }
        let log = server.stop().output;
        for failed in ["send-failed", "receive-failed"] {
            assert!(!log.contains(failed), "{log}");
        }
    });
}

/// The queue of a device counts what leaves in one call as one packet, and refuses it whole.
#[test]
fn datagrams_that_a_queue_has_no_room_for_together_are_sent_one_by_one() {
    in_own_world(|world| {
        let queue = "qdisc add dev server0 root tbf rate 1gbit burst 100kb limit 5000";
        let mut tc = world.on_server_host("tc");
        tc.args(queue.split(' '));
        Program::succeed(tc);
        let server = world.serve(Setup::default());
        let (peer, address) = peer_at(PEER_V4);
        let (mut session, relayed) = LiveClient::over(Transport::Udp, V4).allocated_of(V4);
        let channel = session.bind_channel(address).expect("a channel");
        let datagrams = [1, 2, 3, 4, 5, 6].map(|number| [number; 1_200]);
        server.program.while_stopped(|| {
            for datagram in &datagrams {
                session.post_on(channel, datagram);
            }
        });
        for datagram in &datagrams {
            assert_hears(&peer, relayed, datagram);
        }
    });
}

#[test]
fn what_is_too_big_for_a_link_on_its_way_is_told_with_the_mtu_or_fragmented() {
    in_own_world(|world| {
        let far = far_host(MTU);
        let _server = world.serve(Setup::default());
        let (peer, address) = far.peer(FAR_V4);
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut session = LiveClient::over(transport, V4);
            let asking = AllocateOptions {
                dont_fragment: true,
                ..AllocateOptions::default()
            };
            let relayed = session.allocate_with(asking).expect("an allocation");
            session.create_permission(address).expect("a permission");
            session.post_unfragmented(address, &[7; 1400]);
            assert_eq!(session.loss(), (address, fragmentation_needed(MTU)));
            // A datagram that fits arrives whole, one that may be fragmented arrives in fragments.
            // An earlier report of the MTU changes neither.
            session.post_unfragmented(address, &[7; FITS]);
            assert_hears(&peer, relayed, &[7; FITS]);
            session.post(address, &[7; 1400]);
            assert_hears(&peer, relayed, &[7; 1400]);
            session.post_unfragmented(address, &[7; FITS + 1]);
            assert_eq!(session.loss(), (address, fragmentation_needed(MTU)));
            session.assert_nothing_else_comes();
        }
    });
}

/// The way is long: the server has sent another datagram since, which may be fragmented.
#[test]
fn what_a_router_says_of_a_whole_datagram_is_told_however_late_it_comes() {
    serving(Setup::default(), |_, _| {
        let mut wire = Capture::of(V4);
        let (mut session, _) = LiveClient::over(Transport::Udp, V4).allocated_of(V4);
        let (_peer, address) = peer_at(peer_of(V4));
        session.create_permission(address).expect("a permission");
        session.post_unfragmented(address, b"whole");
        let packet = wire.next(SERVER_V4.into(), address.ip());
        session.post(address, b"in pieces, if need be");
        wire.next(SERVER_V4.into(), address.ip());
        tell_unreachable(4, MTU, &packet.head, PEER_V4, SERVER_V4);
        assert_eq!(session.loss(), (address, fragmentation_needed(MTU)));
    });
}

/// Over IPv6 only hosts fragment: the server does as soon as it has been told of the MTU, unless a
/// client on a stream has asked it not to.
#[test]
fn what_is_too_big_for_an_ipv6_link_is_told_once_and_then_fragmented() {
    in_own_world(|world| {
        let far = far_host(MTU);
        let _server = world.serve(Setup::default());
        let (peer, address) = far.peer(FAR_V6);
        let (mut session, relayed) = LiveClient::over(Transport::Udp, V6).allocated_of(V6);
        session.create_permission(address).expect("a permission");
        session.post(address, &[7; 1400]);
        assert_eq!(session.loss(), (address, packet_too_big(MTU)));
        session.post(address, &[7; 1400]);
        assert_hears(&peer, relayed, &[7; 1400]);
        // Between datagrams DONT-FRAGMENT does not count over IPv6.
        session.post_unfragmented(address, &[7; 1400]);
        assert_hears(&peer, relayed, &[7; 1400]);

        let (mut session, _) = LiveClient::over(Transport::Tcp, V4).allocated_of(V6);
        session.create_permission(address).expect("a permission");
        session.post_unfragmented(address, &[7; 1400]);
        assert_eq!(session.loss(), (address, packet_too_big(MTU)));
        session.assert_nothing_else_comes();
    });
}

#[test]
fn what_is_too_big_for_the_servers_own_link_is_told_once() {
    serving(Setup::default(), |_, _| {
        for (family, too_big) in [(V4, fragmentation_needed(1500)), (V6, packet_too_big(1500))] {
            let (mut session, relayed) = LiveClient::over(Transport::Tcp, V4).allocated_of(family);
            let (peer, address) = peer_at(peer_of(family));
            session.create_permission(address).expect("a permission");
            session.post_unfragmented(address, &[7; 2000]);
            let (lost, icmp) = session.loss();
            // The kernel does not give the port for its own losses over IPv4.
            assert_eq!((lost.ip(), icmp), (address.ip(), too_big));
            session.assert_nothing_else_comes();
            let mut wire = Capture::of(family);
            session.post(address, &[7; 2000]);
            assert_hears(&peer, relayed, &[7; 2000]);
            let packet = wire.next(relayed.ip(), address.ip());
            assert!(packet.is_fragment && !packet.dont_fragment, "{packet:?}");
        }
    });
}

#[test]
fn df_is_set_on_the_wire_where_it_is_asked_for_and_nowhere_else() {
    serving(Setup::default(), |_, _| {
        let mut wire = Capture::of(V4);
        for transport in [Transport::Udp, Transport::Tcp] {
            let (mut session, relayed) = LiveClient::over(transport, V4).allocated_of(V4);
            let (peer, address) = peer_at(peer_of(V4));
            let channel = session.bind_channel(address).expect("a channel");
            let mut df_of = |post: &dyn Fn(&mut LiveClient)| {
                post(&mut session);
                let packet = wire.next(SERVER_V4.into(), address.ip());
                (packet.payload.len(), packet.dont_fragment)
            };
            assert_eq!(df_of(&|it| it.post(address, b"1")), (1, false));
            assert_eq!(df_of(&|it| it.post_unfragmented(address, b"22")), (2, true));
            assert_eq!(df_of(&|it| it.post_on(channel, b"333")), (3, false));
            assert_eq!(df_of(&|it| it.post(address, b"4444")), (4, false));
            if transport == Transport::Udp {
                peer.send_to(b"back", relayed)
                    .expect("a route to the relay");
                session.receive();
                let client = session.address().ip();
                let mut packet = wire.next(SERVER_V4.into(), client);
                while !packet.payload.ends_with(b"back") {
                    packet = wire.next(SERVER_V4.into(), client);
                }
                assert!(!packet.dont_fragment);
            }
        }
    });
}

/// No socket shows the DF bit of a datagram that it received, which that translation must know.
#[test]
fn df_is_not_promised_for_translation_from_ipv4_datagrams_to_ipv6() {
    serving(Setup::default(), |_, _| {
        let ask = |transport, client: AddressFamily| {
            LiveClient::over(transport, client)
                .allocate_with(AllocateOptions {
                    family: Some(V6),
                    dont_fragment: true,
                    ..AllocateOptions::default()
                })
                .map(drop)
        };
        assert_eq!(ask(Transport::Udp, V4), Err(Code(420)));
        assert_eq!(ask(Transport::Udp, V6), Ok(()));
        assert_eq!(ask(Transport::Tcp, V4), Ok(()));
    });
}

/// The MTU of the narrow link.
const MTU: u16 = 1300;
/// The largest payload that fits it over IPv4.
const FITS: usize = MTU as usize - 28;
/// Few enough for the limits of the host, many enough for every order of events.
const ROUNDS: u32 = 50;
