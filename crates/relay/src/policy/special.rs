//! The blocks that are not on the public Internet, by the IANA registries.
//!
//! The rows of the special-purpose registries for [IPv4] and [IPv6] as of 2025-10-09, and for the
//! rest of IPv6 the [address space] registry: only 2000::/3 is global unicast. "N/A" or nothing
//! under "Globally Reachable" counts as no.
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry
//! [address space]: https://www.iana.org/assignments/ipv6-address-space

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The block of the special-purpose registries that keeps `ip` from being globally reachable, if
/// one does.
pub fn block(ip: IpAddr) -> Option<&'static Block> {
    // A block inside another stands below it, so the last row that fits is the most specific.
    let row = match ip {
        IpAddr::V4(ip) => {
            let ip = ip.to_bits();
            let fits = |(first, last): &(u32, u32)| *first <= ip && ip <= *last;
            IPV4_RANGES.iter().rposition(fits).map(|row| &IPV4[row])
        }
        IpAddr::V6(ip) => {
            let ip = ip.to_bits();
            let fits = |(first, last): &(u128, u128)| *first <= ip && ip <= *last;
            IPV6_RANGES.iter().rposition(fits).map(|row| &IPV6[row])
        }
    };
    row.filter(|row| !row.globally_reachable)
}

/// All blocks of a family, each below the one that it lies in.
pub fn blocks(is_ipv4: bool) -> &'static [Block] {
    if is_ipv4 { &IPV4 } else { &IPV6 }
}

/// Whether all of `network` lies in one block that is not globally reachable.
pub(super) fn encloses(network: IpNet) -> bool {
    closed(network).any(|row| row.network.contains(&network))
}

/// The first block that is not globally reachable and lies in `network`.
pub(super) fn inside(network: IpNet) -> Option<&'static Block> {
    closed(network).find(|row| network.contains(&row.network))
}

/// The blocks of a family that are not globally reachable, without the rest of IPv6 around them.
fn closed(network: IpNet) -> impl Iterator<Item = &'static Block> {
    let closed = |row: &&Block| !row.globally_reachable && row.network.prefix_len() > 0;
    blocks(network.addr().is_ipv4()).iter().filter(closed)
}

/// A row of an IANA registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// "Address Block".
    pub network: IpNet,
    /// "Name".
    pub name: &'static str,
    /// "RFC", the one that says why.
    pub rfc: &'static str,
    globally_reachable: bool,
}

impl Block {
    /// Whether its addresses are on the public Internet: an exception to the block around it.
    pub fn is_globally_reachable(&self) -> bool {
        self.globally_reachable
    }

    /// Whether its addresses stand in documents for others, and nobody has them.
    pub fn is_documentation(&self) -> bool {
        self.name.starts_with("Documentation")
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} ({})", self.network, self.name, self.rfc)
    }
}

#[rustfmt::skip] // One line per row, as in the registry.
static IPV4: [Block; 26] = [
    local(v4(0, 0, 0, 0, 8), "This network", "RFC 791"),
    local(v4(0, 0, 0, 0, 32), "This host on this network", "RFC 1122"),
    local(v4(10, 0, 0, 0, 8), "Private-Use", "RFC 1918"),
    local(v4(100, 64, 0, 0, 10), "Shared Address Space", "RFC 6598"),
    local(v4(127, 0, 0, 0, 8), "Loopback", "RFC 1122"),
    local(v4(169, 254, 0, 0, 16), "Link Local", "RFC 3927"),
    local(v4(172, 16, 0, 0, 12), "Private-Use", "RFC 1918"),
    local(v4(192, 0, 0, 0, 24), "IETF Protocol Assignments", "RFC 6890"),
    local(v4(192, 0, 0, 0, 29), "IPv4 Service Continuity Prefix", "RFC 7335"),
    local(v4(192, 0, 0, 8, 32), "IPv4 dummy address", "RFC 7600"),
    global(v4(192, 0, 0, 9, 32), "Port Control Protocol Anycast", "RFC 7723"),
    global(v4(192, 0, 0, 10, 32), "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    local(v4(192, 0, 0, 170, 32), "NAT64/DNS64 Discovery", "RFC 7050"),
    local(v4(192, 0, 0, 171, 32), "NAT64/DNS64 Discovery", "RFC 7050"),
    local(v4(192, 0, 2, 0, 24), "Documentation (TEST-NET-1)", "RFC 5737"),
    global(v4(192, 31, 196, 0, 24), "AS112-v4", "RFC 7535"),
    global(v4(192, 52, 193, 0, 24), "AMT", "RFC 7450"),
    local(v4(192, 88, 99, 0, 24), "Deprecated (6to4 Relay Anycast)", "RFC 7526"),
    local(v4(192, 88, 99, 2, 32), "6a44-relay anycast address", "RFC 6751"),
    local(v4(192, 168, 0, 0, 16), "Private-Use", "RFC 1918"),
    global(v4(192, 175, 48, 0, 24), "Direct Delegation AS112 Service", "RFC 7534"),
    local(v4(198, 18, 0, 0, 15), "Benchmarking", "RFC 2544"),
    local(v4(198, 51, 100, 0, 24), "Documentation (TEST-NET-2)", "RFC 5737"),
    local(v4(203, 0, 113, 0, 24), "Documentation (TEST-NET-3)", "RFC 5737"),
    local(v4(240, 0, 0, 0, 4), "Reserved", "RFC 1112"),
    local(v4(255, 255, 255, 255, 32), "Limited Broadcast", "RFC 919"),
];

#[rustfmt::skip] // One line per row, as in the registry.
static IPV6: [Block; 29] = [
    // From the address space registry.
    local(v6(&[], 0), "Reserved by IETF", "RFC 4291"),
    local(v6(&[], 96), "IPv4-Compatible (deprecated)", "RFC 4291"),
    global(v6(&[0x2000], 3), "Global Unicast", "RFC 4291"),
    local(v6(&[0xfec0], 10), "Site-Local (deprecated)", "RFC 3879"),
    // The special-purpose registry.
    local(v6(&[0, 0, 0, 0, 0, 0, 0, 1], 128), "Loopback Address", "RFC 4291"),
    local(v6(&[], 128), "Unspecified Address", "RFC 4291"),
    local(v6(&[0, 0, 0, 0, 0, 0xffff], 96), "IPv4-mapped Address", "RFC 4291"),
    global(v6(&[0x64, 0xff9b], 96), "IPv4-IPv6 Translation", "RFC 6052"),
    local(v6(&[0x64, 0xff9b, 1], 48), "IPv4-IPv6 Translation", "RFC 8215"),
    local(v6(&[0x100], 64), "Discard-Only Address Block", "RFC 6666"),
    local(v6(&[0x100, 0, 0, 1], 64), "Dummy IPv6 Prefix", "RFC 9780"),
    local(v6(&[0x2001], 23), "IETF Protocol Assignments", "RFC 2928"),
    local(v6(&[0x2001], 32), "TEREDO", "RFC 4380"),
    global(v6(&[0x2001, 1, 0, 0, 0, 0, 0, 1], 128), "Port Control Protocol Anycast", "RFC 7723"),
    global(v6(&[0x2001, 1, 0, 0, 0, 0, 0, 2], 128), "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    global(v6(&[0x2001, 1, 0, 0, 0, 0, 0, 3], 128), "DNS-SD Service Registration Protocol Anycast", "RFC 9665"),
    local(v6(&[0x2001, 2, 0], 48), "Benchmarking", "RFC 5180"),
    global(v6(&[0x2001, 3], 32), "AMT", "RFC 7450"),
    global(v6(&[0x2001, 4, 0x112], 48), "AS112-v6", "RFC 7535"),
    local(v6(&[0x2001, 0x10], 28), "Deprecated (previously ORCHID)", "RFC 4843"),
    global(v6(&[0x2001, 0x20], 28), "ORCHIDv2", "RFC 7343"),
    global(v6(&[0x2001, 0x30], 28), "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374"),
    local(v6(&[0x2001, 0xdb8], 32), "Documentation", "RFC 3849"),
    local(v6(&[0x2002], 16), "6to4", "RFC 3056"),
    global(v6(&[0x2620, 0x4f, 0x8000], 48), "Direct Delegation AS112 Service", "RFC 7534"),
    local(v6(&[0x3fff], 20), "Documentation", "RFC 9637"),
    local(v6(&[0x5f00], 16), "Segment Routing (SRv6) SIDs", "RFC 9602"),
    local(v6(&[0xfc00], 7), "Unique-Local", "RFC 4193"),
    local(v6(&[0xfe80], 10), "Link-Local Unicast", "RFC 4291"),
];

/// A row that is not "Globally Reachable".
const fn local(network: IpNet, name: &'static str, rfc: &'static str) -> Block {
    Block {
        network,
        name,
        rfc,
        globally_reachable: false,
    }
}

/// A row that is "Globally Reachable": an exception to the row around it.
const fn global(network: IpNet, name: &'static str, rfc: &'static str) -> Block {
    Block {
        network,
        name,
        rfc,
        globally_reachable: true,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

/// `head` is what the registry writes before `::`.
const fn v6(head: &[u16], prefix: u8) -> IpNet {
    let mut bits = 0;
    let mut index = 0;
    while index < head.len() {
        bits |= (head[index] as u128) << (112 - 16 * index);
        index += 1;
    }
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), prefix))
}

/// The first and last address of every row, packed for the search: asking each row's network in
/// turn doubled the cost of a ruling.
static IPV4_RANGES: [(u32, u32); IPV4.len()] = {
    let mut ranges = [(0, 0); IPV4.len()];
    let mut row = 0;
    while row < IPV4.len() {
        let (first, last) = range(IPV4[row].network);
        ranges[row] = (first as u32, last as u32);
        row += 1;
    }
    ranges
};

/// The same for IPv6.
static IPV6_RANGES: [(u128, u128); IPV6.len()] = {
    let mut ranges = [(0, 0); IPV6.len()];
    let mut row = 0;
    while row < IPV6.len() {
        ranges[row] = range(IPV6[row].network);
        row += 1;
    }
    ranges
};

const fn range(network: IpNet) -> (u128, u128) {
    let (first, host_bits) = match network {
        IpNet::V4(net) => (net.addr().to_bits() as u128, 32 - net.prefix_len()),
        IpNet::V6(net) => (net.addr().to_bits(), 128 - net.prefix_len()),
    };
    (
        first,
        first | u128::MAX.unbounded_shr(128 - host_bits as u32),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_registries_is_here_and_no_other() {
        let networks = |globally_reachable: bool| {
            let rows = IPV4.iter().chain(&IPV6);
            let rows = rows.filter(move |row| row.globally_reachable == globally_reachable);
            rows.map(|row| row.network.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            networks(true),
            "192.0.0.9/32 192.0.0.10/32 192.31.196.0/24 192.52.193.0/24 192.175.48.0/24 \
             2000::/3 64:ff9b::/96 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:3::/32 \
             2001:4:112::/48 2001:20::/28 2001:30::/28 2620:4f:8000::/48"
        );
        assert_eq!(
            networks(false),
            "0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 \
             172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.170/32 192.0.0.171/32 \
             192.0.2.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 198.18.0.0/15 \
             198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 \
             ::/0 ::/96 fec0::/10 ::1/128 ::/128 ::ffff:0.0.0.0/96 64:ff9b:1::/48 100::/64 \
             100:0:0:1::/64 2001::/23 2001::/32 2001:2::/48 2001:10::/28 2001:db8::/32 2002::/16 \
             3fff::/20 5f00::/16 fc00::/7 fe80::/10"
        );
    }

    #[test]
    fn a_block_inside_another_stands_below_it() {
        for rows in [&IPV4[..], &IPV6[..]] {
            for (index, row) in rows.iter().enumerate() {
                let below = &rows[index + 1..];
                let around = below
                    .iter()
                    .find(|other| other.network.contains(&row.network));
                assert_eq!(around, None, "stands below {row}");
            }
        }
    }

    #[test]
    fn every_row_begins_at_its_networks_first_address() {
        for row in IPV4.iter().chain(&IPV6) {
            assert_eq!(row.network, row.network.trunc());
        }
    }

    #[test]
    fn every_row_rules_from_its_first_address_to_its_last() {
        let rows = || IPV4.iter().chain(&IPV6);
        for row in rows() {
            let inside = |other: &&Block| row.network.contains(&other.network);
            for ip in [row.network.network(), row.network.broadcast()] {
                let decisive = rows()
                    .filter(inside)
                    .rfind(|other| other.network.contains(&ip));
                let decisive = decisive.filter(|decisive| !decisive.globally_reachable);
                assert_eq!(block(ip), decisive, "{ip} of {row}");
            }
        }
    }

    #[test]
    fn an_address_beside_a_row_is_not_ruled_by_it() {
        for ip in [
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.1.0",
            "223.255.255.255",
            "2001:200::",
            "3ffe:ffff::",
        ] {
            assert_eq!(block(ip.parse().unwrap()), None, "{ip}");
        }
    }

    #[test]
    fn an_exception_inside_a_closed_block_is_reachable() {
        for ip in [
            "192.0.0.9",
            "192.0.0.10",
            "2001:1::1",
            "2001:1::2",
            "2001:1::3",
            "2001:3::1",
            "2001:4:112::1",
            "2001:20::1",
        ] {
            assert_eq!(block(ip.parse().unwrap()), None, "{ip}");
        }
    }

    #[test]
    fn what_no_registry_gave_out_is_closed() {
        for ip in [
            "200::1", "1000::1", "4000::1", "8000::1", "f000::1", "fe00::1",
        ] {
            let block = block(ip.parse().unwrap()).map(|block| block.name);
            assert_eq!(block, Some("Reserved by IETF"), "{ip}");
        }
    }
}
