//! Whether the server keeps its users out of places that are not theirs.

use std::net::SocketAddr;

use super::credentials::Allocation;
use super::relaying::ask;
use super::{Code, Patient};

impl Patient {
    /// Asks for permissions that must be refused. Nothing is sent there.
    pub(super) async fn peer_policy(&mut self, allocation: &mut Allocation) {
        let mut is_closed = true;
        for (code, peers) in FORBIDDEN {
            let mut granted = Vec::new();
            for peer in peers {
                let peer: SocketAddr = SocketAddr::new(peer.parse().expect("an address"), 9);
                let permission = ask(&mut allocation.link, |client, now| {
                    client.create_permission(now, &[peer]);
                });
                if permission.await.is_ok() {
                    granted.push(peer.ip().to_string());
                }
            }
            if !granted.is_empty() {
                is_closed = false;
                let sentence = format!("a permission is granted for {}", granted.join(", "));
                self.find(code, sentence);
            }
        }
        if is_closed {
            let sentence = "permissions for loopback, link-local and private peers are refused";
            self.find(Code::PolicyCloses, sentence);
        }
    }
}

/// Addresses that are no peers on the Internet, and what it means if one is granted.
const FORBIDDEN: [(Code, &[&str]); 3] = [
    (Code::RelaysToLoopback, &["127.0.0.1", "0.0.0.0"]),
    (Code::RelaysToLinkLocal, &["169.254.169.254"]),
    (
        Code::RelaysToPrivate,
        &["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"],
    ),
];
