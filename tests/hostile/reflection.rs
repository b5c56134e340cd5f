//! Requests in the names of others: what they would hear.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use crate::{
    bystander::Bystander,
    lab::{PATIENCE, world::in_own_world},
    server::{SERVER, Server, Setup},
    session::Session,
    silence::allow_many_files,
};

#[test]
fn a_flood_from_thousands_of_sources_is_hardly_amplified() {
    in_own_world(|_| {
        allow_many_files();
        let server = Server::start(Setup::default());
        let bystander = Bystander::start();
        let sources: Vec<UdpSocket> = (0..NETS * HOSTS).map(source).collect();
        let fence = source(NETS * HOSTS);
        fence.set_nonblocking(false).expect("a socket");
        pass(&fence);

        let before = server.peak_memory();
        let start = Instant::now();
        let mut flood = Flood {
            answers: 0,
            bytes: 0,
            excess: vec![0; NETS],
        };
        for sent in 0..REQUESTS {
            let source = &sources[sent % sources.len()];
            source.send(ALLOCATE).expect("the server is there");
            // The kernel drops what nobody fetches, also the session's.
            if sent % AT_ONCE == 0 {
                pass(&fence);
                flood.hear(&sources);
            }
        }
        pass(&fence);
        flood.hear(&sources);
        let grown = server.peak_memory() - before;
        let took = start.elapsed();
        flood.assert_within_budget(took);
        println!("the flood took {took:?} and cost {grown} bytes of memory");
        assert!(grown <= MOST_MEMORY, "{grown} bytes");

        bystander.finish().assert_undisturbed();
        // Who comes when it is over is served as ever.
        std::thread::sleep(Duration::from_secs(1));
        Session::udp().allocate().expect("an allocation");
        let dropped = server.stop().dropped("over-budget");
        assert_eq!(dropped as usize + flood.answers, REQUESTS);
    });
}

/// What came back.
struct Flood {
    answers: usize,
    bytes: usize,
    /// Longer than what asked for it, by source network.
    excess: Vec<usize>,
}

impl Flood {
    fn hear(&mut self, sources: &[UdpSocket]) {
        let mut answer = [0; 2048];
        for (number, source) in sources.iter().enumerate() {
            while let Ok(length) = source.recv(&mut answer) {
                self.answers += 1;
                self.bytes += length;
                self.excess[number % NETS] += length - ALLOCATE.len();
            }
        }
    }

    #[track_caller]
    fn assert_within_budget(&self, took: Duration) {
        let sent = REQUESTS * ALLOCATE.len();
        let (answers, bytes) = (self.answers, self.bytes);
        println!("{REQUESTS} requests of {sent} bytes, {answers} answers of {bytes} bytes");
        // Two seconds' worth, what was earned meanwhile, and the end of the last answer.
        let most = |rate: f64| (rate * (2.0 + took.as_secs_f64())) as usize + 100;
        let in_all: usize = self.excess.iter().sum();
        assert!(in_all <= most(262_144.0), "{in_all} bytes in {took:?}");
        for of_one in &self.excess {
            assert!(*of_one <= most(16_384.0), "{of_one} bytes in {took:?}");
        }
        assert!(answers < REQUESTS, "a flood that is answered whole");
    }
}

/// A Binding that is as long as its answer is answered, whatever else goes on: what was sent
/// before it was handled before it.
#[track_caller]
fn pass(fence: &UdpSocket) {
    let mut answer = [0; 64];
    fence.send(BINDING).expect("the server is there");
    let length = fence.recv(&mut answer).expect("an answer to the fence");
    assert_eq!((length, &answer[..2]), (BINDING.len(), &[0x01, 0x01][..]));
}

/// The networks take turns, so that neighbours come from different ones.
fn source(number: usize) -> UdpSocket {
    let (net, host) = (number % NETS, number / NETS + 1);
    let [net, host] = [net, host].map(|part| u8::try_from(part).expect("few of them"));
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 50, net, host), 0)).expect("a free port");
    socket.connect(SERVER).expect("a route to the server");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// The first step of every TURN client: for UDP, without credentials.
const ALLOCATE: &[u8; 28] =
    b"\x00\x03\x00\x08\x21\x12\xA4\x42a stranger! \x00\x19\x00\x04\x11\x00\x00\x00";
/// With SOFTWARE, which brings it to 32 bytes.
const BINDING: &[u8; 32] = b"\x00\x01\x00\x0C\x21\x12\xA4\x42is it there?\x80\x22\x00\x08padding!";
const NETS: usize = 100;
const HOSTS: usize = 30;
const REQUESTS: usize = 100_000;
const AT_ONCE: usize = 100;
/// Nothing is kept for any of them; the rest is the allocator's.
const MOST_MEMORY: u64 = 512 << 10;
