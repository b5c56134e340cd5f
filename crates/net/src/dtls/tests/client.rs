//! A client over DTLS whose datagrams a test may keep, change and lose.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output};

use super::Mishap;

pub(super) struct Client {
    engine: Dtls,
    socket: UdpSocket,
    server: SocketAddr,
    timer: Instant,
    outbox: VecDeque<Vec<u8>>,
    inbox: VecDeque<Vec<u8>>,
    leaf: Vec<u8>,
    is_connected: bool,
    is_closed: bool,
    recorded: Option<Vec<Vec<u8>>>,
    /// Messages of a handshake that are longer go in fragments of so many bytes.
    pub(super) fragment: Option<usize>,
}

/// News that a client hears within a while.
#[derive(Debug)]
pub(super) enum Heard {
    Data(Vec<u8>),
    Closed,
    Nothing,
}

impl Client {
    pub(super) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
        Self::at(socket, server)
    }

    fn at(socket: UdpSocket, server: SocketAddr) -> Self {
        // Servers of TURN ask for no certificate. The library's own tests of its cryptography take
        // their time, so both are made once.
        static OFFER: LazyLock<(Arc<Config>, DtlsCertificate)> = LazyLock::new(|| {
            let certificate = DtlsCertificate {
                certificate: vec![0x30, 0],
                private_key: rcgen::KeyPair::generate().unwrap().serialize_der(),
            };
            (Arc::default(), certificate)
        });
        let (config, certificate) = OFFER.clone();
        let mut engine = Dtls::new_12(config, certificate, Instant::now());
        engine.set_active(true);
        Self {
            engine,
            socket,
            server,
            timer: Instant::now(),
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            leaf: Vec::new(),
            is_connected: false,
            is_closed: false,
            recorded: None,
            fragment: None,
        }
    }

    /// Another one at the same address.
    pub(super) fn restarted(&self) -> Self {
        Self::at(self.socket.try_clone().unwrap(), self.server)
    }

    /// Begins a handshake; its first flight waits to be taken or sent.
    pub(super) fn start(&mut self) {
        self.engine.handle_timeout(Instant::now()).unwrap();
        self.drain();
    }

    /// Makes a handshake; returns the server's certificate.
    pub(super) fn connect(&mut self) -> Vec<u8> {
        self.start();
        self.go_on();
        self.leaf.clone()
    }

    /// Ends a handshake that was begun.
    pub(super) fn go_on(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.is_connected {
            assert!(Instant::now() < end, "no handshake");
            self.step(Duration::from_secs(1));
        }
        self.flush();
    }

    /// Makes as much of a handshake as the network lets it, for a second.
    pub(super) fn suffer(&mut self, mishaps: &[Mishap]) {
        self.start();
        let end = Instant::now() + Duration::from_millis(150);
        let (mut mishaps, mut late) = (mishaps.iter(), None);
        while !self.is_connected && Instant::now() < end {
            for mut packet in self.take_flight() {
                match *mishaps.next().unwrap_or(&Mishap::None) {
                    Mishap::None => self.raw(&packet),
                    Mishap::Lost => {}
                    Mishap::Twice => {
                        self.raw(&packet);
                        self.raw(&packet);
                    }
                    Mishap::Cut(at) => self.raw(&packet[..at.min(packet.len())]),
                    Mishap::Changed(at, byte) => {
                        let at = at % packet.len();
                        packet[at] = byte;
                        self.raw(&packet);
                    }
                    Mishap::Late => {
                        late = Some(packet);
                        continue;
                    }
                }
                if let Some(packet) = late.take() {
                    self.raw(&packet);
                }
            }
            if let Some(packet) = self.receive(Duration::from_millis(20)) {
                let _ = self.engine.handle_packet(&packet);
                self.drain();
            }
        }
    }

    pub(super) fn send(&mut self, datagram: &[u8]) {
        self.engine.send_application_data(datagram).unwrap();
        self.drain();
        self.flush();
    }

    pub(super) fn close(&mut self) {
        self.engine.close().unwrap();
        self.drain();
        self.flush();
    }

    pub(super) fn hear(&mut self) -> Heard {
        self.hear_within(PATIENCE)
    }

    pub(super) fn hear_within(&mut self, patience: Duration) -> Heard {
        let end = Instant::now() + patience;
        loop {
            if let Some(datagram) = self.inbox.pop_front() {
                return Heard::Data(datagram);
            }
            if self.is_closed {
                return Heard::Closed;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Nothing;
            }
            self.step(left);
        }
    }

    /// Sends a datagram as it is.
    pub(super) fn raw(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.server).unwrap();
    }

    /// The next datagram as it is.
    pub(super) fn hear_raw(&self) -> Option<Vec<u8>> {
        self.receive(PATIENCE)
    }

    /// Takes a datagram; returns what is sent in answer to it.
    pub(super) fn take(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.engine.handle_packet(packet).unwrap();
        self.drain();
        self.take_flight()
    }

    /// The datagrams that wait to be sent.
    pub(super) fn take_flight(&mut self) -> Vec<Vec<u8>> {
        self.outbox.drain(..).collect()
    }

    /// From now on what is sent is kept.
    pub(super) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    pub(super) fn recorded(&mut self) -> Vec<Vec<u8>> {
        self.recorded.take().unwrap()
    }

    fn step(&mut self, patience: Duration) {
        self.flush();
        let until_timer = self.timer.saturating_duration_since(Instant::now());
        let packet = self.receive(patience.min(until_timer));
        self.engine.handle_timeout(Instant::now()).unwrap();
        if let Some(packet) = packet {
            self.engine.handle_packet(&packet).unwrap();
        }
        self.drain();
    }

    fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut packet = vec![0; 65_536];
        let length = self.socket.recv(&mut packet).ok()?;
        packet.truncate(length);
        Some(packet)
    }

    fn flush(&mut self) {
        for packet in self.take_flight() {
            if let Some(recorded) = &mut self.recorded {
                recorded.push(packet.clone());
            }
            for packet in self.fragments(packet) {
                self.raw(&packet);
            }
        }
    }

    /// The same datagram, or its one message in pieces.
    fn fragments(&self, packet: Vec<u8>) -> Vec<Vec<u8>> {
        let whole = packet.len() - 13 == usize::from(u16::from_be_bytes([packet[11], packet[12]]));
        let Some(size) = self
            .fragment
            .filter(|_| whole && packet[0] == 22 && packet[4] == 0)
        else {
            return vec![packet];
        };
        let (header, body) = (&packet[13..25], &packet[25..]);
        let mut at = 0;
        let pieces = body.chunks(size).enumerate().map(|(number, piece)| {
            let [.., offset_high, offset_low] = at_u16(at);
            let [.., high, low] = at_u16(piece.len());
            let mut record = packet[..13].to_vec();
            record[9] = 1;
            record[10] = number as u8;
            record[11..13].copy_from_slice(&((12 + piece.len()) as u16).to_be_bytes());
            record.extend_from_slice(&header[..6]);
            record.extend_from_slice(&[0, offset_high, offset_low, 0, high, low]);
            record.extend_from_slice(piece);
            at += piece.len();
            record
        });
        pieces.collect()
    }

    fn drain(&mut self) {
        let mut room = vec![0; 65_536];
        loop {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is the library's, and open"
            )]
            match self.engine.poll_output(&mut room) {
                Output::Packet(packet) => self.outbox.push_back(packet.to_vec()),
                Output::ApplicationData(data) => self.inbox.push_back(data.to_vec()),
                Output::PeerCert(leaf) => self.leaf = leaf.to_vec(),
                Output::Connected => self.is_connected = true,
                Output::CloseNotify => self.is_closed = true,
                Output::Timeout(at) => {
                    self.timer = at;
                    return;
                }
                _ => {}
            }
        }
    }
}

fn at_u16(number: usize) -> [u8; 2] {
    (number as u16).to_be_bytes()
}

/// For what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
