//! The peer policy, through the running server: an attempt on every class of denied address.

use std::net::{IpAddr, SocketAddr};

use lab::{
    live::{Code, LiveClient},
    program::Program,
    server::{PORT, serving},
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::{PEER_V4, PEER_V6, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::TempDir;
use wire::AddressFamily;

#[test]
fn no_class_of_denied_ipv4_address_is_reached() {
    serving(Setup::default(), |world, _| {
        let mut client = LiveClient::udp().allocated_of(AddressFamily::V4);
        for (class, ip) in DENIED_V4 {
            assert_denied(world, &mut client.0, class, ip);
        }
        assert_reached(world, &mut client, PEER_V4.into());
    });
}

#[test]
fn no_class_of_denied_ipv6_address_is_reached() {
    serving(Setup::default(), |world, _| {
        let mut client = LiveClient::udp().allocated_of(AddressFamily::V6);
        for (class, ip) in DENIED_V6 {
            assert_denied(world, &mut client.0, class, ip);
        }
        assert_reached(world, &mut client, PEER_V6.into());
    });
}

#[test]
fn the_servers_own_listeners_are_not_reached() {
    serving(Setup::default(), |world, _| {
        for (family, ip) in [
            (AddressFamily::V4, IpAddr::from(SERVER_V4)),
            (AddressFamily::V6, SERVER_V6.into()),
        ] {
            let (mut session, _) = LiveClient::udp().allocated_of(family);
            let listener = SocketAddr::new(ip, PORT);
            assert_eq!(session.bind_channel(listener), Err(Code(403)));
            // Relayed addresses have the same IP address, so a permission for it is granted.
            assert_eq!(session.create_permission(listener), Ok(()));
            assert_eq!(sent_during(world, || session.send(listener, b"psst")), 1);
        }
    });
}

#[test]
fn a_server_without_configuration_is_closed_too() {
    in_own_world(|world| {
        let home = TempDir::new().expect("a temporary directory");
        let server = world.serve_unconfigured(home.path());
        let printed = &server.printed_ice_servers()[0];
        let [user, password] = ["username", "credential"].map(|name| printed[name].as_str());
        let (user, password) = user.zip(password).expect("a credential");
        let (mut session, _) = LiveClient::udp().login(user, password).allocated();
        for (class, ip) in DENIED_V4 {
            assert_denied(world, &mut session, class, ip);
        }
    });
}

#[track_caller]
fn assert_denied(world: &World, session: &mut LiveClient, class: &str, ip: &str) {
    let peer = SocketAddr::new(ip.parse().expect("an address"), 9);
    let answers = sent_during(world, || {
        assert_eq!(
            session.create_permission(peer),
            Err(Code(403)),
            "{class}: a permission"
        );
        assert_eq!(
            session.bind_channel(peer),
            Err(Code(403)),
            "{class}: a channel"
        );
        session.send(peer, b"psst");
    });
    assert_eq!(
        answers, 3,
        "{class}: more left the server than the answers to three requests"
    );
}

/// The counter-check: an allowed peer is reached, and counted.
fn assert_reached(world: &World, (session, relayed): &mut (LiveClient, SocketAddr), ip: IpAddr) {
    let (peer, address) = peer_at(ip);
    let sent = sent_during(world, || {
        assert_eq!(session.create_permission(address), Ok(()));
        session.send(address, b"psst");
    });
    assert_eq!(sent, 3);
    assert_hears(&peer, *relayed, b"psst");
}

/// How many UDP datagrams the server's host sent meanwhile, to any address, loopback included.
fn sent_during(world: &World, act: impl FnOnce()) -> u64 {
    let count = || {
        let mut counters = world.on_server_host("cat");
        counters.args(["/proc/net/snmp", "/proc/net/snmp6"]);
        udp_sent(&Program::succeed(counters)).expect("the kernel's counters")
    };
    let before = count();
    act();
    count() - before
}

/// Adds up `OutDatagrams` of IPv4, a column under its name, and of IPv6, a line of its own.
fn udp_sent(counters: &str) -> Option<u64> {
    let rows = |name| {
        counters
            .lines()
            .filter_map(move |line| line.strip_prefix(name))
    };
    let mut udp = rows("Udp: ").map(str::split_whitespace);
    let (names, values) = (udp.next()?, udp.next()?);
    let (_, v4) = names
        .zip(values)
        .find(|(name, _)| *name == "OutDatagrams")?;
    let v6 = rows("Udp6OutDatagrams").next()?.trim();
    Some(v4.parse::<u64>().ok()? + v6.parse::<u64>().ok()?)
}

const DENIED_V4: [(&str, &str); 11] = [
    ("this network", "0.0.0.0"),
    ("private", "10.0.0.5"),
    ("private", "172.16.0.5"),
    ("private", "192.168.0.5"),
    ("shared by a carrier", "100.64.0.5"),
    ("loopback", "127.0.0.1"),
    (
        "link-local, where clouds keep their metadata",
        "169.254.169.254",
    ),
    ("benchmarking", "198.18.0.5"),
    ("multicast", "224.0.0.251"),
    ("reserved", "240.0.0.5"),
    ("broadcast", "255.255.255.255"),
];

const DENIED_V6: [(&str, &str); 13] = [
    ("unspecified", "::"),
    ("loopback", "::1"),
    ("unique local", "fd00::5"),
    ("link-local", "fe80::5"),
    ("multicast", "ff02::fb"),
    ("discard-only", "100::5"),
    ("IPv4-mapped", "::ffff:127.0.0.1"),
    ("IPv4-compatible", "::127.0.0.1"),
    ("6to4", "2002:7f00:1::1"),
    // The client's address in a Teredo address is inverted.
    ("Teredo", "2001:0:5ef5:79fb:0:0:80ff:fffe"),
    ("NAT64", "64:ff9b::127.0.0.1"),
    ("local-use NAT64", "64:ff9b:1::127.0.0.1"),
    // In a public net, so that only the interface identifier gives it away.
    ("ISATAP", "2a00:1450:4001:800:0:5efe:127.0.0.1"),
];
