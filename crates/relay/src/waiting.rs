//! A waiting room: packets of clients that wait, in order and bounded, for something that comes
//! later.
//!
//! The room does not end a wait: that is for the code that knows what is awaited, and by when it
//! must come. Mobility awaits a fence, and authentication a key.

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::{ClientTuple, Now, Server, SourcePrefix};

/// Clients that wait, each for one thing, and their packets.
#[derive(Debug)]
pub(crate) struct WaitingRoom<Awaited> {
    waits: HashMap<ClientTuple, Wait<Awaited>, RandomState>,
    bounds: Bounds,
    /// The bytes of all packets.
    bytes: usize,
    /// The clients and bytes of each source prefix in the room.
    shares: HashMap<SourcePrefix, Share, RandomState>,
}

/// Clients of one source prefix that wait, and the bytes of their packets.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    clients: usize,
    bytes: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Clients.
    pub(crate) clients: usize,
    /// Packets of one client.
    pub(crate) packets: usize,
    /// Bytes of one client.
    pub(crate) bytes: usize,
    /// Bytes in all.
    pub(crate) total: usize,
    /// One source prefix may have one in so many of all clients and bytes.
    pub(crate) parts: usize,
}

#[derive(Debug)]
struct Wait<Awaited> {
    awaited: Awaited,
    packets: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// There is no room for another client or packet.
#[derive(Debug)]
pub(crate) struct Full;

impl<Awaited> WaitingRoom<Awaited> {
    pub(crate) fn new(hasher: RandomState, bounds: Bounds) -> Self {
        Self {
            waits: HashMap::with_hasher(hasher.clone()),
            bounds,
            bytes: 0,
            shares: HashMap::with_hasher(hasher),
        }
    }

    /// Whether a client waits.
    pub(crate) fn has(&self, client: ClientTuple) -> bool {
        self.waits.contains_key(&client)
    }

    /// The thing that a client waits for.
    pub(crate) fn awaited(&self, client: ClientTuple) -> Option<&Awaited> {
        self.waits.get(&client).map(|wait| &wait.awaited)
    }

    /// From now on a client waits for this: with no packet yet, or with those that it has.
    ///
    /// # Errors
    /// If so many clients wait already, in all or of its source prefix.
    pub(crate) fn wait(&mut self, client: ClientTuple, awaited: Awaited) -> Result<(), Full> {
        if let Some(wait) = self.waits.get_mut(&client) {
            wait.awaited = awaited;
            return Ok(());
        }
        let Bounds { clients, parts, .. } = self.bounds;
        let prefix = SourcePrefix::of(client.client.ip());
        let of_prefix = self.shares.get(&prefix).map_or(0, |share| share.clients);
        if self.waits.len() >= clients || of_prefix >= clients / parts {
            return Err(Full);
        }
        self.shares.entry(prefix).or_default().clients += 1;
        let wait = Wait {
            awaited,
            packets: VecDeque::new(),
            bytes: 0,
        };
        self.waits.insert(client, wait);
        Ok(())
    }

    /// Keeps a packet behind the others of its client, if that waits.
    ///
    /// # Errors
    /// If there are too many packets or bytes already.
    pub(crate) fn hold(&mut self, client: ClientTuple, packet: &[u8]) -> Result<(), Full> {
        let Some(wait) = self.waits.get_mut(&client) else {
            return Ok(());
        };
        let prefix = SourcePrefix::of(client.client.ip());
        let share = self.shares.entry(prefix).or_default();
        let length = packet.len();
        let Bounds { total, parts, .. } = self.bounds;
        if wait.packets.len() >= self.bounds.packets
            || wait.bytes + length > self.bounds.bytes
            || self.bytes + length > total
            || share.bytes + length > total / parts
        {
            return Err(Full);
        }
        wait.packets.push_back(packet.to_vec());
        for bytes in [&mut wait.bytes, &mut self.bytes, &mut share.bytes] {
            *bytes += length;
        }
        Ok(())
    }

    /// The packets of a client so far.
    pub(crate) fn packets(&self, client: ClientTuple) -> impl Iterator<Item = &[u8]> {
        let wait = self.waits.get(&client);
        wait.into_iter()
            .flat_map(|wait| &wait.packets)
            .map(Vec::as_slice)
    }

    /// Ends the wait of a client, and returns its packets in the order in which they came.
    pub(crate) fn end(&mut self, client: ClientTuple) -> VecDeque<Vec<u8>> {
        let Some(wait) = self.waits.remove(&client) else {
            return VecDeque::new();
        };
        self.bytes -= wait.bytes;
        let prefix = SourcePrefix::of(client.client.ip());
        if let Some(share) = self.shares.get_mut(&prefix) {
            share.clients -= 1;
            share.bytes -= wait.bytes;
            if share.clients == 0 {
                self.shares.remove(&prefix);
            }
        }
        wait.packets
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }
}

impl Server {
    /// Handles packets whose wait has ended, in their order and as if they came now. One that has
    /// to wait again is followed by those behind it.
    pub(crate) fn handle_held(
        &mut self,
        now: Now,
        client: ClientTuple,
        held: impl IntoIterator<Item = Vec<u8>>,
    ) {
        for packet in held {
            if self.guests.has(client) {
                self.handle_guest(client, &packet);
            } else {
                self.take_own(now, client, &packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    const BOUNDS: Bounds = Bounds {
        clients: 2,
        packets: 3,
        bytes: 10,
        total: 15,
        parts: 1,
    };

    fn client(number: u16) -> ClientTuple {
        ClientTuple {
            transport: Transport::Udp,
            client: ([192, 0, 2, 1], number).into(),
            server: ([192, 0, 2, 2], 3478).into(),
        }
    }

    fn room() -> WaitingRoom<()> {
        WaitingRoom::new(RandomState::with_seeds(1, 2, 3, 4), BOUNDS)
    }

    #[test]
    fn a_room_is_bounded_by_clients_packets_and_bytes_of_one_and_of_all() {
        let (mut room, one, two) = (room(), client(1), client(2));
        room.wait(one, ()).unwrap();
        room.wait(two, ()).unwrap();
        room.wait(client(3), ()).unwrap_err();
        for packet in [b"a", b"b", b"c"] {
            room.hold(one, packet).unwrap();
        }
        room.hold(one, b"").unwrap_err();
        room.hold(two, &[0; 11]).unwrap_err();
        room.hold(two, &[0; 10]).unwrap();
        room.hold(two, &[0; 1]).unwrap_err();
        assert_eq!(room.end(one), [b"a", b"b", b"c"]);
        // There is room again, for bytes and for a client.
        room.wait(client(3), ()).unwrap();
        room.hold(client(3), &[0; 6]).unwrap_err();
        room.hold(client(3), &[0; 5]).unwrap();
        for waiting in [two, client(3)] {
            assert!(room.has(waiting));
            room.end(waiting);
        }
        assert!(room.is_empty() && room.bytes == 0);
    }

    #[test]
    fn a_source_prefix_has_its_part_of_the_room_and_leaves_others_theirs() {
        let bounds = Bounds {
            clients: 4,
            parts: 2,
            ..BOUNDS
        };
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let (mut room, mut elsewhere) = (WaitingRoom::new(hasher, bounds), client(1));
        elsewhere.client.set_ip([192, 0, 3, 1].into());
        room.wait(client(1), ()).unwrap();
        room.wait(client(2), ()).unwrap();
        room.wait(client(3), ()).unwrap_err();
        room.wait(elsewhere, ()).unwrap();
        room.hold(client(1), &[0; 5]).unwrap();
        room.hold(client(2), &[0; 3]).unwrap_err();
        room.hold(elsewhere, &[0; 7]).unwrap();
        for waiting in [client(1), client(2), elsewhere] {
            room.end(waiting);
        }
        assert!(room.shares.is_empty());
    }
}
