//! The net of these tests: the Internet, and homes that a router joins to it.
//!
//! The test's own host is the Internet: servers run on it, at addresses of its own, and it passes
//! on packets between homes. Every home has a router, which is a host of its own, and behind it the
//! host that probes and calls. A carrier's router may stand between. Addresses outside come from
//! the documentation ranges, those inside are such as homes and carriers have.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::{
    machine::{Machine, configure, filter},
    namespaces::{LIFETIME, in_own_namespaces},
    nat::Nat,
    program::{Program, here},
};

/// The Internet of one test.
pub struct Internet(());

/// A host behind a router. All of it is removed with this value.
pub struct Home {
    number: u8,
    /// The host, behind the router.
    pub host: Machine,
    router: Machine,
    _carrier: Option<Machine>,
    /// The host's own address.
    pub inside: Ipv4Addr,
    /// The address that the Internet sees.
    pub outside: Ipv4Addr,
}

/// Runs the test `promise` with an Internet of its own. Call it as the test's only statement.
pub fn on_the_internet<F: FnOnce(&Internet)>(promise: F) {
    on_the_internet_for(LIFETIME, promise);
}

/// The same for a test that may take as long as `lifetime`.
pub fn on_the_internet_for<F: FnOnce(&Internet)>(lifetime: Duration, promise: F) {
    in_own_namespaces::<F>(lifetime, || promise(&Internet::new()));
}

impl Internet {
    fn new() -> Self {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a namespace of our own");
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("a namespace of our own");
        let mut links = "link set lo up\n".to_owned();
        for last in SERVERS {
            links += &format!("address add {}/32 dev lo\n", server_v4(last));
            links += &format!("address add {}/128 dev lo nodad\n", server_v6(last));
        }
        configure(here("ip"), &links);
        Self(())
    }

    /// A home behind `nat`. `number`, from 1 on, tells it from the other homes of this Internet.
    pub fn home(&self, number: u8, nat: Nat) -> Home {
        let (host, router) = (Machine::make(), Machine::make());
        let outside = Ipv4Addr::new(203, 0, 113, number);
        let is_public = nat == Nat::None;
        let inside = if is_public {
            Ipv4Addr::new(192, 0, 2, 2)
        } else {
            Ipv4Addr::new(192, 168, number, 2)
        };
        let carrier = (nat == Nat::Carrier).then(Machine::make);
        configure(
            here("ip"),
            &uplink(number, carrier.as_ref().unwrap_or(&router).pid()),
        );
        if let Some(carrier) = &carrier {
            configure(carrier.command("ip"), &wan(outside));
            configure(carrier.command("ip"), &carrier_lan(router.pid()));
            configure(router.command("ip"), &carried_wan());
            routes(carrier, &Nat::PortRestricted.rules(outside, CARRIED));
        } else {
            configure(router.command("ip"), &wan(outside));
        }
        configure(router.command("ip"), &lan(inside, host.pid()));
        configure(host.command("ip"), &host_links(inside));
        let outside_of_router = if carrier.is_some() { CARRIED } else { outside };
        routes(&router, &nat.rules(outside_of_router, inside));
        if is_public {
            let back = format!("route add {inside} via {outside} dev wan{number} onlink\n");
            configure(here("ip"), &back);
        }
        if nat == Nat::Ipv6Firewall {
            assert_eq!(number, 1, "one home has IPv6");
            ipv6(&router, &host);
        }
        Home {
            number,
            host,
            router,
            _carrier: carrier,
            inside,
            outside: if is_public { inside } else { outside },
        }
    }
}

impl Home {
    /// Lets its link to the Internet take packets of so many bytes at most.
    pub fn narrow(&self, bytes: u16) {
        let uplink = format!("link set wan{} mtu {bytes}\n", self.number);
        configure(here("ip"), &uplink);
        let wan = format!("link set wan mtu {bytes}\n");
        configure(self.router.command("ip"), &wan);
    }

    /// Drops all fragments, even the first of a datagram.
    pub fn lose_fragments(&self) {
        filter(
            self.router.command("nft"),
            "table netdev short {\n\
               chain ingress {\n\
                 type filter hook ingress device wan priority 0;\n\
                 ip frag-off & 0x3fff != 0 drop\n\
               }\n\
             }\n",
        );
    }

    /// Takes the host's cable out.
    pub fn unplug(&self) {
        configure(self.host.command("ip"), "link set lan0 down\n");
    }

    /// Puts it in again.
    pub fn plug(&self) {
        // As on most hosts: the network changes a second time when the link's own address is known to be its own.
        set(&self.host, "ipv6/conf/lan0/accept_dad", "1");
        let router = router_of(self.inside);
        let links = format!("link set lan0 up\nroute replace default via {router}\n");
        configure(self.host.command("ip"), &links);
    }

    /// Gives the host another address in its net, in place of its own.
    pub fn move_to(&self, last: u8) {
        let [a, b, c, _] = self.inside.octets();
        let (router, next) = (router_of(self.inside), Ipv4Addr::new(a, b, c, last));
        let links = format!(
            "address delete {}/24 dev lan0\n\
             address add {next}/24 dev lan0\n\
             route replace default via {router}\n",
            self.inside
        );
        configure(self.host.command("ip"), &links);
    }

    /// Sets a value below `/proc/sys/net` of the router.
    pub fn set_router(&self, key: &str, value: &str) {
        set(&self.router, key, value);
    }
}

/// A host of its own on the Internet, at the addresses of a server. There may be one.
pub fn server_host(last: u8) -> Machine {
    let host = Machine::make();
    let (v4, v6) = (server_v4(last), server_v6(last));
    let links = format!(
        "link add far address {INTERNET_MAC} type veth \
             peer name wan address {WAN_MAC} netns {}\n\
         address add {GATEWAY}/32 dev far\n\
         address add 2001:db8:fa::1/64 dev far nodad\n\
         link set far up\n\
         neighbor add 2001:db8:fa::2 lladdr {WAN_MAC} dev far\n\
         route add {v4} dev far\n\
         route add {v6} via 2001:db8:fa::2\n",
        host.pid()
    );
    configure(here("ip"), &links);
    configure(host.command("ip"), &wan(v4));
    let links = format!(
        "address add 2001:db8:fa::2/64 dev wan nodad\n\
         address add {v6}/128 dev wan nodad\n\
         neighbor add 2001:db8:fa::1 lladdr {INTERNET_MAC} dev wan\n\
         route add default via 2001:db8:fa::1\n"
    );
    configure(host.command("ip"), &links);
    host
}

/// A server's address, by its last byte.
pub const fn server_v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, last)
}

/// The same over IPv6.
pub const fn server_v6(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xDB8, 0x51, 0, 0, 0, 0, last as u16)
}

/// The Internet's end of a home's link.
fn uplink(number: u8, router: i32) -> String {
    format!(
        "link add wan{number} address {INTERNET_MAC} type veth \
             peer name wan address {WAN_MAC} netns {router}\n\
         address add {GATEWAY}/32 dev wan{number}\n\
         link set wan{number} up\n\
         route add 203.0.113.{number} dev wan{number}\n"
    )
}

fn wan(outside: Ipv4Addr) -> String {
    format!(
        "link set lo up\n\
         address add {outside}/32 dev wan\n\
         link set wan up\n\
         route add {GATEWAY} dev wan\n\
         route add default via {GATEWAY}\n"
    )
}

fn carrier_lan(router: i32) -> String {
    format!(
        "link add lan type veth peer name wan netns {router}\n\
         address add 100.64.0.1/24 dev lan\n\
         link set lan up\n"
    )
}

fn carried_wan() -> String {
    format!(
        "link set lo up\n\
         address add {CARRIED}/24 dev wan\n\
         link set wan up\n\
         route add default via 100.64.0.1\n"
    )
}

fn lan(inside: Ipv4Addr, host: i32) -> String {
    let router = router_of(inside);
    format!(
        "link add lan address {LAN_MAC} type veth \
             peer name lan0 address {HOST_MAC} netns {host}\n\
         address add {router}/24 dev lan\n\
         link set lan up\n"
    )
}

fn host_links(inside: Ipv4Addr) -> String {
    let router = router_of(inside);
    format!(
        "link set lo up\n\
         address add {inside}/24 dev lan0\n\
         link set lan0 up\n\
         route add default via {router}\n"
    )
}

/// Gives the first home a net of IPv6, which nothing translates. Neighbours are known beforehand,
/// as discovering one on a new link takes a second.
fn ipv6(router: &Machine, host: &Machine) {
    let outside = format!(
        "address add 2001:db8:ff::1/64 dev wan1 nodad\n\
         neighbor add 2001:db8:ff::2 lladdr {WAN_MAC} dev wan1\n\
         route add {INSIDE_V6} via 2001:db8:ff::2\n"
    );
    configure(here("ip"), &outside);
    let between = format!(
        "address add 2001:db8:ff::2/64 dev wan nodad\n\
         address add 2001:db8:1::1/64 dev lan nodad\n\
         neighbor add 2001:db8:ff::1 lladdr {INTERNET_MAC} dev wan\n\
         neighbor add {INSIDE_V6} lladdr {HOST_MAC} dev lan\n\
         route add default via 2001:db8:ff::1\n"
    );
    configure(router.command("ip"), &between);
    let inside = format!(
        "address add {INSIDE_V6}/64 dev lan0 nodad\n\
         neighbor add 2001:db8:1::1 lladdr {LAN_MAC} dev lan0\n\
         route add default via 2001:db8:1::1\n"
    );
    configure(host.command("ip"), &inside);
}

/// Makes a router of a host: it forwards, by `rules` of nftables.
fn routes(router: &Machine, rules: &str) {
    set(router, "ipv4/ip_forward", "1");
    set(router, "ipv6/conf/all/forwarding", "1");
    filter(router.command("nft"), rules);
}

fn set(host: &Machine, key: &str, value: &str) {
    let mut shell = host.command("sh");
    shell.args([
        "-c",
        "echo \"$1\" > \"$0\"",
        &format!("/proc/sys/net/{key}"),
        value,
    ]);
    Program::succeed(shell);
}

const fn router_of(inside: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = inside.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// The last bytes of the addresses of servers on the test's own host.
const SERVERS: [u8; 10] = [1, 2, 11, 21, 22, 31, 32, RESOLVER, WEB, OTHER_WEB];

/// The address of DNS.
pub const RESOLVER: u8 = 53;

/// The address of the web server.
pub const WEB: u8 = 80;

/// The address of another one.
pub const OTHER_WEB: u8 = 81;

/// The first router on every home's way into the Internet.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);

/// The address that a carrier gives to a home's router. RFC 6598.
const CARRIED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);

/// The address that a host with IPv6 has.
pub const INSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 1, 0, 0, 0, 0, 2);

const INTERNET_MAC: &str = "02:00:00:00:00:01";
const WAN_MAC: &str = "02:00:00:00:00:02";
const LAN_MAC: &str = "02:00:00:00:00:03";
const HOST_MAC: &str = "02:00:00:00:00:04";
