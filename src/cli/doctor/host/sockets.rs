//! The kernel's tables of UDP sockets. proc_pid_net(5).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Every UDP socket of this network namespace.
pub(super) struct UdpTable(Vec<Entry>);

/// A socket: the address that it is bound to, and its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    user: u32,
}

impl UdpTable {
    /// Reads the tables. The kernel hands them out page by page and counts sockets to find its place again, so one may be
    /// passed over if others are closed meanwhile: [`Self::owner_now`].
    pub(super) fn read() -> Self {
        let tables = [procfs::net::udp(), procfs::net::udp6()];
        let entries = tables.into_iter().flatten().flatten().map(|entry| Entry {
            local: entry.local_address,
            user: entry.uid,
        });
        Self(entries.collect())
    }

    /// The user whose socket is bound there, or to all addresses.
    pub(super) fn owner(&self, at: SocketAddr) -> Option<u32> {
        let mut entries = self
            .0
            .iter()
            .filter(|entry| entry.local.port() == at.port());
        let owner = entries.find(|Entry { local, .. }| {
            let everywhere = local.ip().is_unspecified() && local.is_ipv4() == at.is_ipv4();
            everywhere || local.ip() == at.ip()
        });
        owner.map(|entry| entry.user)
    }

    /// The same, and if there is none, by what is read again.
    pub(super) fn owner_now(&self, at: SocketAddr) -> Option<u32> {
        let again = || (0..READINGS).find_map(|_| Self::read().owner(at));
        self.owner(at).or_else(again)
    }

    /// The ports of a range that are not available on these addresses, since other users than this
    /// one have them there or on all addresses.
    pub(super) fn ports_of_others(
        &self,
        range: RangeInclusive<u16>,
        addresses: &[IpAddr],
        user: Option<u32>,
    ) -> Vec<u16> {
        let others = self.0.iter().filter(|entry| Some(entry.user) != user);
        let others = others.filter(|entry| {
            let ip = entry.local.ip().to_canonical();
            ip.is_unspecified() || addresses.contains(&ip)
        });
        let mut ports: Vec<u16> = others
            .map(|entry| entry.local.port())
            .filter(|port| range.contains(port))
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// How often the tables are read before nobody is said to be bound somewhere.
const READINGS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> UdpTable {
        let sockets = [
            ("127.0.0.1:3478", 998),
            ("0.0.0.0:49152", 0),
            ("[2001:db8::1]:3478", 998),
        ];
        let entry = |(local, user): (&str, u32)| Entry {
            local: local.parse().unwrap(),
            user,
        };
        UdpTable(sockets.map(entry).to_vec())
    }

    #[test]
    fn the_kernels_table_is_read() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        // Other tests close sockets meanwhile.
        let owner = UdpTable::read().owner_now(at);
        assert_eq!(owner, Some(rustix::process::getuid().as_raw()));
    }

    #[test]
    fn a_socket_of_all_addresses_is_bound_to_those_of_its_family() {
        let table = table();
        let at = |text: &str| table.owner(text.parse().unwrap());
        assert_eq!(at("127.0.0.1:3478"), Some(998));
        assert_eq!(at("127.0.0.2:3478"), None);
        assert_eq!(at("192.0.2.7:49152"), Some(0));
        assert_eq!(at("[2001:db8::1]:3478"), Some(998));
        assert_eq!(at("[2001:db8::1]:49152"), None);
    }

    #[test]
    fn a_port_is_taken_where_others_hold_it_on_this_address_or_on_all() {
        let table = table();
        let taken =
            |range, at: &str, user| table.ports_of_others(range, &[at.parse().unwrap()], user);
        assert_eq!(taken(49_152..=65_535, "192.0.2.7", Some(998)), [49_152]);
        assert!(taken(49_152..=65_535, "192.0.2.7", Some(0)).is_empty());
        // A socket bound to loopback takes no port of another address.
        assert_eq!(taken(1..=65_535, "192.0.2.7", None), [49_152]);
        assert_eq!(taken(1..=65_535, "127.0.0.1", None), [3_478, 49_152]);
    }
}
