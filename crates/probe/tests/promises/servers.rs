//! A STUN server with two addresses and two ports, as plain as RFC 5780 §6 lets it be.

use std::net::SocketAddr;
use std::sync::Arc;

use webrtc_util::Conn;
use webrtc_util::vnet::net::Net;
use wire::attributes::{ChangeRequest, OtherAddress, Padding, ResponsePort, XorMappedAddress};
use wire::{Class, Message, Method, Writer};

pub(crate) const FIRST: &str = "203.0.113.1";
pub(crate) const SECOND: &str = "203.0.113.2";
const PORTS: [u16; 2] = [3478, 3479];

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// RFC 5780.
    Discovery,
    /// RFC 8489 and no more.
    Ordinary,
    /// Announces a second address that does not answer.
    DeadAlternate,
    /// Ignores CHANGE-REQUEST.
    Stubborn,
    /// Refuses with this code.
    Refusing(u16),
}

/// Serves on both addresses and ports until the test ends.
pub(crate) async fn serve(net: &Net, manner: Manner) {
    let mut conns: Vec<Arc<dyn Conn + Send + Sync>> = Vec::new();
    for ip in [FIRST, SECOND] {
        for port in PORTS {
            let address = SocketAddr::new(ip.parse().unwrap(), port);
            conns.push(net.bind(address).await.unwrap());
        }
    }
    for own in 0..conns.len() {
        let conns = conns.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = conns[own].recv_from(&mut buffer).await.unwrap();
                if manner == Manner::DeadAlternate && own >= 2 {
                    continue;
                }
                if let Some((by, to, answer)) = answer(&buffer[..length], from, own, manner) {
                    conns[by].send_to(&answer, to).await.unwrap();
                }
            }
        });
    }
}

/// The socket that answers a request, and its answer.
fn answer(
    packet: &[u8],
    from: SocketAddr,
    own: usize,
    manner: Manner,
) -> Option<(usize, SocketAddr, Vec<u8>)> {
    let request = Message::parse(packet).ok()?;
    let mut answer = Vec::new();
    let id = request.transaction();
    if let Manner::Refusing(code) = manner {
        let mut writer = Writer::new(&mut answer, Method::Binding, Class::Error, id);
        writer.put(&wire::attributes::ErrorCode { code, reason: "" });
        return Some((own, from, answer));
    }
    let mut writer = Writer::new(&mut answer, Method::Binding, Class::Success, id);
    writer.put(&XorMappedAddress(from));
    if manner != Manner::Ordinary {
        let other = SocketAddr::new(
            [FIRST, SECOND][usize::from(own < 2)].parse().unwrap(),
            PORTS[1 - own % 2],
        );
        writer.put(&OtherAddress(other));
    }
    if let Some(padding) = request.get::<Padding<'_>>().unwrap() {
        writer.put(&padding);
    }
    let change = request.get::<ChangeRequest>().unwrap().unwrap_or_default();
    let mut by = own;
    if manner != Manner::Stubborn {
        by ^= usize::from(change.ip) * 2 + usize::from(change.port);
    }
    if manner == Manner::DeadAlternate && by >= 2 {
        return None;
    }
    let port = request.get::<ResponsePort>().unwrap();
    let to = SocketAddr::new(from.ip(), port.map_or(from.port(), |port| port.0));
    Some((by, to, answer))
}
