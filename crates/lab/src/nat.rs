//! NATs and firewalls, as Linux makes them of nftables.
//!
//! Linux itself filters by address and port: a packet that no entry of conntrack expects goes to
//! the router, which drops it. A more open filter is a rule that sends such packets to the host.
//! Where the port is not chosen at random Linux keeps it, so that one mapping serves all
//! destinations.

use std::net::Ipv4Addr;

/// The NAT or firewall between a host and the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// A router that only forwards.
    None,
    /// One mapping; anyone may answer. Its hosts reach each other by their mapped addresses.
    FullCone,
    /// One mapping; addresses that were asked may answer.
    Restricted,
    /// One mapping; only the address and port that were asked may answer.
    PortRestricted,
    /// Another mapping for every destination.
    Symmetric,
    /// A home's NAT behind a carrier's, both port-restricted.
    Carrier,
    /// A NAT that lets TCP pass, and refuses UDP.
    UdpBlocked,
    /// A NAT that lets only TCP to port 443 pass, and refuses everything else.
    WebOnly,
    /// Drops every packet, silently.
    Blocked,
    /// IPv4 behind a port-restricted NAT; over IPv6 a firewall that lets in answers only.
    Ipv6Firewall,
}

impl Nat {
    /// The rules of the router, whose links are `lan` and `wan`. `outside` is its address, `inside`
    /// that of the host.
    pub fn rules(self, outside: Ipv4Addr, inside: Ipv4Addr) -> String {
        match self {
            Self::None => String::new(),
            Self::FullCone => {
                let to_outside =
                    format!("ip daddr {outside} udp dport 1024-65535 dnat to {inside}");
                let back_in = format!("oifname lan ip saddr {inside} snat to {outside}");
                CLOSED.to_owned() + &nat(&to_outside, &format!("{MASQUERADE}; {back_in}"))
            }
            Self::Restricted => {
                let asked = "iifname wan ip saddr . udp dport @asked";
                ASKED.to_owned() + CLOSED + &nat(&format!("{asked} dnat to {inside}"), MASQUERADE)
            }
            Self::PortRestricted | Self::Carrier => CLOSED.to_owned() + &nat("", MASQUERADE),
            Self::Symmetric => CLOSED.to_owned() + &nat("", "oifname wan masquerade fully-random"),
            Self::UdpBlocked => forbid("meta l4proto udp reject") + &nat("", MASQUERADE),
            Self::WebOnly => {
                forbid("tcp dport != 443 reject; iifname lan meta l4proto != tcp reject")
                    + &nat("", MASQUERADE)
            }
            Self::Blocked => forbid("drop"),
            Self::Ipv6Firewall => ANSWERS_ONLY.to_owned() + CLOSED + &nat("", MASQUERADE),
        }
    }
}

/// Translation of incoming and of outgoing packets.
fn nat(incoming: &str, outgoing: &str) -> String {
    format!(
        "table ip nat {{\n\
           chain incoming {{ type nat hook prerouting priority dstnat; {incoming}; }}\n\
           chain outgoing {{ type nat hook postrouting priority srcnat; {outgoing}; }}\n\
         }}\n"
    )
}

/// Packets that the host may not send.
fn forbid(rule: &str) -> String {
    format!(
        "table inet forbidden {{\n\
           chain forward {{ type filter hook forward priority filter; iifname lan {rule}; }}\n\
         }}\n"
    )
}

const MASQUERADE: &str = "oifname wan masquerade";

/// A closed port is not reported, and no entry of conntrack is made for a packet to it.
const CLOSED: &str = "table ip closed {\n\
     chain input {\n\
       type filter hook input priority filter;\n\
       iifname wan ct state established,related accept\n\
       iifname wan drop\n\
     }\n\
   }\n";

/// The addresses that were asked, each with the port that asked: Linux keeps it.
const ASKED: &str = "table ip nat {\n\
     set asked { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 1m; }\n\
     chain asking {\n\
       type filter hook forward priority filter;\n\
       iifname lan oifname wan meta l4proto udp update @asked { ip daddr . udp sport }\n\
     }\n\
   }\n";

/// A firewall by RFC 6092, more or less. Neighbours are found by ICMP.
const ANSWERS_ONLY: &str = "table ip6 firewall {\n\
     chain forward {\n\
       type filter hook forward priority filter;\n\
       iifname wan ct state established,related accept\n\
       iifname wan meta l4proto ipv6-icmp accept\n\
       iifname wan drop\n\
     }\n\
   }\n";
