//! Outcomes of packets: who heard what, and what was counted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use wire::attributes::{Data, XorPeerAddress};
use wire::{Message, Method};

use crate::marking::Marking;

/// The outcome of some packets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// By receiver, by sender, and whether it is an answer, in their order.
    pub(super) heard: BTreeMap<(SocketAddr, SocketAddr, bool), Vec<Heard>>,
    /// The counters of the core, and how many datagrams the sockets could not send.
    pub(super) counted: Vec<u64>,
}

/// A datagram that was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    marking: Marking,
    length: usize,
    /// Of its bytes.
    digest: u64,
}

impl Outcome {
    pub(super) fn hear(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        marking: Marking,
        bytes: &[u8],
    ) {
        let is_answer = bytes.starts_with(&[0x01, 0x01]);
        let heard = self.heard.entry((to, from, is_answer)).or_default();
        heard.push(Heard {
            marking,
            length: bytes.len(),
            digest: digest(bytes),
        });
    }

    /// Whether nothing more is to come, be it right or wrong.
    pub(super) fn is_as_much_as(&self, expected: &Self) -> bool {
        let heard = |it: &Self| it.heard.values().map(Vec::len).sum::<usize>();
        heard(self) >= heard(expected) && self.counted == expected.counted
    }

    pub(super) fn add(&mut self, other: Self) {
        for (way, heard) in other.heard {
            self.heard.entry(way).or_default().extend(heard);
        }
        self.counted.resize(other.counted.len(), 0);
        let counts = self.counted.iter_mut().zip(&other.counted);
        counts.for_each(|(count, other)| *count += other);
    }
}

/// Of all bytes; every Data indication has a transaction ID of its own, which also veils the peer.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let message = Message::parse(bytes).ok();
    match message.filter(|message| message.method() == Method::Data) {
        Some(message) => {
            let peer = message.get::<XorPeerAddress>().unwrap().unwrap();
            let data = message.get::<Data<'_>>().unwrap().unwrap();
            (peer.0, data.0).hash(&mut hasher);
        }
        None => bytes.hash(&mut hasher),
    }
    hasher.finish()
}

pub(super) fn difference(before: &[u64], after: &[u64]) -> Vec<u64> {
    let counts = before.iter().zip(after);
    counts.map(|(before, after)| after - before).collect()
}

/// The longest datagram over IPv4, and over IPv6.
pub(super) const LARGEST: usize = 65_507;
pub(super) const LARGEST_V6: usize = 65_527;
