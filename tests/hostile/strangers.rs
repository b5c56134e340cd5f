//! Strangers by the thousand: sockets at addresses of many networks, and the answers that they get.

use std::{
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lab::socket::peer_at;

use crate::server::SERVER;

/// A crowd that sends the first step of every TURN client and listens.
pub(crate) struct Strangers {
    sockets: Vec<UdpSocket>,
    sent: usize,
    answers: usize,
    bytes: usize,
    /// The bytes by which answers are longer than their requests, by source network.
    excess: Vec<usize>,
}

impl Strangers {
    /// It needs as many open files: [`crate::silence::allow_many_files`].
    pub(crate) fn gather() -> Self {
        Self {
            sockets: (0..NETS * HOSTS).map(stranger).collect(),
            sent: 0,
            answers: 0,
            bytes: 0,
            excess: vec![0; NETS],
        }
    }

    /// The next of them sends its request.
    pub(crate) fn ask(&mut self) {
        let socket = &self.sockets[self.sent % self.sockets.len()];
        socket.send(ALLOCATE).expect("the server is there");
        self.sent += 1;
    }

    /// They send requests at this rate per second, or as fast as they can if that is slower.
    /// Returns how long it took.
    pub(crate) fn ask_at(&mut self, rate: usize, duration: Duration) -> Duration {
        let start = Instant::now();
        let begun = self.sent;
        loop {
            let passed = start.elapsed();
            if passed >= duration {
                return passed;
            }
            let due = (passed.as_secs_f64() * rate as f64) as usize;
            let asked = self.sent - begun;
            if asked >= due {
                thread::sleep(TICK);
            } else {
                // The sessions' clients may wait for this processor.
                thread::yield_now();
            }
            for _ in asked..due.min(asked + AT_ONCE) {
                self.ask();
            }
        }
    }

    /// Reads all answers that have come.
    pub(crate) fn hear(&mut self) {
        let mut answer = [0; 2048];
        for (number, socket) in self.sockets.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut answer) {
                self.answers += 1;
                self.bytes += length;
                self.excess[number % NETS] += length - ALLOCATE.len();
            }
        }
    }

    /// How many requests were sent.
    pub(crate) const fn sent(&self) -> usize {
        self.sent
    }

    /// How many answers have come.
    pub(crate) const fn answers(&self) -> usize {
        self.answers
    }

    /// Fails if the answers exceed the default budget, and prints how much they were.
    #[track_caller]
    pub(crate) fn assert_within_budget(&self, took: Duration) {
        let (sent, answers, bytes) = (self.sent, self.answers, self.bytes);
        println!(
            "{sent} requests of {} bytes in {took:?}, {answers} answers of {bytes} bytes",
            sent * ALLOCATE.len()
        );
        // Two seconds' worth, the allowance earned meanwhile, and the end of the last answer.
        let most = |rate: f64| (rate * (2.0 + took.as_secs_f64())) as usize + 100;
        let in_all: usize = self.excess.iter().sum();
        assert!(in_all <= most(262_144.0), "{in_all} bytes in {took:?}");
        for of_one in &self.excess {
            assert!(*of_one <= most(16_384.0), "{of_one} bytes in {took:?}");
        }
    }
}

/// A socket at another address of this host.
pub(crate) fn socket_at(ip: Ipv4Addr) -> UdpSocket {
    let (socket, _) = peer_at(ip);
    socket.connect(SERVER).expect("a route to the server");
    socket
}

/// The networks take turns, so that neighbours come from different ones.
fn stranger(number: usize) -> UdpSocket {
    let (net, host) = (number % NETS, number / NETS + 1);
    let [net, host] = [net, host].map(|part| u8::try_from(part).expect("few of them"));
    let socket = socket_at(Ipv4Addr::new(127, 50, net, host));
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// The first step of every TURN client: for UDP, without credentials.
pub(crate) const ALLOCATE: &[u8; 28] =
    b"\x00\x03\x00\x08\x21\x12\xA4\x42a stranger! \x00\x19\x00\x04\x11\x00\x00\x00";
const NETS: usize = 100;
const HOSTS: usize = 30;
/// Requests between two looks at the clock, so that one who was delayed does not send all at once.
const AT_ONCE: usize = 100;
const TICK: Duration = Duration::from_micros(100);
