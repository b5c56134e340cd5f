//! A far host: behind the clients' host, at the end of a narrow link.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
};

use lab::{
    machine::{Machine, configure},
    program::here,
    world::{FAR_V4, FAR_V6},
};

/// A host that the clients' host routes to, behind a link that takes packets of at most `mtu` bytes.
pub(crate) fn far_host(mtu: u16) -> Machine {
    let host = Machine::make();
    for (key, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // ICMP errors are not limited in number: type 0 is none, and no other is named.
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratemask", "0"),
    ] {
        fs::write(format!("/proc/sys/net/{key}"), value).expect("a setting of our own world");
    }
    configure(here("ip"), &near_links(host.pid(), mtu));
    configure(host.command("ip"), &far_links(mtu));
    host
}

fn near_links(far: i32, mtu: u16) -> String {
    format!(
        "link add near0 address {NEAR_MAC} mtu {mtu} type veth \
             peer name far0 address {FAR_MAC} netns {far}\n\
         address add {NEAR_V4}/24 dev near0\n\
         address add {NEAR_V6}/64 dev near0 nodad\n\
         link set near0 up\n\
         neighbor add {FAR_V6} lladdr {FAR_MAC} dev near0\n"
    )
}

fn far_links(mtu: u16) -> String {
    format!(
        "link set lo up\n\
         link set far0 mtu {mtu}\n\
         address add {FAR_V4}/24 dev far0\n\
         address add {FAR_V6}/64 dev far0 nodad\n\
         link set far0 up\n\
         neighbor add {NEAR_V6} lladdr {NEAR_MAC} dev far0\n\
         route add default via {NEAR_V4}\n\
         route add default via {NEAR_V6}\n"
    )
}

const NEAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NEAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0x192, 0, 0, 0, 0, 1);
const NEAR_MAC: &str = "02:00:00:00:00:03";
const FAR_MAC: &str = "02:00:00:00:00:04";
