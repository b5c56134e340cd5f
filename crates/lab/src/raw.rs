//! Packets that no UDP socket sends: forged ones, and ICMP errors about others.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

/// Sends a datagram in the name of `source`.
pub fn forge(datagram: &[u8], source: SocketAddrV4, destination: SocketAddrV4) {
    let packet = udp_packet(datagram, source, destination);
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(WITH_HEADER.into())).expect("a raw socket");
    let sent = raw.send_to(&packet, &destination.into());
    assert_eq!(sent.expect("it is sent"), packet.len());
}

/// A packet of IPv4 and UDP. The kernel fills in fields that are 0, except the checksum of UDP, which
/// may be missing. RFC 791 §3.1, RFC 768.
pub fn udp_packet(datagram: &[u8], source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let [whole, length] = [28, 8].map(|header| u16::try_from(header + datagram.len()));
    let [whole, length] = [whole, length].map(|it| it.expect("a datagram").to_be_bytes());
    [
        &[0x45, 0, whole[0], whole[1], 0, 0, 0, 0, 64, 17, 0, 0],
        &source.ip().octets()[..],
        &destination.ip().octets(),
        &source.port().to_be_bytes(),
        &destination.port().to_be_bytes(),
        &length,
        &[0, 0],
        datagram,
    ]
    .concat()
}

/// Sends an ICMP error about a packet, which a router or host at `source` could not pass on. RFC 792,
/// RFC 1191 §4.
pub fn tell_unreachable(code: u8, mtu: u16, packet: &[u8], source: Ipv4Addr, to: Ipv4Addr) {
    let mut message = [&[3, code, 0, 0, 0, 0][..], &mtu.to_be_bytes(), packet].concat();
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
    let socket = socket.expect("root may do so in its own world");
    let [source, to] = [source, to].map(|ip| SocketAddrV4::new(ip, 0).into());
    socket.bind(&source).expect("an address of ours");
    socket.send_to(&message, &to).expect("a route");
}

/// RFC 1071.
fn checksum(words: &[u8]) -> u16 {
    let words = words.chunks(2).map(|word| match *word {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        _ => u32::from(word[0]) << 8,
    });
    let sum: u32 = words.sum();
    !((sum & 0xFFFF) + (sum >> 16)) as u16
}

/// IPPROTO_RAW: the sender writes the header of IP.
const WITH_HEADER: i32 = 255;
