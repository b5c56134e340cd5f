//! The addresses that the kernel takes for this host, and word of their changes: rtnetlink. RFC 3549.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};

/// All that is this host by its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// The addresses of its interfaces, in the kernel's order.
    pub(crate) addresses: Vec<Address>,
    /// Networks that its `local` routing tables call local, anycast or broadcast, without loopback.
    pub(crate) networks: Vec<IpNet>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    /// Whether it is in use, and stays: neither temporary (RFC 8981), nor deprecated, nor still
    /// looked for at another host (RFC 4862).
    pub(crate) is_stable: bool,
    /// The index of the interface.
    pub(crate) interface: u32,
}

/// The kernel cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot ask the kernel for the addresses of this host: {0}; clients could reach its services \
     by those that the server does not know, so it does not run without: let it use AF_NETLINK \
     (`RestrictAddressFamilies=` of a systemd unit, the seccomp profile of a container)"
)]
pub(crate) struct Unasked(#[from] io::Error);

impl Inventory {
    /// Asks the kernel. Takes about a millisecond; no packet is sent.
    pub(crate) fn read() -> Result<Self, Unasked> {
        let mut inventory = Self::default();
        for _ in 0..TRIES {
            inventory = Self::default();
            if inventory.fill()? {
                break;
            }
        }
        inventory.networks = IpNet::aggregate(&inventory.networks);
        Ok(inventory)
    }

    /// Reads all; returns whether nothing changed meanwhile.
    fn fill(&mut self) -> io::Result<bool> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut is_whole = self.dump(all)?;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut table = RouteMessage::default();
            table.header.address_family = family;
            table.header.table = TABLE_LOCAL;
            is_whole &= self.dump(RouteNetlinkMessage::GetRoute(table))?;
        }
        Ok(is_whole)
    }

    /// Asks for one list and notes what is on it; returns whether it is of one moment.
    fn dump(&mut self, question: RouteNetlinkMessage) -> io::Result<bool> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Kernels before 4.20 do not know it, and list all tables.
        let _ = socket.set_netlink_get_strict_chk(true);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(question));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        socket.send(&bytes, 0)?;
        let mut is_whole = true;
        loop {
            let (bytes, _) = socket.recv_from_full()?;
            for message in messages(&bytes) {
                let message = message?;
                is_whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
                let end = if let NetlinkPayload::InnerMessage(entry) = message.payload {
                    self.note(entry);
                    continue;
                } else if let NetlinkPayload::Done(done) = message.payload {
                    done.code
                } else if let NetlinkPayload::Error(error) = message.payload {
                    error.raw_code()
                } else {
                    continue;
                };
                return ended(end).map(|()| is_whole);
            }
        }
    }

    fn note(&mut self, entry: RouteNetlinkMessage) {
        if let RouteNetlinkMessage::NewAddress(address) = entry {
            self.addresses.extend(interface(&address));
        } else if let RouteNetlinkMessage::NewRoute(route) = entry {
            let network = network(&route).filter(|network| !network.addr().is_loopback());
            self.networks.extend(network);
        }
    }
}

fn interface(message: &AddressMessage) -> Option<Address> {
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            local = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            address = Some(*ip);
        } else if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        }
    }
    // On a point-to-point link `Address` is the other end.
    let ip = local.or(address)?;
    // The kernel has one bit for both: IPv4's second address of a network is as good as the first.
    let temporary = AddressFlags::Secondary;
    let unfit = AddressFlags::Deprecated | AddressFlags::Dadfailed;
    let is_unproven =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    let is_unstable = flags.intersects(temporary | unfit) || is_unproven;
    Some(Address {
        ip,
        is_stable: ip.is_ipv4() || !is_unstable,
        interface: message.header.index,
    })
}

/// The network that a route of the table `local` makes this host's.
fn network(route: &RouteMessage) -> Option<IpNet> {
    let RouteHeader {
        address_family,
        destination_prefix_length,
        table: TABLE_LOCAL,
        kind: RouteType::Local | RouteType::Anycast | RouteType::Broadcast,
        ..
    } = route.header
    else {
        return None;
    };
    let destination = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(RouteAddress::Inet(ip)) = attribute {
            Some(IpAddr::V4(*ip))
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(ip)) = attribute {
            Some(IpAddr::V6(*ip))
        } else {
            None
        }
    });
    // A route to everything names no destination.
    let everything = if address_family == AddressFamily::Inet {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    IpNet::new(destination.unwrap_or(everything), destination_prefix_length).ok()
}

/// How a list ended. A table that nobody has put anything into may not exist.
fn ended(code: i32) -> io::Result<()> {
    match io::Error::from_raw_os_error(code.saturating_abs()) {
        _ if code == 0 => Ok(()),
        error if error.kind() == io::ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

/// The messages of a datagram.
fn messages(bytes: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
        let length = message.as_ref().map_or(rest.len(), |message| {
            (message.header.length as usize).next_multiple_of(4)
        });
        rest = rest.get(length..).unwrap_or_default();
        Some(message.map_err(io::Error::other))
    })
}

/// Word from the kernel that addresses or routes to this host change.
pub(crate) struct Watch(TokioSocket);

impl Watch {
    /// Needs a runtime around it. Changes from now on are told.
    pub(crate) fn open() -> Result<Self, Unasked> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind_auto()?;
        for group in GROUPS {
            socket.socket_mut().add_membership(group)?;
        }
        Ok(Self(socket))
    }

    /// Waits until something may have changed. Word that was lost is word, too.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        loop {
            match self.0.recv_from_full().await {
                Ok((bytes, _)) if !concerns_us(&bytes) => {}
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets what was told: all is about to be read.
    pub(crate) fn forget(&self) {
        while self.0.socket_ref().recv_from_full().is_ok() {}
    }
}

/// Whether any of it is about an address, about the table `local`, or about a default route.
fn concerns_us(bytes: &[u8]) -> bool {
    messages(bytes).any(|message| match message.map(|message| message.payload) {
        Ok(NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        )) => route.header.table == TABLE_LOCAL || route.header.destination_prefix_length == 0,
        // Addresses; and what cannot be read may be about us.
        Ok(_) | Err(_) => true,
    })
}

/// `RT_TABLE_LOCAL`: what the kernel delivers to the host itself, before it looks anywhere else.
const TABLE_LOCAL: u8 = 255;

/// `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_IPV6_ROUTE`.
const GROUPS: [u32; 4] = [5, 7, 9, 11];

/// The socket's buffer was full, and the kernel has thrown word away.
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

/// How often a list is read that changes while it is read. Word of the change comes as well.
const TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_loopback_and_no_network_of_it() {
        let Inventory {
            addresses,
            networks,
        } = Inventory::read().unwrap();
        let is_loopback = |ip: &IpAddr| ip.is_loopback();
        assert!(addresses.iter().any(|address| is_loopback(&address.ip)));
        assert!(!networks.iter().any(|network| is_loopback(&network.addr())));
    }

    /// An IPv6 address with these flags.
    fn v6(flags: AddressFlags) -> Address {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        message
            .attributes
            .push(AddressAttribute::Address([0x20; 16].into()));
        message.attributes.push(AddressAttribute::Flags(flags));
        interface(&message).unwrap()
    }

    #[test]
    fn only_an_address_that_is_in_use_and_stays_is_stable() {
        assert!(v6(AddressFlags::Permanent).is_stable);
        assert!(v6(AddressFlags::Managetempaddr | AddressFlags::StablePrivacy).is_stable);
        assert!(v6(AddressFlags::Tentative | AddressFlags::Optimistic).is_stable);
        for flags in [
            AddressFlags::Secondary,
            AddressFlags::Deprecated,
            AddressFlags::Tentative,
            AddressFlags::Dadfailed,
        ] {
            assert!(!v6(flags).is_stable, "{flags:?}");
        }
    }

    #[test]
    fn only_the_local_table_and_its_routes_to_this_host_count() {
        let route = |table, kind| {
            let mut route = RouteMessage::default();
            route.header.address_family = AddressFamily::Inet;
            route.header.destination_prefix_length = 24;
            route.header.table = table;
            route.header.kind = kind;
            let destination = RouteAddress::Inet([198, 51, 100, 0].into());
            route
                .attributes
                .push(RouteAttribute::Destination(destination));
            network(&route)
        };
        let whole = "198.51.100.0/24".parse().ok();
        for kind in [RouteType::Local, RouteType::Anycast, RouteType::Broadcast] {
            assert_eq!(route(TABLE_LOCAL, kind), whole);
            // A table for marked packets only, as transparent proxies have it.
            assert_eq!(route(100, kind), None);
        }
        assert_eq!(route(TABLE_LOCAL, RouteType::Multicast), None);
        assert_eq!(route(TABLE_LOCAL, RouteType::Unicast), None);
    }
}
