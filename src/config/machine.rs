//! The host: the values that a configuration leaves to it, and the demands that it makes of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;
use std::{fs, io, thread};

use ipnet::IpNet;

use super::Filed;
use super::access::Access;
use super::environment::Environment;
use super::form::realm_flaw;
use crate::netlink::{Address, Inventory, Unasked};

/// The facts and services of a host. A value, so that a test can be any host.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Its name, the default realm.
    pub(crate) name: String,
    /// Its processors, one shard for each.
    pub(crate) cores: usize,
    /// Whether it has IPv6 at all.
    pub(crate) has_ipv6: bool,
    /// The addresses it speaks from towards the internet, at most one of each family.
    pub(crate) routed: Vec<IpAddr>,
    /// The addresses of all its interfaces.
    pub(crate) addresses: Vec<IpAddr>,
    /// The networks that its kernel takes for this host: local, anycast, broadcast.
    pub(crate) networks: Vec<IpNet>,
    /// The gateways of its default routes.
    pub(crate) gateways: Vec<IpAddr>,
    /// Tries to bind a socket to the address.
    pub(crate) bind: fn(IpAddr) -> io::Result<()>,
    /// Reads a file that holds secrets.
    pub(crate) read_secret: fn(&Path) -> io::Result<Vec<u8>>,
    /// Tells which users may read a file.
    pub(crate) access: fn(&Path) -> Access,
    /// The variables of this process.
    pub(crate) environment: Environment,
    /// Whether the server is for trying only, so that a certificate is made where there is none.
    pub(crate) is_for_trying: bool,
    /// Whether the server starts, and generates the secret that is not there.
    pub(crate) generates_secrets: bool,
    /// The certificates in effect: each stays while its files hold no good one.
    pub(crate) certificates: Vec<Filed>,
}

impl Machine {
    /// The host this process runs on.
    ///
    /// # Errors
    /// If its kernel does not say which addresses it has.
    pub(crate) fn here() -> Result<Self, Unasked> {
        Ok(Self::of(&Inventory::read()?))
    }

    /// The same where a file is read that may be meant for another host: every address will do.
    pub(crate) fn anywhere() -> Self {
        Self::of(&Inventory::read().unwrap_or_default()).with_every_address()
    }

    fn of(inventory: &Inventory) -> Self {
        let addresses = inventory.addresses.iter().map(|address| address.ip);
        Self {
            name: name(),
            cores: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            has_ipv6: bind(Ipv6Addr::LOCALHOST.into()).is_ok(),
            routed: routed(&inventory.addresses),
            addresses: addresses.collect(),
            networks: inventory.networks.clone(),
            gateways: gateways(),
            bind,
            read_secret: read_bytes,
            access: Access::of,
            environment: Environment::here(),
            is_for_trying: false,
            generates_secrets: false,
            certificates: Vec::new(),
        }
    }

    /// This host, of whose addresses none is tried.
    pub(crate) fn with_every_address(self) -> Self {
        Self {
            bind: |_| Ok(()),
            ..self
        }
    }

    /// Whether it has the addresses of another.
    pub(crate) fn has_addresses_of(&self, other: &Self) -> bool {
        self.routed == other.routed
            && self.addresses == other.addresses
            && self.networks == other.networks
    }

    /// Whether its kernel delivers to it what is sent to `ip`.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback()
            || ip.is_unspecified()
            || self.addresses.contains(&ip)
            || self.networks.iter().any(|network| network.contains(&ip))
    }
}

fn name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    // The kernel takes any bytes for a host name; a realm is more particular.
    if realm_flaw(&name).is_none() {
        name
    } else {
        "hairpin".to_owned()
    }
}

fn gateways() -> Vec<IpAddr> {
    let routes = procfs::process::Process::myself().and_then(|process| process.route());
    let default = routes.unwrap_or_default().into_iter();
    let default = default.filter(|route| route.mask.is_unspecified());
    let v4 = default.map(|route| IpAddr::from(route.gateway));
    // Destination, its length, source, its length, next hop: all in hexadecimal digits.
    let v6 = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    let v6 = v6.lines().filter_map(|route| {
        let mut fields = route.split(' ');
        let length = fields.nth(1)?;
        let hop = u128::from_str_radix(fields.nth(2)?, 16).ok()?;
        (length == "00").then(|| IpAddr::from(Ipv6Addr::from_bits(hop)))
    });
    v4.chain(v6).filter(|ip| !ip.is_unspecified()).collect()
}

/// The source addresses of the default routes. A host without a default route
/// may still serve its own network: then the first address of each family.
fn routed(addresses: &[Address]) -> Vec<IpAddr> {
    let towards = |far, family: fn(&IpAddr) -> bool| {
        let source = source_towards(far).and_then(|source| stable(addresses, source));
        source.or_else(|| first(addresses, family))
    };
    let v4 = towards(FAR_V4.into(), IpAddr::is_ipv4);
    let v6 = towards(FAR_V6.into(), IpAddr::is_ipv6);
    v4.into_iter().chain(v6).collect()
}

/// The address itself, or a stable one of its interface: the kernel may prefer a temporary one
/// (RFC 8981), which is gone before the calls on it end.
fn stable(addresses: &[Address], source: IpAddr) -> Option<IpAddr> {
    let Some(chosen) = addresses.iter().find(|address| address.ip == source) else {
        return Some(source);
    };
    let would_do = |address: &&Address| {
        let is_twin = address.interface == chosen.interface
            && address.ip.is_ipv4() == source.is_ipv4()
            && is_reachable(&address.ip);
        address.is_stable && is_twin
    };
    if chosen.is_stable {
        return Some(source);
    }
    addresses.iter().find(would_do).map(|address| address.ip)
}

/// Asks the kernel for the route: connecting a UDP socket sends nothing.
fn source_towards(far: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match far {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, FAR_PORT)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    is_reachable(&source).then_some(source)
}

fn first(addresses: &[Address], family: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let mut stable = addresses.iter().filter(|address| address.is_stable);
    let would_do = |address: &&Address| family(&address.ip) && is_reachable(&address.ip);
    stable.find(would_do).map(|address| address.ip)
}

/// Whether another host could send to it without knowing an interface.
fn is_reachable(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !link_local && !ip.is_loopback() && !ip.is_unspecified()
}

fn bind(ip: IpAddr) -> io::Result<()> {
    UdpSocket::bind(SocketAddr::new(ip, 0)).map(drop)
}

/// Reads a file that may hold bytes of any kind.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    bounded(fs::File::open(path)?, io::Read::read_to_end)
}

/// Reads a file of text.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    bounded(fs::File::open(path)?, io::Read::read_to_string)
}

/// All of a file, if it is not too long. One that has no end, such as a device, must not take all
/// memory from a server that is told to read its configuration again.
pub(super) fn bounded<F: io::Read, T: Default>(
    file: F,
    read: fn(&mut io::Take<F>, &mut T) -> io::Result<usize>,
) -> io::Result<T> {
    let mut contents = T::default();
    let length = read(&mut io::Read::take(file, MOST + 1), &mut contents)?;
    if length as u64 > MOST {
        let why = format!("it has more than {} MiB", MOST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(contents)
}

/// Any public address would do: only its route is looked at.
const FAR_V4: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111);
const FAR_PORT: u16 = 3478;

/// The most bytes of a configuration, or of a file that it names: about two million users.
const MOST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn on_one_interface(ip: &str) -> Address {
        Address {
            ip: ip.parse().unwrap(),
            is_stable: true,
            interface: 2,
        }
    }

    #[test]
    fn a_host_that_speaks_to_nobody_relays_from_nowhere() {
        let lonely = ["127.0.0.1", "::1", "169.254.1.1", "fe80::1"].map(on_one_interface);
        assert_eq!(first(&lonely, IpAddr::is_ipv4), None);
        assert_eq!(first(&lonely, IpAddr::is_ipv6), None);
    }

    #[test]
    fn without_a_default_route_the_first_address_of_a_family_serves() {
        let interfaces = [
            "127.0.0.1",
            "fe80::1",
            "192.0.2.7",
            "192.0.2.8",
            "2001:db8::7",
        ];
        let interfaces = interfaces.map(on_one_interface);
        assert_eq!(first(&interfaces, IpAddr::is_ipv4), Some(interfaces[2].ip));
        assert_eq!(first(&interfaces, IpAddr::is_ipv6), Some(interfaces[4].ip));
    }

    #[test]
    fn a_temporary_address_is_never_relayed_from() {
        let mut addresses = ["fe80::1", "2001:db8::bad", "2001:db8::7"].map(on_one_interface);
        addresses[1].is_stable = false;
        let [_, temporary, lasting] = addresses.map(|address| address.ip);
        assert_eq!(stable(&addresses, temporary), Some(lasting));
        assert_eq!(stable(&addresses, lasting), Some(lasting));
        assert_eq!(first(&addresses, IpAddr::is_ipv6), Some(lasting));
        assert_eq!(stable(&addresses[..2], temporary), None);
        assert_eq!(first(&addresses[..2], IpAddr::is_ipv6), None);
    }

    #[test]
    fn this_host_has_loopback_and_a_name_that_can_be_a_realm() {
        let host = Machine::here().unwrap();
        assert_eq!(realm_flaw(&host.name), None);
        assert!(host.cores > 0);
        assert!((host.bind)(Ipv4Addr::LOCALHOST.into()).is_ok());
        // 198.51.100.0/24 is for documentation: it is nobody's.
        assert!((host.bind)(Ipv4Addr::new(198, 51, 100, 250).into()).is_err());
    }
    #[test]
    fn a_file_without_an_end_is_refused() {
        let endless = Path::new("/dev/zero");
        let outcomes = [read_text(endless).err(), read_bytes(endless).err()];
        for error in outcomes.map(Option::unwrap) {
            assert_eq!(error.to_string(), "it has more than 64 MiB");
        }
    }
}
