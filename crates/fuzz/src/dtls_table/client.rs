//! A client over DTLS, driven step by step.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Output};
use net::fuzzing::Datagrams;

pub(super) struct Client {
    engine: Dtls,
    socket: UdpSocket,
    pub(super) address: SocketAddr,
    outbox: Vec<Vec<u8>>,
    /// Messages of the server that are no part of the handshake.
    heard: Vec<Vec<u8>>,
    /// The handshake that the engine has begun is done.
    is_done: bool,
    /// The engine has failed, or said its end.
    is_over: bool,
    /// The server has answered on a session, which is to last.
    pub(super) is_served: bool,
    room: Vec<u8>,
}

impl Client {
    pub(super) fn new(host: IpAddr, now: Instant) -> Self {
        let socket = UdpSocket::bind((host, 0)).expect("a port of loopback");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("a bound socket");
        let mut client = Self {
            engine: engine(now),
            socket,
            address,
            outbox: Vec::new(),
            heard: Vec::new(),
            is_done: false,
            is_over: false,
            is_served: false,
            room: vec![0; 4_096],
        };
        client.call(|engine| engine.handle_timeout(now));
        client
    }

    /// Begins anew from the same address, as after a crash.
    pub(super) fn restart(&mut self, now: Instant) {
        self.engine = engine(now);
        self.outbox.clear();
        self.is_done = false;
        self.is_over = false;
        self.call(|engine| engine.handle_timeout(now));
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.is_done && !self.is_over
    }

    /// Sends what waits, and hears what comes of it.
    pub(super) fn exchange(
        &mut self,
        table: &mut Datagrams,
        now: Instant,
        sent: &mut Vec<Vec<u8>>,
    ) {
        for datagram in std::mem::take(&mut self.outbox) {
            table.take(now, self.address, &datagram);
            if sent.len() < MOST_SENT {
                sent.push(datagram);
            }
        }
        self.listen(table, now);
    }

    /// Makes a handshake, if nobody hinders it.
    pub(super) fn connect(&mut self, table: &mut Datagrams, now: Instant, sent: &mut Vec<Vec<u8>>) {
        for _ in 0..8 {
            self.exchange(table, now, sent);
        }
    }

    /// Asks for its address; whether it hears of it.
    pub(super) fn ask(
        &mut self,
        table: &mut Datagrams,
        now: Instant,
        sent: &mut Vec<Vec<u8>>,
    ) -> bool {
        self.exchange(table, now, sent);
        self.heard.clear();
        self.call(|engine| engine.send_application_data(BINDING).map(drop));
        self.exchange(table, now, sent);
        self.heard.iter().any(|heard| heard.starts_with(&[1, 1]))
    }

    /// Says that its session is over.
    pub(super) fn close(&mut self, table: &mut Datagrams, now: Instant, sent: &mut Vec<Vec<u8>>) {
        if self.is_connected() {
            self.is_served = false;
            self.call(Dtls::close);
            self.exchange(table, now, sent);
            self.is_over = true;
        }
    }

    /// A datagram that is about to be sent is changed on the way, or lost.
    pub(super) fn spoil(&mut self, which: u8, place: usize, byte: u8) {
        let Some(which) = usize::from(which).checked_rem(self.outbox.len()) else {
            return;
        };
        let datagram = &mut self.outbox[which];
        let place = place % datagram.len();
        if byte == 0 {
            self.outbox.remove(which);
        } else {
            datagram[place] ^= byte;
        }
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, table: &Datagrams, now: Instant) {
        self.listen(table, now);
        self.call(|engine| engine.handle_timeout(now));
    }

    /// Hears what the server has sent.
    pub(super) fn listen(&mut self, table: &Datagrams, now: Instant) {
        let mut datagram = [0; 4_096];
        while let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            if from == table.listener() {
                self.call(|engine| {
                    engine.handle_timeout(now)?;
                    engine.handle_packet(&datagram[..length])
                });
            }
        }
    }

    /// Calls the engine, and takes out what it has to say.
    fn call(&mut self, call: impl FnOnce(&mut Dtls) -> Result<(), dimpl::Error>) {
        if self.is_over {
            return;
        }
        if call(&mut self.engine).is_err() {
            self.is_over = true;
            return;
        }
        loop {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is the library's, and open"
            )]
            match self.engine.poll_output(&mut self.room) {
                Output::Packet(record) => self.outbox.push(record.to_vec()),
                Output::ApplicationData(data) => self.heard.push(data.to_vec()),
                Output::Connected => {
                    self.is_done = true;
                    // It is a new session, which nobody has used.
                    self.is_served = false;
                }
                Output::CloseNotify => self.is_over = true,
                Output::BufferTooSmall { needed } => self.room.resize(needed, 0),
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }
}

fn engine(now: Instant) -> Dtls {
    // The library's own tests of its cryptography take their time.
    static OFFER: LazyLock<(Arc<Config>, DtlsCertificate)> = LazyLock::new(|| {
        let certificate = DtlsCertificate {
            certificate: vec![0x30, 0],
            private_key: rcgen::KeyPair::generate().expect("a key").serialize_der(),
        };
        (Arc::default(), certificate)
    });
    let (config, certificate) = OFFER.clone();
    let mut engine = Dtls::new_12(config, certificate, now);
    engine.set_active(true);
    engine
}

/// A request that everybody is answered.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42twelve bytes";

/// Datagrams that are kept, to be sent again.
const MOST_SENT: usize = 64;
