//! The questions that a server is asked, and its answers by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, TcpStream},
};

use client::Transport;
use lab::{
    PATIENCE,
    live::LiveClient,
    socket::{LiveSocket, udp_to},
    tls::{TlsSession, trusting},
    world::{SERVER_V4, SERVER_V6},
};
use wire::{
    AddressFamily, Class, Message, Method, TransactionId, Writer,
    attributes::{Realm, RequestedTransport},
};

/// The answers of a server to clients.
pub(super) type Seen = BTreeMap<String, String>;

/// Everything that is asked of a server, on its own host.
pub(super) fn ask(
    sockets: &BTreeSet<(String, SocketAddr)>,
    logins: &[(String, String)],
    crowd: &[(String, String)],
    ports: [u16; 2],
    has_tls: bool,
) -> Seen {
    let mut taken = BTreeSet::new();
    let mut seen = Seen::new();
    for (protocol, at) in sockets {
        seen.insert(format!("listener {protocol} {at}"), "yes".to_owned());
    }
    let of = |wanted: &str| {
        let mut here = sockets
            .iter()
            .filter(|(_, at)| at.ip() == IpAddr::V4(SERVER_V4));
        here.find(|(protocol, _)| protocol == wanted)
    };
    let Some((protocol, at)) = of("udp").or_else(|| of("tcp")) else {
        return seen;
    };
    // Where there are no datagrams, TLS is tried first.
    let transport = match protocol.as_str() {
        "udp" => Transport::Udp,
        _ if tls_to(*at).is_some() => Transport::Tls,
        _ => Transport::Tcp,
    };
    if transport == Transport::Udp {
        seen.insert(
            "realm".to_owned(),
            realm(*at).unwrap_or_else(|| "none".to_owned()),
        );
    }
    let (mut good, mut is_silent) = (None, false);
    for (name, password) in logins {
        let mut client = LiveClient::to(*at, transport).login(name, password);
        // A server that was silent once is not asked again: each time costs seconds.
        let outcome = (!is_silent)
            .then(|| client.allocate_within(PATIENCE / 4))
            .flatten();
        is_silent |= outcome.is_none();
        let is_in = matches!(outcome, Some(Ok(_)));
        seen.insert(format!("login {name} {password}"), is_in.to_string());
        if let Some(Ok(relayed)) = outcome {
            taken.insert(relayed.port());
            let is_within = (ports[0]..=ports[1]).contains(&relayed.port());
            seen.insert("relay ports".to_owned(), is_within.to_string());
            seen.insert("relayed address".to_owned(), relayed.ip().to_string());
            good.get_or_insert((client, name, password));
        }
    }
    let Some((mut client, name, password)) = good else {
        return seen;
    };
    for peer in PEERS_V4 {
        seen.insert(format!("peer {peer}"), may_reach(&mut client, peer));
    }
    let mut client = LiveClient::to(*at, transport).login(name, password);
    if client.allocate_of(AddressFamily::V6).is_ok() {
        seen.insert("IPv6".to_owned(), "relayed".to_owned());
        for peer in PEERS_V6 {
            seen.insert(format!("peer {peer}"), may_reach(&mut client, peer));
        }
    }
    for (_, at) in sockets
        .iter()
        .filter(|(protocol, _)| protocol == "tcp" && has_tls)
    {
        let speaks = tls_to(*at).is_some_and(|session| {
            let mut client = LiveClient::on(session).login(name, password);
            matches!(client.allocate_within(PATIENCE / 4), Some(Ok(_)))
        });
        seen.insert(format!("TLS {at}"), speaks.to_string());
    }
    let is_small = usize::from(ports[1] - ports[0]) < crowd.len();
    // Over TCP an allocation would end with its client's connection.
    if is_small && transport == Transport::Udp {
        let crowd = crowd
            .iter()
            .map(|(name, password)| LiveClient::to(*at, transport).login(name, password));
        seen.insert("all relay ports".to_owned(), all_ports(taken, crowd));
    }
    seen
}

/// The ports of a small range, of which some are taken: as many allocations as the server grants, so that a range that
/// is narrower or has moved is seen at both ends.
fn all_ports(mut taken: BTreeSet<u16>, crowd: impl Iterator<Item = LiveClient>) -> String {
    // A socket that is gone may leave its port to the next client, whose allocation would be there already.
    let mut clients = Vec::new();
    for mut client in crowd {
        let Ok(relayed) = client.allocate() else {
            return format!("{taken:?}");
        };
        taken.insert(relayed.port());
        clients.push(client);
    }
    format!("no end after {taken:?}")
}

fn may_reach(client: &mut LiveClient, peer: &str) -> String {
    let ip: IpAddr = peer.parse().expect("an address");
    let outcome = client.create_permission(SocketAddr::new(ip, 9));
    outcome.is_ok().to_string()
}

/// A session over TLS, if the port takes one.
fn tls_to(at: SocketAddr) -> Option<LiveSocket> {
    let stream = TcpStream::connect(at).ok()?;
    // A port for plain TCP waits for the rest of what it takes for a frame.
    let session = TlsSession::connect_within(PATIENCE / 4, stream, at.ip().into(), trusting());
    session.ok().map(LiveSocket::Tls)
}

/// The realm that a stranger is challenged with over UDP.
fn realm(at: SocketAddr) -> Option<String> {
    let mut request = Vec::new();
    let id = TransactionId::new([7; 12]);
    Writer::new(&mut request, Method::Allocate, Class::Request, id).put(&RequestedTransport::UDP);
    let socket = udp_to(at);
    socket.set_read_timeout(Some(PATIENCE / 4)).ok()?;
    socket.send(&request).ok()?;
    let mut packet = [0; 2048];
    let length = socket.recv(&mut packet).ok()?;
    let message = Message::parse(&packet[..length]).ok()?;
    let Realm(realm) = message.get().ok()??;
    Some(realm.to_owned())
}

/// Protocol and address of each listener: all addresses are each address of the host, loopback aside.
pub(super) fn listeners(ss: &str) -> BTreeSet<(String, SocketAddr)> {
    let mut listeners = BTreeSet::new();
    for line in ss.lines() {
        let mut words = line.split_whitespace();
        let protocol = words.next().expect("a protocol").to_owned();
        let local = words.nth(3).expect("an address");
        let (ip, port) = local.rsplit_once(':').expect("a port");
        let port: u16 = port.parse().expect("a port");
        let here: &[IpAddr] = match ip {
            "0.0.0.0" => &[IpAddr::V4(SERVER_V4)],
            "[::]" => &[IpAddr::V6(SERVER_V6)],
            "*" => &[IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)],
            _ => &[],
        };
        let own = ip.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let own = own.filter(|ip| here.is_empty() && !ip.is_loopback());
        for ip in here.iter().copied().chain(own) {
            listeners.insert((protocol.clone(), SocketAddr::new(ip, port)));
        }
    }
    listeners
}

const PEERS_V4: [&str; 18] = [
    "8.8.8.8",
    "9.9.9.9",
    "8.8.4.4",
    "1.1.1.1",
    "10.0.0.5",
    "10.0.0.16",
    "172.16.0.5",
    "192.168.0.5",
    "100.64.0.5",
    "127.0.0.1",
    "0.0.0.1",
    "169.254.169.254",
    "198.18.0.5",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.251",
    "240.0.0.5",
    "255.255.255.255",
];
const PEERS_V6: [&str; 8] = [
    "2606:4700:4700::1111",
    "2a00:1450::8",
    "::1",
    "fd00::5",
    "fe80::5",
    "ff02::fb",
    "2001:db8:51::1",
    "2002::1",
];
