//! Ranges of addresses, as coturn has them, and the networks that they are made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use relay::policy::{Block, block, blocks};

/// The addresses from the first to the last, both of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) is_ipv4: bool,
    first: u128,
    last: u128,
}

/// Why a text is no range to coturn, which then passes the line over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRange {
    /// It is a network with a prefix length, which coturn does not know.
    Network(IpNet),
    /// It is a name, which coturn would look up, or nothing at all.
    Name,
    /// The last address comes before the first, or is of the other family: it holds nobody.
    Empty,
}

impl Range {
    /// Reads `FIRST`, or `FIRST-LAST`.
    pub(crate) fn read(text: &str) -> Result<Self, NoRange> {
        if let Ok(network) = text.trim().parse::<IpNet>() {
            return Err(NoRange::Network(network));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let address = |text: &str| text.trim_matches(' ').parse::<IpAddr>();
        let (Ok(first), Ok(last)) = (address(first), address(last)) else {
            return Err(NoRange::Name);
        };
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(NoRange::Empty);
        }
        Ok(Self {
            is_ipv4: first.is_ipv4(),
            first: number(first),
            last: number(last),
        })
    }

    /// All addresses of a family.
    pub(crate) fn all(is_ipv4: bool) -> Self {
        let last = if is_ipv4 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        Self {
            is_ipv4,
            first: 0,
            last,
        }
    }

    /// The addresses of a network.
    pub(crate) fn of(network: IpNet) -> Self {
        Self {
            is_ipv4: network.addr().is_ipv4(),
            first: number(network.network()),
            last: number(network.broadcast()),
        }
    }

    /// The one address that it has, if it is one.
    pub(crate) fn single(self) -> Option<IpAddr> {
        (self.first == self.last).then(|| self.address(self.first))
    }

    /// Whether all of it lies in blocks that are not on the public Internet, where peers are denied
    /// anyway.
    pub(crate) fn is_special(self) -> bool {
        let meets_public = PUBLIC_INSIDE.iter().filter_map(|text| text.parse().ok());
        if meets_public.map(Self::of).any(|public| self.meets(public)) {
            return false;
        }
        self.networks().into_iter().all(|network| {
            // A special address inside a block is a block of its own: either end is asked.
            let ends = [network.network(), network.broadcast()].map(block);
            let holds =
                |block: &Block| block.network.prefix_len() > 0 && block.network.contains(&network);
            ends.into_iter().flatten().any(holds)
        })
    }

    /// The rest of it without the blocks that are not on the public Internet.
    pub(crate) fn public(self) -> Vec<Self> {
        let mut left = vec![self];
        // A block inside another comes later, so that the most specific one has the last word.
        for block in blocks(self.is_ipv4) {
            let of = Self::of(block.network);
            left = without(&left, &[of]);
            if block.is_globally_reachable() {
                left.extend(self.common(of));
            }
        }
        merged(&left)
    }

    /// The smallest list of networks that makes it up.
    pub(crate) fn networks(self) -> Vec<IpNet> {
        match (self.address(self.first), self.address(self.last)) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).map(IpNet::from).collect()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
        }
    }

    fn address(self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(number) if self.is_ipv4 => Ipv4Addr::from_bits(number).into(),
            Ok(_) | Err(_) => Ipv6Addr::from_bits(number).into(),
        }
    }

    fn meets(self, other: Self) -> bool {
        self.is_ipv4 == other.is_ipv4 && self.first <= other.last && other.first <= self.last
    }

    /// The addresses that both have.
    fn common(self, other: Self) -> Option<Self> {
        self.meets(other).then(|| Self {
            is_ipv4: self.is_ipv4,
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        })
    }
}

/// The same addresses in their order, each in one range alone.
pub(crate) fn merged(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if last.is_ipv4 == range.is_ipv4 && range.first <= last.last.saturating_add(1) =>
            {
                last.last = last.last.max(range.last);
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged
}

/// Whether a range has an address in common with one of these, which are merged.
pub(crate) fn meets_any(merged: &[Range], range: Range) -> bool {
    let ends_before = |it: &Range| (it.is_ipv4, it.last) < (range.is_ipv4, range.first);
    let at = merged.partition_point(ends_before);
    merged.get(at).is_some_and(|it| it.meets(range))
}

/// The rest of some ranges without others, merged. The time grows with the length of the lists,
/// not with their product.
pub(crate) fn without(ranges: &[Range], others: &[Range]) -> Vec<Range> {
    let others = merged(others);
    let mut left = Vec::new();
    for range in merged(ranges) {
        let ends_before = |it: &Range| (it.is_ipv4, it.last) < (range.is_ipv4, range.first);
        let at = others.partition_point(ends_before);
        // The part that no other has taken or passed yet.
        let mut rest = Some(range);
        for other in others[at..].iter().take_while(|it| it.meets(range)) {
            let Some(Range { first, .. }) = rest else {
                break;
            };
            if first < other.first {
                let last = other.first - 1;
                left.push(Range {
                    first,
                    last,
                    ..range
                });
            }
            let next = other.last.checked_add(1).filter(|it| *it <= range.last);
            rest = next.map(|first| Range { first, ..range });
        }
        left.extend(rest);
    }
    left
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// Networks inside special blocks that are on the public Internet, by the IANA registries.
const PUBLIC_INSIDE: [&str; 9] = [
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::read(text).unwrap()
    }

    fn networks(ranges: &[Range]) -> Vec<String> {
        let networks = ranges.iter().flat_map(|range| range.networks());
        networks.map(|network| network.to_string()).collect()
    }

    #[test]
    fn a_range_is_the_networks_that_it_is_made_of() {
        for (text, expected) in [
            ("10.0.0.0-10.255.255.255", &["10.0.0.0/8"][..]),
            ("192.0.2.7", &["192.0.2.7/32"]),
            (" 192.0.2.6 - 192.0.2.8", &["192.0.2.6/31", "192.0.2.8/32"]),
            ("0.0.0.0-255.255.255.255", &["0.0.0.0/0"]),
            (
                "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                &["fc00::/7"],
            ),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
        ] {
            assert_eq!(networks(&[range(text)]), expected, "{text}");
        }
    }

    #[test]
    fn what_coturn_does_not_read_is_no_range() {
        let network = "10.0.0.0/8".parse().unwrap();
        for (text, why) in [
            ("10.0.0.0/8", NoRange::Network(network)),
            ("example.org", NoRange::Name),
            ("10.0.0.0/8-10.1.0.0/8", NoRange::Name),
            ("", NoRange::Name),
            ("10.0.0.2-10.0.0.1", NoRange::Empty),
            ("10.0.0.2-::1", NoRange::Empty),
        ] {
            assert_eq!(Range::read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn private_networks_are_special_and_what_reaches_over_their_edge_is_not() {
        for text in [
            "10.0.0.0-10.255.255.255",
            "240.0.0.0-255.255.255.255",
            "127.0.0.0-127.255.255.255",
            "0.0.0.0-0.255.255.255",
            "::1",
            "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "192.168.1.7-192.168.1.20",
        ] {
            assert!(range(text).is_special(), "{text}");
        }
        for text in [
            "0.0.0.0-255.255.255.255",
            "9.255.255.255-10.0.0.0",
            "8.8.8.8",
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "192.0.0.0-192.0.0.255",
            "2000::-3fff::",
        ] {
            assert!(!range(text).is_special(), "{text}");
        }
    }

    #[test]
    fn an_exception_is_cut_out_of_a_range() {
        let all = [range("10.0.0.0-10.0.0.7"), range("fc00::")];
        let left = without(&all, &[range("10.0.0.2"), range("10.0.0.7-10.9.0.0")]);
        assert_eq!(
            networks(&left),
            [
                "fc00::/128",
                "10.0.0.0/31",
                "10.0.0.3/32",
                "10.0.0.4/31",
                "10.0.0.6/32"
            ]
        );
        assert_eq!(
            without(&[Range::all(true)], &[range("0.0.0.0-255.255.255.255")]),
            []
        );
        assert_eq!(without(&[Range::all(false)], &[Range::all(false)]), []);
    }
}
