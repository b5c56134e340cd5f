//! Whether the server keeps its users out of places that are not theirs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use client::Failure;

use super::credentials::Allocation;
use super::relaying::ask;
use super::{Code, Patient, is_private};

impl Patient {
    /// Asks for permissions that must be refused. Nothing is sent there.
    pub(super) async fn peer_policy(&mut self, allocation: &mut Allocation) {
        let forbidden = forbidden(allocation.relayed.ip());
        let mut is_closed = true;
        for (code, peers) in forbidden {
            // A relay on a private network is there for the peers on it.
            if *code == Code::RelaysToPrivate && is_private(allocation.relayed) {
                continue;
            }
            let mut granted = Vec::new();
            for peer in *peers {
                let permission = ask(&mut allocation.link, |client, now| {
                    client.create_permission(now, &[SocketAddr::new(*peer, DISCARD)]);
                });
                match permission.await {
                    Ok(()) => granted.push(peer.to_string()),
                    Err(Failure::Refused { .. }) => {}
                    // Silence is no refusal, and would be met again.
                    Err(_) => return,
                }
            }
            if !granted.is_empty() {
                is_closed = false;
                let sentence = format!("a permission is granted for {}", granted.join(", "));
                self.find(*code, sentence);
            }
        }
        if is_closed {
            let sentence = if is_private(allocation.relayed) {
                "permissions for loopback and link-local peers are refused"
            } else {
                "permissions for loopback, link-local and private peers are refused"
            };
            self.find(Code::PolicyCloses, sentence);
        }
    }
}

/// Addresses that are no peers on the Internet, of the family that is relayed, and what it means if
/// one is granted.
fn forbidden(relayed: IpAddr) -> &'static [(Code, &'static [IpAddr])] {
    match relayed {
        IpAddr::V4(_) => &FORBIDDEN_V4,
        IpAddr::V6(_) => &FORBIDDEN_V6,
    }
}

const FORBIDDEN_V4: [(Code, &[IpAddr]); 3] = [
    (
        Code::RelaysToLoopback,
        &[v4(127, 0, 0, 1), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
    ),
    (Code::RelaysToLinkLocal, &[v4(169, 254, 169, 254)]),
    (
        Code::RelaysToPrivate,
        &[
            v4(10, 0, 0, 1),
            v4(172, 16, 0, 1),
            v4(192, 168, 0, 1),
            v4(100, 64, 0, 1),
        ],
    ),
];

const FORBIDDEN_V6: [(Code, &[IpAddr]); 3] = [
    (
        Code::RelaysToLoopback,
        &[
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            // 127.0.0.1 in other clothes. RFC 4291 §2.5.5.2.
            v6([0, 0, 0, 0, 0, 0xFFFF, 0x7F00, 1]),
        ],
    ),
    (
        Code::RelaysToLinkLocal,
        &[v6([0xFE80, 0, 0, 0, 0, 0, 0xA9FE, 0xA9FE])],
    ),
    (
        Code::RelaysToPrivate,
        &[v6([0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254])],
    ),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(words: [u16; 8]) -> IpAddr {
    let [a, b, c, d, e, f, g, h] = words;
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

/// The port of the discard service: permissions do not look at it.
const DISCARD: u16 = 9;
