//! The same packets pass three times: through the core alone, one by one, and together.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use relay::{Destination, Outgoing, PeerAddr, Verdict};

use super::hosts::{Hosts, PATIENCE};
use super::outcome::{LARGEST, LARGEST_V6, Outcome, difference};
use super::packet::Packet;
use crate::clock;
use crate::marking::Marking;
use crate::run::MOST_BYTES;
use crate::sys::{self, BATCH, Batch, Label};

impl Hosts {
    /// The outcome of these is the same for the core alone, one by one, and together.
    #[track_caller]
    pub(super) fn assert_same(&mut self, packets: &[Packet]) {
        let (alone, before) = (self.alone(packets), self.together);
        let mut one_by_one = Outcome::default();
        for packet in packets {
            let packet = std::slice::from_ref(packet);
            let expected = self.alone(packet);
            one_by_one.add(self.sent(packet, &expected));
        }
        assert_eq!(self.together, before, "one by one is not together");
        assert!(
            one_by_one.heard == alone.heard,
            "one by one: {one_by_one:#?} and alone: {alone:#?}"
        );
        if !packets.is_empty() {
            assert_eq!(one_by_one.counted, alone.counted, "one by one");
        }
        let together = self.sent(packets, &alone);
        assert_eq!(together, alone, "together");
    }

    /// The right outcome: the verdicts of the core, as if every socket took what it is given.
    fn alone(&self, packets: &[Packet]) -> Outcome {
        let before = self.counters();
        let mut outcome = Outcome::default();
        let mut refused = 0;
        for packet in packets {
            let mut shard = self.shard.shard.borrow_mut();
            let server = &mut shard.server;
            let verdict = match self.relays.get(&packet.to) {
                Some(relay) => {
                    server.handle_peer(clock::now(), *relay, PeerAddr(packet.from), &packet.bytes)
                }
                None => server.handle_client(clock::now(), packet.client(), &packet.bytes),
            };
            let (way, marking) = match &verdict {
                Verdict::Relay(outgoing) if self.is_to_stream(outgoing) => {
                    (Some(self.way(outgoing)), Marking::PLAIN)
                }
                Verdict::Relay(outgoing) => (Some(self.way(outgoing)), packet.marking),
                Verdict::Answer(outgoing) => (Some(self.way(outgoing)), Marking::PLAIN),
                Verdict::Drop(_) | Verdict::Done => (None, packet.marking),
            };
            drop(shard);
            if let Some((from, to, bytes)) = way {
                let most = if to.is_ipv4() { LARGEST } else { LARGEST_V6 };
                if bytes.len() <= most || self.streams.contains_key(&to) {
                    outcome.hear(from, to, marking, &bytes);
                } else {
                    refused += 1;
                }
            }
        }
        outcome.counted = difference(&before, &self.counters());
        *outcome.counted.last_mut().unwrap() += refused;
        outcome
    }

    fn is_to_stream(&self, outgoing: &Outgoing<&[u8]>) -> bool {
        let Destination::Client { client, .. } = outgoing.to else {
            return false;
        };
        self.streams.contains_key(&client.client)
    }

    /// The sender, the receiver and the bytes of what leaves.
    fn way(&self, outgoing: &Outgoing<&[u8]>) -> (SocketAddr, SocketAddr, Vec<u8>) {
        let contents = outgoing.contents;
        match outgoing.to {
            Destination::Peer(hop) => {
                let mut relays = self.relays.iter();
                let (local, _) = relays.find(|(_, relay)| **relay == hop.from).unwrap();
                (*local, hop.to.0, contents.to_vec())
            }
            Destination::Client { client, header } => {
                let padding = if client.transport.is_stream() {
                    wire::padding(header.len() + contents.len())
                } else {
                    header.padding()
                };
                let padding = &[0; 3][..padding];
                (
                    client.server,
                    client.client,
                    [&header, contents, padding].concat(),
                )
            }
            Destination::Answer(client) => (client.server, client.client, contents.to_vec()),
            Destination::Relayed(_) => panic!("there is one shard"),
            Destination::Partner(_) => panic!("there is no partner"),
        }
    }

    /// The outcome of these when all of them are there before the first is read.
    #[track_caller]
    fn sent(&mut self, packets: &[Packet], expected: &Outcome) -> Outcome {
        let before = self.counters();
        for (address, stream) in &mut self.streams {
            let own = packets.iter().filter(|packet| packet.from == *address);
            let all: Vec<_> = own.flat_map(|packet| &packet.bytes).copied().collect();
            stream.send(&all);
        }
        let datagrams = packets
            .iter()
            .filter(|packet| !packet.transport.is_stream());
        let datagrams: Vec<_> = datagrams.cloned().collect();
        for like in datagrams.chunk_by(Packet::is_like) {
            let most = (MOST_BYTES / like[0].bytes.len().max(1)).clamp(1, BATCH);
            like.chunks(most).for_each(|some| self.send(some));
        }
        let mut outcome = Outcome::default();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.serve();
            self.listen(&mut outcome);
            outcome.counted = difference(&before, &self.counters());
            if outcome.is_as_much_as(expected) {
                break;
            }
        }
        // Nobody hears more than that.
        self.serve();
        self.listen(&mut outcome);
        outcome
    }

    /// Sends datagrams of one sender, in one call if that can be.
    fn send(&self, like: &[Packet]) {
        let first = &like[0];
        let socket = self.socket(first.from);
        let label = Label {
            to: first.to,
            from: None,
            marking: first.marking,
            dont_fragment: false,
        };
        let parts: Vec<_> = like
            .iter()
            .map(|packet| IoSlice::new(&packet.bytes))
            .collect();
        let length = first.bytes.len() as u16;
        let is_sent = like.len() > 1
            && length > 0
            && sys::send_together(socket.as_fd(), &label, &parts, length).is_ok();
        if is_sent {
            let count = self.sent_in_runs.get() + like.len() as u64;
            self.sent_in_runs.set(count);
        }
        for part in parts.iter().filter(|_| !is_sent) {
            sys::send(socket.as_fd(), &label, &[IoSlice::new(part)]).unwrap();
        }
    }

    /// Hears what waits at the sockets of the test.
    pub(super) fn listen(&mut self, outcome: &mut Outcome) {
        for (to, stream) in &mut self.streams {
            let from = stream.listener();
            for frame in stream.frames() {
                outcome.hear(from, *to, Marking::PLAIN, &frame);
            }
        }
        let mut batch = Batch::new();
        for socket in &self.sockets {
            let to = socket.local_addr().unwrap();
            while let Ok(messages) = batch.receive(socket.as_fd()) {
                self.together += batch.datagrams().count() - messages;
                for (envelope, bytes) in batch.datagrams().map(Option::unwrap) {
                    outcome.hear(envelope.from, to, envelope.marking, bytes);
                }
            }
        }
    }

    /// Those that were heard together are those that are counted, and nobody else's.
    #[track_caller]
    pub(super) fn assert_runs_counted(&self) {
        let shard = self.shard.shard.borrow();
        let net = &shard.egress.counters;
        let beyond_first = net.run_datagrams_sent - net.runs_sent;
        assert_eq!(beyond_first, self.together as u64, "{net:?}");
        let received = net.run_datagrams_received;
        assert_eq!(received, self.sent_in_runs.get(), "{net:?}");
    }

    /// Those of the core, and how many datagrams could not be sent.
    fn counters(&self) -> Vec<u64> {
        let shard = self.shard.shard.borrow();
        let net = &shard.egress.counters;
        let lost = [
            net.receive_overflow,
            net.receive_failed,
            net.queue_dropped,
            net.connections_broken,
            net.send_gone,
            net.send_failed,
        ];
        [&shard.server.counters().words()[..], &lost].concat()
    }
}
