//! The kernel's tables of UDP sockets. proc_pid_net(5).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    pub(super) fn read() -> Self {
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        let text = tables.map(|path| fs::read_to_string(path).unwrap_or_default());
        Self(text.iter().flat_map(|table| entries(table)).collect())
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

fn entries(table: &str) -> impl Iterator<Item = Entry> {
    table.lines().skip(1).filter_map(entry)
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid …`
fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Entry {
        local: SocketAddr::new(address(ip)?, port),
        user: fields.nth(5)?.parse().ok()?,
    })
}

/// Words of 32 bits in the host's byte order, as hexadecimal digits.
fn address(digits: &str) -> Option<IpAddr> {
    let word = |digits: &str| Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    match digits.len() {
        8 => Some(Ipv4Addr::from(word(digits)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(digits.get(index * 8..index * 8 + 8)?)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  \
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1234: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 12345 2 0000000000000000 0
 1235: 00000000:C000 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12346 2 0000000000000000 0
 1236: B80D0120000000000000000001000000:0D96 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 12347 2 0000000000000000 0
nonsense
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read() {
        let table = UdpTable(entries(TABLE).collect());
        let at = |text: &str| table.owner(text.parse().unwrap());
        assert_eq!(at("127.0.0.1:3478"), Some(998));
        assert_eq!(at("127.0.0.2:3478"), None);
        assert_eq!(at("192.0.2.7:49152"), Some(0));
        assert_eq!(at("[2001:db8::1]:3478"), Some(998));
        assert_eq!(at("[2001:db8::1]:49152"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_port_is_taken_where_others_hold_it_on_this_address_or_on_all() {
        let table = UdpTable(entries(TABLE).collect());
        let taken =
            |range, at: &str, user| table.ports_of_others(range, &[at.parse().unwrap()], user);
        assert_eq!(taken(49_152..=65_535, "192.0.2.7", Some(998)), [49_152]);
        assert!(taken(49_152..=65_535, "192.0.2.7", Some(0)).is_empty());
        // A socket bound to loopback takes no port of another address.
        assert_eq!(taken(1..=65_535, "192.0.2.7", None), [49_152]);
        assert_eq!(taken(1..=65_535, "127.0.0.1", None), [3_478, 49_152]);
    }

    #[test]
    fn lines_that_are_cut_off_or_of_another_form_are_passed_over() {
        let [heading, first, ..] = TABLE.lines().collect::<Vec<_>>()[..] else {
            panic!("a table");
        };
        for length in 0..first.len() {
            let cut = format!("{heading}\n{}\n", &first[..length]);
            assert!(entries(&cut).count() <= 1);
        }
        let odd =
            "0: 0100007F:1D96F 0 0 0 0 0 0 0\n0: XYZ:1 0 0 0 0 0 0 0\n0: 0A:1 0 0 0 0 0 1 0\n";
        assert_eq!(entries(&format!("{heading}\n{odd}")).count(), 0);
    }
}
