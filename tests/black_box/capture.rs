//! The headers of packets that arrive at the clients' host, as a sniffer sees them.

use std::{
    io::{ErrorKind, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use lab::PATIENCE;
use socket2::{Domain, Protocol, Socket, Type};
use wire::AddressFamily;

/// A sniffer.
pub(crate) struct Capture {
    socket: Socket,
    family: AddressFamily,
}

/// A UDP datagram or a fragment of one.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// DSCP and ECN.
    pub(crate) marking: u8,
    /// The DF bit, of IPv4 only.
    pub(crate) dont_fragment: bool,
    pub(crate) is_fragment: bool,
    /// The part that an ICMP error quotes: the IPv4 header, and the ports.
    pub(crate) head: Vec<u8>,
    /// The bytes after the UDP header; in later fragments, which have none, any bytes.
    pub(crate) payload: Vec<u8>,
}

impl Capture {
    /// A sniffer of all packets that arrive over this family from now on. Packets that leave are
    /// not seen.
    pub(crate) fn of(family: AddressFamily) -> Self {
        let protocol: u16 = match family {
            AddressFamily::V4 => 0x0800,
            AddressFamily::V6 => 0x86DD,
        };
        let protocol = Protocol::from(i32::from(protocol.to_be()));
        // Packets come without the header of the link.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol));
        let socket = socket.expect("root may sniff in its own world");
        Self { socket, family }
    }

    /// The next datagram from one address to another.
    #[track_caller]
    pub(crate) fn next(&mut self, source: IpAddr, destination: IpAddr) -> Packet {
        let wanted = |packet: &Packet| (packet.source, packet.destination) == (source, destination);
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = Some(left.max(Duration::from_millis(1)));
            self.socket.set_read_timeout(patience).expect("not zero");
            let length = match self.socket.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("no packet from {source} to {destination}")
                }
                Err(error) => panic!("cannot sniff: {error}"),
            };
            let packet = match self.family {
                AddressFamily::V4 => read_v4(&buffer[..length]),
                AddressFamily::V6 => read_v6(&buffer[..length]),
            };
            if let Some(packet) = packet.filter(wanted) {
                return packet;
            }
        }
    }
}

/// RFC 791 §3.1.
fn read_v4(packet: &[u8]) -> Option<Packet> {
    let (header, _) = packet.split_first_chunk::<20>()?;
    let length = usize::from(header[0] & 0x0F) * 4;
    let ip = |at| Ipv4Addr::from(<[u8; 4]>::try_from(&header[at..at + 4]).expect("four octets"));
    (header[9] == UDP).then(|| Packet {
        source: ip(12).into(),
        destination: ip(16).into(),
        marking: header[1],
        dont_fragment: header[6] & 0x40 != 0,
        is_fragment: u16::from_be_bytes([header[6] & 0x3F, header[7]]) != 0,
        head: packet.get(..length + 8).unwrap_or_default().to_vec(),
        payload: packet.get(length + 8..).unwrap_or_default().to_vec(),
    })
}

/// RFC 8200 §3, §4.5.
fn read_v6(packet: &[u8]) -> Option<Packet> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let ip = |at| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).expect("sixteen"));
    let is_fragment = header[6] == FRAGMENT;
    (header[6] == UDP || is_fragment).then(|| Packet {
        source: ip(8).into(),
        destination: ip(24).into(),
        marking: header[0] << 4 | header[1] >> 4,
        dont_fragment: false,
        is_fragment,
        head: Vec::new(),
        payload: rest.get(8..).unwrap_or_default().to_vec(),
    })
}

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
