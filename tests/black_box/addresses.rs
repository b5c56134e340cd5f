//! The addresses of the server's host come, change and go while it runs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    machine::configure,
    program::{Program, here},
    server::{PORT, Server, hairpin_by, serving},
    setup::Setup,
    socket::{assert_hears, peer_at},
    wait_for,
    world::{ALTERNATE_V4, CLIENT_V4, PEER_V4, SERVER_V4, World, in_own_world},
};
use serde_json::Value;
use tempfile::TempDir;
use wire::AddressFamily;

use crate::admin::{Asked, place};

#[test]
fn an_address_that_comes_is_denied_within_a_second_and_what_was_granted_for_it_ends() {
    serving(Setup::default(), |world, server| {
        let (mut session, _) = LiveClient::udp().allocated();
        assert_eq!(session.create_permission(at("9.9.9.9")), Ok(()));
        let channel = session.bind_channel(at("9.9.9.9")).expect("a channel");
        session.post(at("9.9.9.9"), b"still far");
        let come = "address add 9.9.N.9/32 dev server0";
        assert_soon(world, &mut session, come, "9.9.N.9", DENIED);
        session.post_on(channel, b"no longer");
        session.post(at("9.9.9.9"), b"no longer");
        assert_eq!(session.refresh(MINUTE), Ok(()));
        let ended = server.stop();
        let dropped = ["no-channel", "no-permission"].map(|cause| ended.dropped(cause));
        assert_eq!(dropped, [1, 1]);
    });
}

#[test]
fn what_the_kernel_takes_for_its_own_is_denied_network_by_network() {
    serving(Setup::default(), |world, _| {
        let (mut session, _) = LiveClient::udp().allocated();
        for (how, denied, neighbour) in [
            ("route add local 9.N.8.0/23 dev lo", "9.N.9.77", "9.9.10.1"),
            (
                "address add 8.N.8.1/24 brd + dev server0",
                "8.N.8.255",
                "8.9.8.2",
            ),
            ("address add 8.N.4.1/24 dev lo", "8.N.4.77", "8.9.5.1"),
        ] {
            assert_soon(world, &mut session, how, denied, DENIED);
            assert_eq!(session.create_permission(at(neighbour)), Ok(()), "{how}");
        }
        let mut explain = hairpin_by(|program| world.on_server_host(program));
        explain.args(["policy", "explain", "9.9.9.77"]);
        let explained = Program::run(explain, PATIENCE);
        assert_eq!(explained.status.code(), Some(1), "{}", explained.output);
        assert!(explained.output.contains("belongs to this host"));
        // It leads there no more, and is a peer like any other.
        for number in NUMBERS {
            let again = format!("route replace local 9.{number}.8.0/23 dev lo");
            change(world, &again);
            time_until(&mut session, &format!("9.{number}.9.77"), DENIED);
        }
        let gone = "route del local 9.N.8.0/23 dev lo";
        assert_soon(world, &mut session, gone, "9.N.9.77", Ok(()));
        let (mut session, _) = LiveClient::udp().allocated_of(AddressFamily::V6);
        let mut router = world.on_server_host("sh");
        router.args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
        Program::succeed(router);
        let anycast = "address add 2620:fe:0:N::1/64 dev server0 nodad";
        assert_soon(world, &mut session, anycast, "2620:fe:0:N::", DENIED);
    });
}

#[test]
fn changes_that_come_faster_than_word_of_them_are_followed_whole() {
    serving(Setup::default(), |world, _| {
        let (mut session, _) = LiveClient::udp().allocated();
        let routes = |verb: &str| -> String {
            let nets = (0..20_000).map(|net| format!("20.{}.{}.0", net / 100, net % 100));
            nets.map(|net| format!("route {verb} local {net}/24 dev lo\n"))
                .collect()
        };
        change(world, &routes("add"));
        time_until(&mut session, "20.199.99.1", DENIED);
        assert_eq!(session.create_permission(at("20.0.0.1")), Err(Code(403)));
        assert_eq!(session.create_permission(at("20.0.100.1")), Ok(()));
        let mut sockets = world.on_server_host("cat");
        sockets.arg("/proc/net/netlink");
        let sockets = Program::succeed(sockets);
        let drops = sockets
            .lines()
            .filter_map(|line| line.split_whitespace().nth(8)?.parse::<u64>().ok());
        println!("word that was lost: {}", drops.sum::<u64>());
        change(world, &routes("del"));
        time_until(&mut session, "20.199.99.1", Ok(()));
    });
}

#[test]
fn no_temporary_ipv6_address_is_relayed_from() {
    in_own_world(|world| {
        let on_server_host = |script: &str| {
            let mut shell = world.on_server_host("sh");
            shell.args(["-c", script]);
            Program::succeed(shell)
        };
        on_server_host("echo 2 > /proc/sys/net/ipv6/conf/server0/use_tempaddr");
        // The server hears of each of them twice, as on most hosts.
        on_server_host("echo 1 > /proc/sys/net/ipv6/conf/server0/accept_dad");
        change(
            world,
            &format!(
                "address flush dev server0 scope global\naddress add {SERVER_V4}/24 dev server0\nroute add default via {CLIENT_V4}"
            ),
        );
        let server = world.serve(Setup::at(&[SocketAddr::new(SERVER_V4.into(), PORT)], &[]));
        let mut session = LiveClient::udp();
        assert_eq!(session.allocate_of(AddressFamily::V6), Err(Code(440)));
        // The kernel makes temporary ones of its network, and prefers them.
        let lasting = "address add 2001:db8:51::1/64 dev server0 nodad mngtmpaddr valid_lft 7200 preferred_lft 3600";
        change(world, lasting);
        wait_for("a temporary address", PATIENCE, || {
            let all = on_server_host("ip -6 address show dev server0");
            (all.contains("temporary") && !all.contains("tentative")).then_some(())
        });
        let chosen = on_server_host("ip -6 route get 2606:4700:4700::1111");
        assert!(!chosen.contains("src 2001:db8:51::1 "), "{chosen}");
        server.wait_for_line(&["relaying from now on", "2001:db8:51::1"]);
        // The server has heard of the temporary one, too.
        thread::sleep(SECOND);
        let (_, relayed) = LiveClient::udp().allocated_of(AddressFamily::V6);
        assert_eq!(relayed.ip().to_string(), "2001:db8:51::1");
    });
}

#[test]
fn a_listener_and_a_relay_address_that_come_late_are_served_when_they_come() {
    in_own_world(|world| {
        let late = IpAddr::from(LATE_V4);
        let listen = [SERVER_V4.into(), late].map(|ip: IpAddr| SocketAddr::new(ip, PORT));
        let place = place();
        let socket = place.path().join("admin.sock");
        let socket = socket.display();
        let keys = format!("peers.allow = ['{PEER_V4}']\nadmin.socket = '{socket}'");
        let server = world.serve(Setup::at(&listen, &[late]).with(&keys));
        let asked = Asked::begin(world, &server, &place);
        // Each address has a listener over UDP and one over TCP.
        let assert_listed = |list: &str, listen: SocketAddr| {
            let status = asked.json(&["status"]);
            let listed = status[list].as_array().into_iter().flatten();
            let is_it = |it: &&Value| it[1].as_str() == Some(&listen.to_string());
            assert_eq!(listed.filter(is_it).count(), 2, "{status}");
        };
        let ready = || {
            let mut curl = world.on_server_host("curl");
            curl.args(["-s", "-w", "%{http_code}", "--unix-socket"]);
            curl.arg(asked.socket()).arg("http://hairpin/ready");
            Program::succeed(curl)
        };
        server.wait_for_line(&[
            "WARN",
            &LATE_V4.to_string(),
            "does not have the address yet",
        ]);
        let log = server.log();
        let mut listening = log.lines().filter(|line| line.contains("server.listening"));
        assert!(
            listening.all(|line| !line.contains(&LATE_V4.to_string())),
            "{log}"
        );
        assert_listed("listeners", listen[0]);
        assert_listed("awaited", listen[1]);
        assert_eq!(ready(), "awaiting an address\n503");
        let mut early = LiveClient::to(listen[0], client::Transport::Udp);
        assert_eq!(early.allocate(), Err(Code(508)));
        change(world, &format!("address add {LATE_V4}/24 dev server0"));
        server.wait_for_line(&[&LATE_V4.to_string(), "has come, and is served"]);
        assert_eq!(ready(), "ready\n200");
        assert_listed("listeners", listen[1]);
        let late = LiveClient::to(listen[1], client::Transport::Udp);
        let (mut session, relayed) = late.allocated();
        assert_eq!(relayed.ip(), LATE_V4);
        let (peer, address) = peer_at(PEER_V4);
        assert_eq!(session.create_permission(address), Ok(()));
        session.send(address, b"at last");
        assert_hears(&peer, relayed, b"at last");
        // A blink ends nothing. Gone for good, it takes the allocation along.
        change(world, &format!("address del {LATE_V4}/24 dev server0"));
        thread::sleep(SECOND);
        change(world, &format!("address add {LATE_V4}/24 dev server0"));
        thread::sleep(6 * SECOND);
        session.send(address, b"after a blink");
        assert_hears(&peer, relayed, b"after a blink");
        change(world, &format!("address del {LATE_V4}/24 dev server0"));
        server.wait_for_line(&["allocation.ended", "address-gone"]);
        server.wait_for_line(&[&LATE_V4.to_string(), "allocations=1", "have ended"]);
    });
}

#[test]
fn relay_addresses_that_nobody_wrote_follow_the_default_route() {
    in_own_world(|world| {
        let listen = [SocketAddr::new(SERVER_V4.into(), PORT)];
        let setup = Setup::at(&listen, &[]).with("allocation.mobility = true");
        let server = world.serve(setup);
        let (mut before, relayed) = LiveClient::udp().allocated();
        assert_eq!(relayed.ip(), SERVER_V4);
        world.add_alternates();
        let replaced = format!("route replace default via {CLIENT_V4} src {ALTERNATE_V4}");
        change(world, &replaced);
        server.wait_for_line(&["relaying from now on", &ALTERNATE_V4.to_string()]);
        let (mut after, relayed) = LiveClient::udp().allocated();
        assert_eq!(relayed.ip(), ALTERNATE_V4);
        for session in [&mut before, &mut after] {
            assert_eq!(session.refresh(MINUTE), Ok(()));
        }
    });
}

#[test]
fn a_host_without_any_address_is_served_from_when_it_has_one() {
    in_own_world(|world| {
        change(world, "address flush dev server0");
        let any = [SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)];
        let server = world.serve(Setup::at(&any, &[]));
        server.wait_for_line(&["WARN", "no address but loopback"]);
        change(world, &format!("address add {SERVER_V4}/24 dev server0"));
        server.wait_for_line(&["relaying from now on", &SERVER_V4.to_string()]);
        let (_, relayed) = LiveClient::udp().allocated();
        assert_eq!(relayed.ip(), SERVER_V4);
    });
}

#[test]
fn the_external_address_is_what_a_stun_server_tells() {
    in_own_world(|world| {
        let outside = SocketAddr::new(CLIENT_V4.into(), 3479);
        let _outside = Server::start(Setup::at(&[outside], &[CLIENT_V4.into()]));
        world.add_alternates();
        world.filter_server(&format!(
            "add table ip lab; \
             add chain ip lab leaving {{ type nat hook postrouting priority 100; }}; \
             add rule ip lab leaving ip daddr {CLIENT_V4} udp dport 3479 snat to {ALTERNATE_V4}"
        ));
        let setup = Setup::at(
            &[SocketAddr::new(SERVER_V4.into(), PORT)],
            &[SERVER_V4.into()],
        );
        let auto = format!("relay.external = 'auto'\nrelay.external-from = 'stun:{outside}'");
        let _server = world.serve(setup.with(&auto));
        let (_, relayed) = LiveClient::udp().allocated();
        assert_eq!(relayed.ip(), ALTERNATE_V4);
    });
}

#[test]
fn a_server_that_cannot_ask_the_kernel_does_not_start() {
    in_own_world(|_| {
        let files = TempDir::new().expect("a temporary directory");
        let without_netlink = |program: &str| {
            let mut python = here("python3");
            python.args(["-c", WITHOUT_NETLINK, program]);
            python
        };
        let setup = Setup::at(
            &[SocketAddr::new(CLIENT_V4.into(), PORT)],
            &[CLIENT_V4.into()],
        );
        let ended = Program::run(setup.command(without_netlink, files.path()), PATIENCE);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        for words in [
            "cannot ask the kernel",
            "AF_NETLINK",
            "RestrictAddressFamilies=",
        ] {
            assert!(ended.output.contains(words), "{words}: {}", ended.output);
        }
    });
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), 9)
}

/// Changes the addresses or routes of the server's host.
#[track_caller]
fn change(world: &World, commands: &str) {
    configure(world.on_server_host("ip"), &format!("{commands}\n"));
}

/// Makes a change, by which a permission that was answered otherwise is answered so within a second. Where a busy
/// machine needs longer it is measured again, with another number for `N`.
#[track_caller]
fn assert_soon(world: &World, session: &mut LiveClient, how: &str, ip: &str, answer: Answer) {
    let mut tries = NUMBERS.into_iter().map(|number| {
        let with = |text: &str| text.replace('N', &number.to_string());
        let before = session.create_permission(at(&with(ip)));
        assert_ne!(before, answer, "{how}");
        change(world, &with(how));
        time_until(session, &with(ip), answer)
    });
    assert!(tries.any(|took| took <= SECOND), "each is late: {how}");
}

/// How long it takes until a permission for an address is answered so.
#[track_caller]
fn time_until(session: &mut LiveClient, ip: &str, answer: Answer) -> Duration {
    let since = Instant::now();
    wait_for(&format!("{answer:?} for {ip}"), PATIENCE, || {
        (session.create_permission(at(ip)) == answer).then_some(())
    });
    let took = since.elapsed();
    println!("{answer:?} for {ip} after {took:?}");
    took
}

type Answer = Result<(), Code>;
const DENIED: Answer = Err(Code(403));
/// Those for `N`, the first one first.
const NUMBERS: [u8; 5] = [9, 10, 11, 12, 13];

/// Runs a program whose every socket of AF_NETLINK is refused, as a service without it in
/// `RestrictAddressFamilies=` sees it.
const WITHOUT_NETLINK: &str = "
import ctypes, os, platform, struct, sys
number = {'x86_64': 41, 'aarch64': 198}[platform.machine()]
ALLOW, REFUSE = 0x7fff0000, 0x00050000 | 97
program = b''.join(struct.pack('HBBI', *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, 16),
    (0x06, 0, 0, REFUSE), (0x06, 0, 0, ALLOW)])
buffer = ctypes.create_string_buffer(program)
header = struct.pack('HP', 6, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, header) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

/// An address that the server's host is given later.
const LATE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
