//! Traffic: clients and their peers that send media to each other until they are told to stop.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use wire::ChannelNumber;

use crate::{live::LiveClient, socket::peer_at, world::PEER_V4};

/// A client and its peer.
pub struct Exchange {
    client: LiveClient,
    relayed: SocketAddr,
    channel: ChannelNumber,
    peer: UdpSocket,
    /// The bytes of each packet to the peer, and of each from the peer; there is none of no bytes.
    sizes: [usize; 2],
    /// Of so many packets the client loses one before it is sent.
    losing: Option<u16>,
    number: u16,
}

/// Exchanges that go on.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    loudness: Arc<AtomicUsize>,
    /// Until it is ended.
    thread: Option<thread::JoinHandle<Vec<Exchange>>>,
}

impl Exchange {
    /// Has a client allocate, and bind a channel to a peer of its own.
    #[track_caller]
    pub fn begin(client: LiveClient, sizes: [usize; 2]) -> Self {
        let (mut client, relayed) = client.allocated();
        let (peer, address) = peer_at(PEER_V4);
        let channel = client.bind_channel(address).expect("a channel");
        Self {
            client,
            relayed,
            channel,
            peer,
            sizes,
            losing: None,
            number: 0,
        }
    }

    /// The same on a line that loses one of so many packets of the client.
    pub const fn losing(mut self, one_of: u16) -> Self {
        self.losing = Some(one_of);
        self
    }

    /// The client.
    pub const fn client(&mut self) -> &mut LiveClient {
        &mut self.client
    }

    /// Sends this many bytes to the peer, which all arrive at the server.
    pub fn burst(&mut self, bytes: usize) {
        for packet in 0..bytes / BURST {
            self.client.post_on(self.channel, &[0; BURST]);
            if packet % 16 == 0 {
                // The server is done with all before, so its buffer does not overflow.
                self.client.binding();
            }
        }
    }

    /// Sends a packet each way.
    fn send(&mut self) {
        let [sent, received] = self.sizes;
        self.number = self.number.wrapping_add(1);
        let is_lost = self
            .losing
            .is_some_and(|one_of| self.number.is_multiple_of(one_of));
        if sent > 0 && !is_lost {
            self.client.post_on(self.channel, &media(self.number, sent));
        }
        if received > 0 {
            // The session may have been ended by a test.
            let media = media(self.number, received);
            let _ = self.peer.send_to(&media, self.relayed);
        }
    }

    /// Reads what has come: a stream that nobody reads would stand still.
    fn drain(&mut self) {
        while self
            .client
            .receive_within(Duration::from_millis(1))
            .is_some()
        {}
    }
}

impl Traffic {
    /// Has all of them send a packet each twenty milliseconds.
    pub fn of(mut exchanges: Vec<Exchange>) -> Self {
        let (stop, loudness) = (Arc::default(), Arc::new(AtomicUsize::new(1)));
        let (stopped, packets) = (Arc::clone(&stop), Arc::clone(&loudness));
        let thread = thread::spawn(move || {
            while !AtomicBool::load(&stopped, Ordering::Relaxed) {
                for exchange in &mut exchanges {
                    for _ in 0..packets.load(Ordering::Relaxed) {
                        exchange.send();
                    }
                    exchange.drain();
                }
                thread::sleep(Duration::from_millis(20));
            }
            exchanges
        });
        Self {
            stop,
            loudness,
            thread: Some(thread),
        }
    }

    /// Has all of them send so many packets in place of one.
    pub fn grow(&self, packets: usize) {
        self.loudness.store(packets, Ordering::Relaxed);
    }

    /// Ends it, and gives the exchanges back.
    pub fn end(mut self) -> Vec<Exchange> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is ended once");
        let mut exchanges = thread.join().expect("no panic");
        for Exchange { client, .. } in &mut exchanges {
            // An answer that a test waits for comes after all that is on its way.
            while client.receive_within(Duration::from_millis(100)).is_some() {}
        }
        exchanges
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().map(thread::JoinHandle::join);
        let is_sound = outcome.is_none_or(|outcome| outcome.is_ok());
        assert!(is_sound || thread::panicking(), "the traffic failed");
    }
}

/// A packet of RTP (RFC 3550 section 5.1) of this many bytes. All are of one frame, so that there is no jitter to
/// measure: how punctual a test is depends on its machine.
fn media(number: u16, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes.max(12)];
    packet[0] = 0x80;
    packet[1] = 96;
    packet[2..4].copy_from_slice(&number.to_be_bytes());
    packet[11] = 7;
    packet
}

/// The bytes of a packet of a burst.
const BURST: usize = 1000;
