//! Worlds: two hosts joined by a wire, made for one test and removed with it.
//!
//! The test and its clients live on one host, the server on the other, so that nothing between
//! them is a loopback address, which browsers do not use and the server refuses to relay to.
//! All addresses come from the documentation ranges. Linux makes such hosts of network namespaces,
//! for which the test runs once more inside fresh ones.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
    time::Duration,
};

use wire::AddressFamily;

use crate::{
    machine::{Machine, configure, filter},
    namespaces::{LIFETIME, in_own_namespaces},
    program::{Program, here},
};

/// The server's address.
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The same over IPv6.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 1);
/// The address that a client has unless it asks for another.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The same over IPv6.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 2);
/// Peers share the clients' host but not their net, which the server need not relay to.
pub const PEER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// The same over IPv6.
pub const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x203, 0, 0, 0, 0, 9);

/// A second address of the server's host, which only some servers are given.
pub const ALTERNATE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
/// The same over IPv6.
pub const ALTERNATE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, 3);

/// Addresses behind the clients' host, for a test that puts a host there.
pub const FAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// The same over IPv6.
pub const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x192, 0, 0, 0, 0, 9);

/// The server's address of a family.
pub fn server_of(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::V4 => SERVER_V4.into(),
        AddressFamily::V6 => SERVER_V6.into(),
    }
}

/// The peers' address of a family.
pub fn peer_of(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::V4 => PEER_V4.into(),
        AddressFamily::V6 => PEER_V6.into(),
    }
}

/// The client's side of the wire. The other side is the server's host.
pub struct World {
    server_host: Machine,
}

/// Runs the test `promise` in a world of its own. Call it as the test's only statement.
pub fn in_own_world<F: FnOnce(&World)>(promise: F) {
    in_own_world_for(LIFETIME, promise);
}

/// The same for a test that may take as long as `lifetime`.
pub fn in_own_world_for<F: FnOnce(&World)>(lifetime: Duration, promise: F) {
    in_own_namespaces::<F>(lifetime, || promise(&World::new()));
}

impl World {
    /// A command that will run on the server's host.
    pub fn on_server_host(&self, program: &str) -> Command {
        self.server_host.command(program)
    }

    /// The server's host.
    pub const fn server_host(&self) -> &Machine {
        &self.server_host
    }

    /// A socket for datagrams at an address of the server's host, and the whole address.
    pub fn server_side_socket(&self, ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
        self.server_host.peer(ip)
    }

    /// A listener at an address of the server's host.
    pub fn server_side_listener(&self, at: SocketAddr) -> TcpListener {
        self.server_host.listen(at).expect("a free port")
    }

    /// Gives the server's host its second addresses.
    pub fn add_alternates(&self) {
        let addresses = format!(
            "address add {ALTERNATE_V4}/24 dev server0\n\
             address add {ALTERNATE_V6}/64 dev server0 nodad\n"
        );
        configure(self.on_server_host("ip"), &addresses);
        let neighbour = format!("neighbor add {ALTERNATE_V6} lladdr {SERVER_MAC} dev client0\n");
        configure(here("ip"), &neighbour);
    }

    /// Drops packets that come to the client's host and match a rule of nftables.
    pub fn drop_incoming(&self, rule: &str) {
        filter(
            here("nft"),
            &format!(
                "add table inet lab; \
                 add chain inet lab incoming {{ type filter hook input priority 0; }}; \
                 add rule inet lab incoming {rule} drop"
            ),
        );
    }

    /// Gives the server's host a table of nftables.
    pub fn filter_server(&self, table: &str) {
        filter(self.on_server_host("nft"), table);
    }

    /// Shows programs on the server's host a bound of what all UDP sockets hold. The kernel has one bound for all
    /// network namespaces, which it shows to the first alone, so it stays as it is.
    pub fn show_udp_memory(&self, bytes: u64) {
        let mut shell = self.on_server_host("sh");
        shell.args(["-c", SHOW_UDP_MEMORY, "sh", &bytes.to_string()]);
        Program::succeed(shell);
    }

    pub(crate) fn new() -> Self {
        let world = Self {
            server_host: Machine::make(),
        };
        configure(here("ip"), &client_links(world.server_host.pid()));
        configure(world.on_server_host("ip"), &server_links());
        world
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

/// Puts a directory with the same settings and one more in place of the kernel's. Some cannot be read.
const SHOW_UDP_MEMORY: &str = "
set -e
settings=/proc/sys/net/ipv4
copy=$(mktemp -d)
cp -r $settings/. $copy 2>/dev/null || true
pages=$(($1 / $(getconf PAGESIZE)))
printf '%s\\t%s\\t%s\\n' $((pages / 2)) $((pages / 4 * 3)) $pages > $copy/udp_mem
mount -t tmpfs tmpfs $settings
cp -r $copy/. $settings
rm -r $copy
";

/// Known to both sides beforehand, as discovering an IPv6 neighbour on a new link takes a second.
const CLIENT_MAC: &str = "02:00:00:00:00:02";
const SERVER_MAC: &str = "02:00:00:00:00:01";
