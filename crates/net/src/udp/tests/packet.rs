//! Packets for the shard.

use std::net::SocketAddr;

use relay::{ClientTuple, Transport};

use crate::marking::Marking;

/// A packet for the shard.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Of its sender, if that is a client.
    pub(super) transport: Transport,
    pub(super) marking: Marking,
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn client(&self) -> ClientTuple {
        ClientTuple {
            transport: self.transport,
            client: self.from,
            server: self.to,
        }
    }

    /// A stream has the marking of its connection, which is plain here.
    pub(super) fn marked(self, marking: Marking) -> Self {
        if self.transport.is_stream() {
            return self;
        }
        Self { marking, ..self }
    }

    /// Whether both may be sent in one call.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let like = |it: &Self| (it.from, it.to, it.marking, it.bytes.len());
        like(self) == like(other)
    }
}
