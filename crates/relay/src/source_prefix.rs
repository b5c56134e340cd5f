//! Source prefixes: as much of the address space as one party can be expected to own.

use std::net::IpAddr;

/// An IPv4 /24 or an IPv6 /48, by which strangers are counted: the owner of one address in it may
/// well have the others. An IPv4-mapped address counts as the IPv4 address that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePrefix(Bits);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(ip: &str) -> SourcePrefix {
        SourcePrefix::of(ip.parse().unwrap())
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
