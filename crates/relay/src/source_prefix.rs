//! Source prefixes: as much of the address space as one party can be expected to own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An IPv4 /24 or an IPv6 /48, by which strangers are counted: the owner of one address in it may
/// well have the others. An IPv4-mapped address counts as the IPv4 address that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePrefix(Bits);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Bits {
    V4(u32),
    V6(u64),
}

impl SourcePrefix {
    /// The prefix that an address lies in.
    pub const fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => Bits::V4(ip.to_bits() >> (32 - 24)),
            IpAddr::V6(ip) => Bits::V6((ip.to_bits() >> (128 - 48)) as u64),
        })
    }

    /// All of its addresses.
    pub fn network(self) -> IpNet {
        match self.0 {
            Bits::V4(bits) => {
                let ip = Ipv4Addr::from_bits(bits << (32 - 24));
                Ipv4Net::new_assert(ip, 24).into()
            }
            Bits::V6(bits) => {
                let ip = Ipv6Addr::from_bits(u128::from(bits) << (128 - 48));
                Ipv6Net::new_assert(ip, 48).into()
            }
        }
    }
}

/// As a network: `192.0.2.0/24`.
impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(ip: &str) -> SourcePrefix {
        SourcePrefix::of(ip.parse().unwrap())
    }

    #[test]
    fn a_prefix_is_told_as_a_network() {
        for (ip, told) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            assert_eq!(prefix(ip).to_string(), told);
        }
    }

    #[test]
    fn a_prefix_is_a_24_or_a_48() {
        for (one, same, other) in [
            ("192.0.2.1", "192.0.2.255", "192.0.3.1"),
            ("192.0.2.1", "::ffff:192.0.2.9", "192.1.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.9", "::ffff:192.0.3.1"),
            ("2001:db8:1::1", "2001:db8:1:ffff::2", "2001:db8:2::1"),
            // Equal first bytes alone must not make two addresses one prefix.
            ("192.0.2.1", "192.0.2.2", "c000:0200::"),
        ] {
            assert_eq!(prefix(one), prefix(same));
            assert_ne!(prefix(one), prefix(other));
        }
    }
}
