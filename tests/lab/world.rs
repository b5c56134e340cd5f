//! Worlds: two hosts joined by a wire, made for one test and removed with it.
//!
//! The test and its clients live on one host, the server on the other, so that nothing between
//! them is a loopback address, which browsers do not use and the server refuses to relay to.
//! All addresses come from the documentation ranges. Linux makes such hosts of network namespaces,
//! for which the test runs once more inside fresh ones.

use std::{
    any::type_name,
    env,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::{self, Command},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::NamedTempFile;

use super::{
    PATIENCE,
    program::Program,
    server::{Server, Setup},
    wait_for,
};

pub(crate) const SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 1);
/// The address that a client has unless it asks for another.
pub(crate) const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(crate) const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 2);
/// Peers share the clients' host but not their net, which the server need not relay to.
pub(crate) const PEER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
pub(crate) const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x203, 0, 0, 0, 0, 9);

/// A second address of the server's host, which only some servers are given.
pub(crate) const ALTERNATE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
pub(crate) const ALTERNATE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 3);

/// Addresses behind the clients' host, for a test that puts a host there.
pub(crate) const FAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(crate) const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x192, 0, 0, 0, 0, 9);

/// The client's side of the wire. The other side is the server's host.
pub(crate) struct World {
    server_host: Host,
}

/// A host of its own, which is removed with this value.
pub(crate) struct Host {
    idle: Program,
}

/// Runs the test `promise` in a world of its own. Call it as the test's only statement.
pub(crate) fn in_own_world<F: FnOnce(&World)>(promise: F) {
    in_own_namespaces(&test_name::<F>(), LIFETIME, || promise(&World::new()));
}

/// The same for a test that may take as long as `lifetime`.
#[allow(dead_code, reason = "each test binary needs another part of the lab")]
pub(crate) fn in_own_world_for<F: FnOnce(&World)>(lifetime: Duration, promise: F) {
    in_own_namespaces(&test_name::<F>(), lifetime, || promise(&World::new()));
}

/// Runs the test of this name in fresh namespaces, where there is no link yet.
pub(crate) fn in_own_namespaces(test: &str, lifetime: Duration, promise: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        end_after(lifetime);
        promise();
    } else {
        run_inside(test);
    }
}

/// The name under which the test harness knows the function around the closure `F`.
pub(crate) fn test_name<F>() -> String {
    let path = type_name::<F>();
    let path = path.strip_suffix("::{{closure}}").expect("a closure");
    let (_binary, test) = path.split_once("::").expect("a path");
    test.to_owned()
}

impl World {
    /// Starts a server on the server's host and waits until it answers.
    pub(crate) fn serve(&self, setup: Setup) -> Server {
        Server::start(self, setup)
    }

    /// The same, once `prepare` has put files of its own beside the configuration.
    pub(crate) fn serve_prepared(&self, setup: Setup, prepare: impl FnOnce(&Path)) -> Server {
        Server::start_prepared(self, setup, prepare)
    }

    /// The same without a configuration.
    pub(crate) fn serve_unconfigured(&self) -> Server {
        Server::start_unconfigured(self)
    }

    /// A command that will run on the server's host.
    pub(crate) fn on_server_host(&self, program: &str) -> Command {
        self.server_host.command(program)
    }

    /// Gives the server's host its second addresses.
    pub(crate) fn add_alternates(&self) {
        let addresses = format!(
            "address add {ALTERNATE_V4}/24 dev server0\n\
             address add {ALTERNATE_V6}/64 dev server0 nodad\n"
        );
        configure(self.on_server_host("ip"), &addresses);
        let neighbour = format!("neighbor add {ALTERNATE_V6} lladdr {SERVER_MAC} dev client0\n");
        configure(Command::new("ip"), &neighbour);
    }

    /// Drops packets that come to the client's host and match a rule of nftables.
    pub(crate) fn drop_incoming(&self, rule: &str) {
        let mut nft = Command::new("nft");
        nft.arg(format!(
            "add table inet lab; \
             add chain inet lab incoming {{ type filter hook input priority 0; }}; \
             add rule inet lab incoming {rule} drop"
        ));
        let ended = Program::run(nft, "nftables", PATIENCE);
        assert!(ended.status.success(), "nft failed: {}", ended.output);
    }

    /// Gives the server's host a table of nftables.
    #[allow(dead_code, reason = "each test binary needs another part of the lab")]
    pub(crate) fn filter_server(&self, table: &str) {
        let mut nft = self.on_server_host("nft");
        nft.arg(table);
        let ended = Program::run(nft, "nftables", PATIENCE);
        assert!(ended.status.success(), "nft failed: {}", ended.output);
    }

    fn new() -> Self {
        let world = Self {
            server_host: Host::new(),
        };
        configure(Command::new("ip"), &client_links(world.server_host.pid()));
        configure(world.on_server_host("ip"), &server_links());
        world
    }
}

impl Host {
    /// A host without any link.
    pub(crate) fn new() -> Self {
        let mut idle = Command::new("unshare");
        idle.args(["--net", "sh", "-c", "echo apart; exec sleep infinity"]);
        let idle = Program::start(idle, "util-linux");
        wait_for("a host", PATIENCE, || {
            idle.output().contains("apart").then_some(())
        });
        Self { idle }
    }

    /// A command that will run there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid()));
        command.arg("--").arg(program);
        command
    }

    /// A socket there. It stays in that network, whichever thread uses it.
    #[allow(dead_code, reason = "each test binary needs another part of the lab")]
    pub(crate) fn socket(&self, ip: IpAddr) -> UdpSocket {
        let pid = self.pid();
        let made = thread::spawn(move || -> io::Result<UdpSocket> {
            let there = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
            UdpSocket::bind((ip, 0))
        });
        made.join().expect("no panic").expect("a free port")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.idle.pid().as_raw_nonzero().get()
    }
}

fn client_links(server_host: i32) -> String {
    format!(
        "link set lo up\n\
         link add client0 address {CLIENT_MAC} type veth \
             peer name server0 address {SERVER_MAC} netns {server_host}\n\
         address add {CLIENT_V4}/24 dev client0\n\
         address add {PEER_V4}/32 dev client0\n\
         address add {CLIENT_V6}/64 dev client0 nodad\n\
         address add {PEER_V6}/128 dev client0 nodad\n\
         link set client0 up\n\
         neighbor add {SERVER_V6} lladdr {SERVER_MAC} dev client0\n\
         route add default via {SERVER_V4} src {CLIENT_V4}\n\
         route add default via {SERVER_V6} src {CLIENT_V6}\n"
    )
}

/// The server's host has routes to everywhere, so that a datagram that is not sent was held back by
/// the server.
fn server_links() -> String {
    format!(
        "link set lo up\n\
         address add {SERVER_V4}/24 dev server0\n\
         address add {SERVER_V6}/64 dev server0 nodad\n\
         link set server0 up\n\
         neighbor add {CLIENT_V6} lladdr {CLIENT_MAC} dev server0\n\
         route add default via {CLIENT_V4}\n\
         route add default via {CLIENT_V6}\n"
    )
}

pub(crate) fn configure(mut ip: Command, links: &str) {
    let batch = NamedTempFile::new().expect("a temporary file");
    fs::write(batch.path(), links).expect("the temporary file is ours");
    ip.arg("-batch").arg(batch.path());
    let ended = Program::run(ip, "iproute2", PATIENCE);
    assert!(ended.status.success(), "ip failed: {}", ended.output);
}

/// Runs this test once more, inside namespaces that end with it.
fn run_inside(test: &str) {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .arg(env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1");
    let output = unshare.output().expect("unshare, of Debian's util-linux");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let [stdout, stderr] = &text;
    assert!(
        !stderr.starts_with("unshare:"),
        "no namespaces here: {stderr}run the tests as root, or allow unprivileged user namespaces"
    );
    // A name that matches no test would pass as well, so the output must show that one ran.
    let passed = output.status.success() && stdout.contains("test result: ok. 1 passed");
    assert!(passed, "{stdout}{stderr}{}", output.status);
    // Measurements, for `--nocapture`.
    print!("{stdout}");
}

/// A last resort: every wait has its own, shorter patience.
fn end_after(lifetime: Duration) {
    thread::spawn(move || {
        thread::sleep(lifetime);
        eprintln!("the test did not end within {lifetime:?}");
        process::exit(1);
    });
}

/// Known to both sides beforehand, as discovering an IPv6 neighbour on a new link takes a second.
const CLIENT_MAC: &str = "02:00:00:00:00:02";
const SERVER_MAC: &str = "02:00:00:00:00:01";
/// Set in the environment of a test that runs in its own world.
const INSIDE: &str = "HAIRPIN_TEST_INSIDE";
/// The lifetime of a test, unless it asks for more.
pub(crate) const LIFETIME: Duration = Duration::from_secs(120);
