//! Whether the server denies peers that its users must not reach.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use client::{Event, Failure};

use super::credentials::Allocation;
use super::link::Link;
use super::{Code, DISCARD, PATIENCE, Patient, is_private};

impl Patient {
    /// Asks for permissions that must be refused. Nothing is sent there.
    pub(super) async fn peer_policy(&mut self, allocation: &mut Allocation) {
        let is_private = is_private(allocation.relayed.ip());
        // A relay on a private network is meant for the peers on it.
        let is_meant = |code| is_private && code == Code::RelaysToPrivate;
        let forbidden = forbidden(allocation.relayed.ip()).iter();
        let forbidden: Vec<_> = forbidden.filter(|(code, _)| !is_meant(*code)).collect();
        let peers: Vec<_> = forbidden.iter().flat_map(|(_, peers)| *peers).collect();
        let answers = permissions(&mut allocation.link, &peers).await;
        for (code, peers) in forbidden {
            let granted = peers.iter().filter(|peer| answers.granted.contains(peer));
            let granted: Vec<_> = granted.map(ToString::to_string).collect();
            if !granted.is_empty() {
                let sentence = format!("a permission is granted for {}", granted.join(", "));
                self.find(*code, sentence);
            }
        }
        // Silence is no refusal.
        if answers.refused == peers.len() {
            let sentence = if is_private {
                "permissions for loopback and link-local peers are refused"
            } else {
                "permissions for loopback, link-local and private peers are refused"
            };
            self.find(Code::PolicyCloses, sentence);
        }
    }
}

/// The server's answers to requests for permissions.
#[derive(Debug, Default)]
struct Answers {
    granted: HashSet<IpAddr>,
    refused: usize,
}

/// Asks for a permission for each of these, all at once.
async fn permissions(link: &mut Link, peers: &[&IpAddr]) -> Answers {
    let now = Instant::now();
    for peer in peers {
        let peer = SocketAddr::new(**peer, DISCARD);
        link.client.create_permission(now, &[peer]);
    }
    let mut answers = Answers::default();
    let mut left = peers.len();
    while left > 0
        && let Ok(event) = link.next(now + PATIENCE).await
    {
        if let Event::PermissionCreated { peers } = event {
            answers.granted.extend(peers.iter().map(SocketAddr::ip));
            left -= 1;
        } else if let Event::Failed { failure, .. } = event {
            answers.refused += usize::from(matches!(failure, Failure::Refused { .. }));
            left -= 1;
        }
    }
    answers
}

/// Addresses that no peer on the Internet has, of the family that is relayed, and the finding if
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
            // 127.0.0.1 in IPv4-mapped form. RFC 4291 §2.5.5.2.
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
