//! Whether the server denies peers that its users must not reach.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use client::{Event, Failure};

use super::credentials::Allocation;
use super::dialogue::Dialogue;
use super::{Code, DISCARD, PATIENCE, Patient, is_private};

impl Patient {
    /// Asks for permissions that must be refused. Nothing is sent there.
    pub(super) async fn peer_policy(&mut self, allocation: &mut Allocation) {
        let is_private = is_private(allocation.relayed.ip());
        // A relay on a private network is meant for the peers on it.
        let is_meant = |code| is_private && code == Code::RelaysToPrivate;
        let forbidden = forbidden(allocation.relayed.ip());
        let forbidden: Vec<_> = forbidden.filter(|(code, _)| !is_meant(*code)).collect();
        let peers: Vec<_> = forbidden.iter().flat_map(|(_, peers)| peers).collect();
        let answers = permissions(&mut allocation.dialogue, &peers).await;
        for (code, peers) in &forbidden {
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
async fn permissions(dialogue: &mut Dialogue, peers: &[&IpAddr]) -> Answers {
    let now = Instant::now();
    for peer in peers {
        let peer = SocketAddr::new(**peer, DISCARD);
        dialogue.client.create_permission(now, &[peer]);
    }
    let mut answers = Answers::default();
    let mut left = peers.len();
    while left > 0
        && let Ok(event) = dialogue.next(now + PATIENCE).await
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
fn forbidden(relayed: IpAddr) -> impl Iterator<Item = (Code, Vec<IpAddr>)> {
    FORBIDDEN.into_iter().map(move |(code, v4, v6)| {
        let peers = if relayed.is_ipv4() { v4 } else { v6 };
        let peers = peers.split(' ').map(|ip| ip.parse().expect("an address"));
        (code, peers.collect())
    })
}

/// The last address of loopback is 127.0.0.1 in IPv4-mapped form. RFC 4291 §2.5.5.2.
const FORBIDDEN: [(Code, &str, &str); 3] = [
    (
        Code::RelaysToLoopback,
        "127.0.0.1 0.0.0.0",
        "::1 :: ::ffff:127.0.0.1",
    ),
    (
        Code::RelaysToLinkLocal,
        "169.254.169.254",
        "fe80::a9fe:a9fe",
    ),
    (
        Code::RelaysToPrivate,
        "10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1",
        "fd00:ec2::254",
    ),
];
