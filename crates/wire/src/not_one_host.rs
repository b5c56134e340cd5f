use std::net::{IpAddr, Ipv4Addr};

/// Why an address cannot be that of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOneHost {
    /// It is `0.0.0.0` or `::`.
    Unspecified,
    /// It is a group's.
    Multicast,
    /// It is `255.255.255.255`.
    Broadcast,
}

impl NotOneHost {
    /// `None` if the address can be one host's.
    pub fn of(ip: IpAddr) -> Option<Self> {
        if ip.is_unspecified() {
            return Some(Self::Unspecified);
        }
        if ip.is_multicast() {
            return Some(Self::Multicast);
        }
        (ip == Ipv4Addr::BROADCAST).then_some(Self::Broadcast)
    }
}
