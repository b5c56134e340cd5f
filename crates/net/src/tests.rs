//! What the unit tests of this crate start servers with.

use std::net::{IpAddr, Ipv4Addr};

use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Rules};

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A request of 20 bytes that everybody is answered.
pub(crate) const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42twelve bytes";

/// A server without users, at these relay addresses.
pub(crate) fn config(relays: Vec<RelayAddress>) -> Config {
    let ports = PortRange::new(20_000, 20_999).unwrap();
    Config::new(ProcessSecret([7; 32]), relays, ports, rules("hairpin.test"))
}

pub(crate) fn rules(realm: &str) -> Rules {
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: vec![],
        relay_ports: 20_000..=20_999,
    };
    let policy = Policy::new(Mode::Closed, vec![], vec![], own);
    Rules::new(Keys::new(realm), policy)
}
