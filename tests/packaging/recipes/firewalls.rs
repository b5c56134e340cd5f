//! `firewall.md`: the lines for ufw, nftables and firewalld, on the server's host.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use client::Transport;
use lab::{
    PATIENCE,
    program::{Program, here},
    socket::peer_at,
    wait_for,
    world::{PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world, in_own_world_for},
};
use tempfile::TempDir;
use wire::AddressFamily;

use super::{Directory, Page, assert_meet, base, client, configuration};

/// Clients and peers get through, and what the page does not open stays closed.
fn assert_only_what_is_needed_is_open(world: &World, directory: &Directory) {
    let _server = directory.serve(world);
    for port in [443, 3478] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let over_v4 = client(SERVER_V4, port, transport);
            let over_v6 = client(SERVER_V6, port, transport);
            assert_meet(over_v4, over_v6, AddressFamily::V4);
        }
    }
    // A peer that the server's host has not written to: no tracked connection lets it in.
    let (mut client, relayed) = client(SERVER_V4, 3478, Transport::Udp).allocated();
    let (peer, address) = peer_at(PEER_V4);
    client.create_permission(address).expect("a permission");
    peer.send_to(b"hello", relayed).expect("a route");
    assert_eq!(client.receive(), (address, b"hello".to_vec()));
    // Something listens at another port, and is not reached.
    let closed = SocketAddr::new(SERVER_V4.into(), 8080);
    let _listener = world.server_side_listener(closed);
    let reached = TcpStream::connect_timeout(&closed, Duration::from_millis(500));
    assert!(reached.is_err(), "port 8080 is open");
}

/// The base configuration, which relays to the lab's peers as well.
fn directory() -> Directory {
    let peers = format!("[peers]\nallow = ['{PEER_V4}']\n");
    Directory::certified(&configuration(&peers))
}

/// Runs lines of the page by a shell of the server's host, where everybody is root.
fn run(mut shell: Command, lines: &str) {
    shell.args(["-ec", &lines.replace("sudo ", "")]);
    let told = Program::run(shell, SLOW);
    assert!(told.status.success(), "{lines}{}", told.output);
}

/// Puts a directory of this test's own over one of the machine, for this test alone.
fn cover(directory: &str, upper: &Path) {
    let [changed, work] = ["changed", "work"].map(|name| {
        let path = upper.join(format!("{}-{name}", directory.replace('/', "-")));
        fs::create_dir_all(&path).expect("the directory is ours");
        path.display().to_string()
    });
    let mut mount = here("mount");
    mount.args(["-t", "overlay", "overlay", "-o"]);
    mount.arg(format!(
        "lowerdir={directory},upperdir={changed},workdir={work}"
    ));
    mount.arg(directory);
    Program::succeed(mount);
}

/// A directory for overlays, which may lie on no other overlay.
fn upper() -> TempDir {
    let place = TempDir::new().expect("a temporary directory");
    let mut mount = here("mount");
    mount.args(["-t", "tmpfs", "tmpfs"]).arg(place.path());
    Program::succeed(mount);
    place
}

#[test]
fn nftables_lets_clients_and_peers_through_and_nobody_else() {
    in_own_world(|world| {
        let page = Page::read("firewall");
        let file = TempDir::new().expect("a temporary directory");
        let path = file.path().join("nftables.conf");
        fs::write(&path, page.only("nftables", "nft")).expect("the directory is ours");
        let mut nft = world.on_server_host("nft");
        nft.arg("-f").arg(&path);
        Program::succeed(nft);
        assert_only_what_is_needed_is_open(world, &directory());
    });
}

#[test]
fn ufw_lets_clients_and_peers_through_and_nobody_else() {
    in_own_world_for(SLOW, |world| {
        let upper = upper();
        for directory in ["/etc/ufw", "/etc/default", "/usr/lib/ufw", "/run"] {
            cover(directory, upper.path());
        }
        run(
            world.on_server_host("bash"),
            Page::read("firewall").only("ufw", "sh"),
        );
        // The lines of other pages open a port for somebody else.
        for page in ["janus", "two-realms"] {
            let page = Page::read(page);
            let lines = page.under("", "sh").into_iter();
            for line in lines.filter(|lines| lines.contains("ufw")) {
                run(world.on_server_host("bash"), line);
            }
        }
        assert_only_what_is_needed_is_open(world, &directory());
    });
}

#[test]
fn firewalld_lets_clients_and_peers_through_and_nobody_else() {
    in_own_world_for(SLOW, |world| {
        let upper = upper();
        // The doctor takes what is left in /run for a firewalld that runs.
        for directory in ["/etc/firewalld", "/run"] {
            cover(directory, upper.path());
        }
        let bus = upper.path().join("bus");
        let address = format!("unix:path={}", bus.display());
        let configuration = upper.path().join("bus.conf");
        let text = BUS.replace("ADDRESS", &address);
        fs::write(&configuration, text).expect("the directory is ours");
        let on_bus = |program: &str| {
            let mut command = world.on_server_host(program);
            command.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
            command
        };
        let mut daemon = here("dbus-daemon");
        daemon.arg("--nofork");
        daemon.arg(format!("--config-file={}", configuration.display()));
        let _bus = Program::start(daemon);
        wait_for("the bus", PATIENCE, || bus.exists().then_some(()));
        let mut firewalld = on_bus("firewalld");
        firewalld.args(["--nofork", "--nopid"]);
        let _firewalld = Program::start(firewalld);
        wait_for("firewalld", SLOW, || {
            let mut state = on_bus("firewall-cmd");
            state.arg("--state");
            Program::run(state, SLOW).status.success().then_some(())
        });
        let page = Page::read("firewall");
        run(on_bus("bash"), page.only("firewalld", "sh"));
        assert_only_what_is_needed_is_open(world, &directory());
    });
}

#[test]
fn every_cloud_is_told_the_ports_of_the_base_configuration() {
    let configuration: toml::Table = base().parse().expect("TOML");
    let listeners = configuration["listener"].as_array().expect("a list");
    let listen = listeners.iter().filter_map(|it| it["listen"].as_str());
    let mut ports: Vec<&str> = listen.filter_map(|it| it.rsplit(':').next()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports, ["3478", "443"]);
    let page = Page::read("firewall");
    for (cloud, rule) in [
        ("Amazon", amazon as Rule),
        ("Google", google),
        ("DigitalOcean", digital_ocean),
    ] {
        for line in page.only(cloud, "sh").lines() {
            for (protocol, first, last) in OPEN {
                let rule = rule(protocol, first, last);
                assert!(line.contains(&rule), "{cloud}: {rule} is not in {line}");
            }
        }
    }
}

/// The ports that the base configuration has: protocol, first and last.
const OPEN: [(&str, &str, &str); 5] = [
    ("udp", "443", "443"),
    ("tcp", "443", "443"),
    ("udp", "3478", "3478"),
    ("tcp", "3478", "3478"),
    ("udp", "49152", "65535"),
];

/// How a cloud spells a rule.
type Rule = fn(&str, &str, &str) -> String;

fn amazon(protocol: &str, first: &str, last: &str) -> String {
    format!("'IpProtocol={protocol},FromPort={first},ToPort={last},")
}

fn google(protocol: &str, first: &str, last: &str) -> String {
    format!("{protocol}:{}", range(first, last))
}

fn digital_ocean(protocol: &str, first: &str, last: &str) -> String {
    format!("protocol:{protocol},ports:{},", range(first, last))
}

fn range(first: &str, last: &str) -> String {
    if first == last {
        first.to_owned()
    } else {
        format!("{first}-{last}")
    }
}

/// Both are programs in Python, and start dozens of others.
const SLOW: Duration = Duration::from_secs(200);

/// A bus on which everybody may do everything.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>ADDRESS</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
