//! An entry of the allow and deny lists: a network, and the ports it is about.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use super::special::{self, Block};

/// Peers an operator names, on all ports or on some.
///
/// Written `192.0.2.7`, `10.1.2.0/24`, `10.1.2.0/24:3478`, `10.1.2.0/24:10000-20000`,
/// `2001:db8::/32`, `[2001:db8::7]:5000`, `[2001:db8::/32]:5000-6000`. Anything that could mean
/// something else than it says is refused: a list read otherwise than it was meant opens a network.
/// An IPv6 network never names an IPv4 peer, however the peer is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    net: IpNet,
    /// Whether it lies wholly in a block that is not globally reachable.
    is_special: bool,
    first_port: u16,
    last_port: u16,
}

impl Network {
    /// Whether this entry names `ip` on `port`.
    pub fn contains(&self, ip: IpAddr, port: u16) -> bool {
        self.ports().contains(&port) && self.contains_ip(ip)
    }

    /// Whether this entry names `ip` on some port.
    pub fn contains_ip(&self, ip: IpAddr) -> bool {
        self.net.contains(&ip)
    }

    /// Whether this entry names one address.
    pub(super) fn is_one_host(&self) -> bool {
        self.net.prefix_len() == self.net.max_prefix_len()
    }

    /// Whether this entry, which names `ip`, lies within the special block around it, if there is
    /// one: whoever writes 0.0.0.0/0 does not think of the cloud's metadata service.
    pub(super) fn means(&self, ip: IpAddr) -> bool {
        // All of IPv6 that is neither global nor special is one row, which ::/0 does not name.
        let is_rest = |block: &Block| block.network.prefix_len() == 0 && self.net.prefix_len() > 0;
        self.is_special || special::block(ip).is_none_or(is_rest)
    }

    /// A block that is not globally reachable and stays closed, although this entry reaches over it.
    pub fn leaves_closed(&self) -> Option<&'static Block> {
        special::inside(self.net).filter(|_| !self.is_special)
    }

    /// The ports this entry is about.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.first_port..=self.last_port
    }
}

impl FromStr for Network {
    type Err = MalformedNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (net, ports) = split_ports(text)?;
        let net = parse_net(net)?;
        let (first_port, last_port) = ports.map_or(Ok(ALL_PORTS), parse_ports)?;
        Ok(Self {
            net,
            is_special: special::encloses(net),
            first_port,
            last_port,
        })
    }
}

/// The plainest text that reads as the same entry.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = (self.first_port, self.last_port);
        let brackets = ports != ALL_PORTS && self.net.addr().is_ipv6();
        if brackets {
            f.write_str("[")?;
        }
        write!(f, "{}", self.net.addr())?;
        if self.net.prefix_len() < self.net.max_prefix_len() {
            write!(f, "/{}", self.net.prefix_len())?;
        }
        if brackets {
            f.write_str("]")?;
        }
        match ports {
            ALL_PORTS => Ok(()),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

/// Why a text is no [`Network`], and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MalformedNetwork {
    /// No IP address before the prefix length.
    #[error(
        "`{0}` is not an IP address or network; write one such as 192.0.2.7, 10.1.2.0/24, \
         10.1.2.0/24:10000-20000 or [2001:db8::/32]:5000-6000"
    )]
    Address(String),
    /// A prefix length that is no number or too long for the family.
    #[error("`/{prefix}` is not a prefix length; {ip} takes /0 to /{longest}")]
    Prefix {
        /// The text after the slash.
        prefix: String,
        /// The address before it.
        ip: IpAddr,
        /// 32 or 128.
        longest: u8,
    },
    /// A network whose address lies inside it, not at its start.
    #[error("{ip} is not the first address of a /{prefix}; write {network}, or {ip} for it alone")]
    HostBits {
        /// The address as written.
        ip: IpAddr,
        /// The prefix length as written.
        prefix: u8,
        /// The network it lies in.
        network: IpNet,
    },
    /// A range of addresses, as other servers write them.
    #[error("`{0}` is an address range; write networks instead, such as 10.1.2.0/24")]
    AddressRange(String),
    /// IPv4 written inside IPv6: such peers are judged as IPv4, so the entry would never match.
    #[error("`{text}` is IPv4 written as IPv6, and peers are judged as IPv4; write {network}")]
    Mapped {
        /// The text as written.
        text: String,
        /// The same as IPv4.
        network: Ipv4Net,
    },
    /// A zone identifier.
    #[error("`{0}` names a zone, which a peer address cannot have; write it without the % part")]
    Zone(String),
    /// Brackets that are not closed, not followed by ports, or not around IPv6.
    #[error("`{0}` has brackets in the wrong place; write IPv6 with ports as [2001:db8::/32]:5000")]
    Brackets(String),
    /// A port that is not a number from 1 to 65535.
    #[error("`{0}` is not a port from 1 to 65535, nor a range of them such as 10000-20000")]
    Ports(String),
    /// A port range whose end comes before its start.
    #[error("the port range {first}-{last} runs backwards; write {last}-{first}")]
    PortsReversed {
        /// The first port as written.
        first: u16,
        /// The last port as written.
        last: u16,
    },
}

/// Parts the ports from the network. Only brackets can do that for IPv6.
fn split_ports(text: &str) -> Result<(&str, Option<&str>), MalformedNetwork> {
    if is_address_range(text) {
        return Err(MalformedNetwork::AddressRange(text.to_owned()));
    }
    if let Some(inside) = text.strip_prefix('[') {
        return match inside.split_once("]:") {
            Some((net, ports)) if net.contains(':') => Ok((net, Some(ports))),
            Some(_) | None => Err(MalformedNetwork::Brackets(text.to_owned())),
        };
    }
    match text.split_once(':') {
        Some((net, ports)) if !ports.contains(':') => Ok((net, Some(ports))),
        Some(_) | None => Ok((text, None)),
    }
}

fn is_address_range(text: &str) -> bool {
    let ends = text.split_once('-');
    ends.is_some_and(|(_, last)| last.parse::<IpAddr>().is_ok())
}

fn parse_net(text: &str) -> Result<IpNet, MalformedNetwork> {
    if text.contains('%') {
        return Err(MalformedNetwork::Zone(text.to_owned()));
    }
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (text, None),
    };
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| MalformedNetwork::Address(text.to_owned()))?;
    if prefix.is_some_and(|prefix| prefix.contains(':')) {
        return Err(MalformedNetwork::Brackets(text.to_owned()));
    }
    let net = match prefix {
        Some(prefix) => parse_prefix(ip, prefix)?,
        None => IpNet::from(ip),
    };
    if let Some(network) = mapped(net) {
        return Err(MalformedNetwork::Mapped {
            text: text.to_owned(),
            network,
        });
    }
    if net != net.trunc() {
        return Err(MalformedNetwork::HostBits {
            ip,
            prefix: net.prefix_len(),
            network: net.trunc(),
        });
    }
    Ok(net)
}

fn parse_prefix(ip: IpAddr, text: &str) -> Result<IpNet, MalformedNetwork> {
    let net = parse_number(text).and_then(|prefix| IpNet::new(ip, u8::try_from(prefix).ok()?).ok());
    net.ok_or_else(|| MalformedNetwork::Prefix {
        prefix: text.to_owned(),
        ip,
        longest: IpNet::from(ip).max_prefix_len(),
    })
}

fn parse_ports(text: &str) -> Result<(u16, u16), MalformedNetwork> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text| {
        let port = parse_number(text).filter(|&port| port != 0);
        port.ok_or_else(|| MalformedNetwork::Ports(text.to_owned()))
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(MalformedNetwork::PortsReversed { first, last });
    }
    Ok((first, last))
}

/// Digits and nothing else: the standard library would also take `+5`.
fn parse_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The IPv4 network that an IPv4-mapped one means.
fn mapped(net: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(net) = net else { return None };
    let prefix = net.prefix_len().checked_sub(96)?;
    let net = Ipv4Net::new(net.addr().to_ipv4_mapped()?, prefix).ok()?;
    Some(net.trunc())
}

/// Port 0 is the address of nothing.
const ALL_PORTS: (u16, u16) = (1, u16::MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    /// The advice given for a text that is refused.
    fn advice(text: &str) -> String {
        text.parse::<Network>().unwrap_err().to_string()
    }

    #[test]
    fn every_documented_form_is_read_and_written_back() {
        for text in [
            "192.0.2.7",
            "192.0.2.7:3478",
            "10.1.2.0/24",
            "10.1.2.0/24:3478",
            "10.1.2.0/24:10000-20000",
            "0.0.0.0/0",
            "2001:db8::7",
            "2001:db8::/32",
            "[2001:db8::7]:5000",
            "[2001:db8::/32]:5000-6000",
            "::/0",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn all_that_is_superfluous_is_left_out_when_written() {
        assert_eq!(network("192.0.2.7/32").to_string(), "192.0.2.7");
        assert_eq!(
            network("[2001:DB8:0::/32]:1-65535").to_string(),
            "2001:db8::/32"
        );
        assert_eq!(network("10.0.0.0/8:80-80").to_string(), "10.0.0.0/8:80");
    }

    #[test]
    fn an_entry_names_its_network_on_its_ports_only() {
        let entry = network("10.1.2.0/24:100-200");
        let (inside, outside) = ("10.1.2.255".parse().unwrap(), "10.1.3.0".parse().unwrap());
        assert!(entry.contains(inside, 100) && entry.contains(inside, 200));
        assert!(!entry.contains(inside, 99) && !entry.contains(inside, 201));
        assert!(!entry.contains(outside, 150) && entry.contains_ip(inside));
        assert!(
            !network("::/0").contains(inside, 150),
            "the families are apart"
        );
    }

    #[test]
    fn what_is_no_address_is_answered_with_the_right_forms() {
        for text in [
            "",
            "example.org",
            "10.1.2/24",
            "10.01.2.3",
            " 10.1.2.3",
            "2001:db8::7:10000",
        ] {
            let advice = advice(text);
            assert!(
                advice.starts_with(&format!("`{text}` is not an IP address")),
                "{advice}"
            );
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_refused_with_both_meanings() {
        assert_eq!(
            advice("10.1.2.3/24"),
            "10.1.2.3 is not the first address of a /24; write 10.1.2.0/24, or 10.1.2.3 for it \
             alone"
        );
        assert!(advice("2001:db8::1/32").contains("write 2001:db8::/32,"));
    }

    #[test]
    fn a_prefix_must_fit_the_family() {
        for prefix in ["33", "", "+8", "-1", "255.0.0.0", "99999"] {
            let expected = format!("`/{prefix}` is not a prefix length; 10.0.0.0 takes /0 to /32");
            assert_eq!(advice(&format!("10.0.0.0/{prefix}")), expected);
        }
        assert!(advice("2001:db8::/129").ends_with("takes /0 to /128"));
    }

    #[test]
    fn ipv4_in_ipv6_is_refused_because_it_would_never_match() {
        assert!(advice("::ffff:10.1.2.3").ends_with("write 10.1.2.3/32"));
        assert!(advice("::ffff:0:0/96").ends_with("write 0.0.0.0/0"));
        assert!(advice("[::ffff:10.0.0.0/104]:80").ends_with("write 10.0.0.0/8"));
    }

    #[test]
    fn ipv6_with_ports_needs_brackets_and_nothing_else_has_them() {
        for text in [
            "2001:db8::/32:5000",
            "[2001:db8::]/32:5000",
            "[2001:db8::7]",
            "[2001:db8::7:80",
            "[10.0.0.0/8]:80",
            "[]",
        ] {
            assert!(advice(text).contains("brackets in the wrong"), "{text}");
        }
    }

    #[test]
    fn ports_run_upwards_from_one() {
        assert_eq!(
            advice("10.0.0.0/8:200-100"),
            "the port range 200-100 runs backwards; write 100-200"
        );
        for ports in ["0", "0-5", "65536", "", "-", "80-", "+80", "http", "1-2-3"] {
            assert!(
                advice(&format!("10.0.0.1:{ports}")).contains("is not a port"),
                "{ports}"
            );
        }
    }

    #[test]
    fn the_ranges_and_zones_of_other_programs_are_refused() {
        assert!(advice("10.0.0.0-10.255.255.255").contains("write networks instead"));
        assert!(advice("::1-::2").contains("write networks instead"));
        assert!(advice("fe80::1%eth0").contains("without the % part"));
    }

    /// Any entry there can be.
    fn any_network() -> impl Strategy<Value = Network> {
        let net = prop_oneof![
            (any::<u32>(), 0..=32u8).prop_map(|(ip, prefix)| (IpAddr::V4(ip.into()), prefix)),
            (any::<u128>(), 0..=128u8).prop_map(|(ip, prefix)| (IpAddr::V6(ip.into()), prefix)),
        ];
        let net = net.prop_map(|(ip, prefix)| IpNet::new(ip, prefix).unwrap().trunc());
        let port = || prop_oneof![1..=u16::MAX, Just(1), Just(u16::MAX)];
        (net, port(), port()).prop_map(|(net, a, b)| Network {
            net,
            is_special: special::encloses(net),
            first_port: a.min(b),
            last_port: a.max(b),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(entry in any_network()) {
            prop_assert_eq!(entry.to_string().parse(), Ok(entry));
        }

        #[test]
        fn no_text_upsets_the_reader(text in "[0-9a-f:./\\[\\]%-]{0,40}|\\PC{0,20}") {
            if let Ok(entry) = text.parse::<Network>() {
                prop_assert_eq!(entry.to_string().parse(), Ok(entry));
            }
        }
    }
}
