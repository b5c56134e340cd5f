//! Crowds: very many sockets of one kind, that always have something for the server, and the time
//! that is left for everybody else.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lab::{
    server::{BINDING, PASSWORD, Server},
    setup::Setup,
    socket::peer_at,
    world::in_own_world,
};
use rustix::process::Signal;

use crate::server::{SERVER, on_processor, setup};
use crate::{
    bystander::{Bystander, RoundTrips},
    clients,
    reflection::{pass, yield_to_others},
    silence::allow_many_files,
    strangers::socket_at,
    stream::connect,
};

#[test]
fn a_thousand_connections_that_ask_for_bindings_do_not_starve_clients_over_udp() {
    in_own_world(|_| beside_connections(|| BINDING.to_vec()));
}

#[test]
fn a_thousand_connections_that_guess_passwords_do_not_starve_clients_over_udp() {
    in_own_world(|_| {
        beside_connections(|| {
            let mut guesser = clients::on_udp().login(CROWD, "wrong");
            guesser.allocate().expect_err("a wrong password");
            guesser.sent.last().expect("a signed request").clone()
        });
    });
}

/// As many allocations as one user may have, and all their peers talk.
#[test]
fn a_thousand_relay_sockets_of_one_user_do_not_starve_another() {
    in_own_world(|_| {
        allow_many_files();
        let unlimited = "[unauthenticated]\nper-prefix = 'unlimited'\ntotal = 'unlimited'";
        let server = start(with_crowd().with(unlimited));
        let (peer, address) = peer_at(Ipv4Addr::new(127, 100, 0, 1));
        let (mut crowd, mut relayed) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let (mut session, at) = clients::on_udp().login(CROWD, PASSWORD).allocated();
            relayed.push(at);
            session.bind_channel(address).expect("a channel");
            crowd.push(session);
        }
        // Beside sockets that are all full, one sender does not have to be faster than the server.
        server.program.signal(Signal::STOP);
        for to in relayed.iter().cycle().take(200 * CONNECTIONS) {
            let _ = peer.send_to(&[7; 100], to);
        }
        let asker = socket_at(Ipv4Addr::new(127, 51, 0, 2));
        server.program.signal(Signal::CONT);
        let asking = Instant::now();
        (0..5).for_each(|_| pass(&asker));
        let took = asking.elapsed();
        println!("five requests took {took:?} beside full sockets");
        assert!(took <= 2 * DELAYED, "{took:?}");
        let flood = Flood::start(move |sent| {
            let to = relayed[*sent % relayed.len()];
            // A datagram that the kernel drops is one less for the server to handle.
            let _ = peer.send_to(&[7; 100], to);
            *sent += 1;
        });
        beside(&server, flood, "a thousand relay sockets");
        drop(crowd);
    });
}

/// Many connections of one network that send the same request all the time.
fn beside_connections(request: impl FnOnce() -> Vec<u8>) {
    allow_many_files();
    let server = start(with_crowd());
    let requests = request().repeat(100);
    let mut crowd: Vec<(TcpStream, usize)> = (0..CONNECTIONS)
        .map(|number| {
            let host = u8::try_from(number % 250 + 1).expect("few of them");
            let stream = connect((Ipv4Addr::new(127, 60, 0, host), 0).into(), SERVER);
            stream.set_nonblocking(true).expect("a socket");
            (stream, 0)
        })
        .collect();
    let flood = Flood::start(move |sent| {
        let mut answers = [0; 1 << 16];
        for (stream, at) in &mut crowd {
            // Neither is possible while the server holds the connection back.
            let written = stream.write(&requests[*at..]).unwrap_or(0);
            *at = (*at + written) % requests.len();
            *sent += stream.read(&mut answers).unwrap_or(0);
        }
    });
    beside(&server, flood, "strangers over TCP");
}

/// Clients beside a flood: one without an allocation asks, one with an allocation exchanges data.
fn beside(server: &Server, flood: Flood, what: &str) {
    let (session, busy) = (Bystander::every(PAUSE), server.program.processor_time());
    let (asker, start) = (socket_at(Ipv4Addr::new(127, 51, 0, 1)), Instant::now());
    let mut asked = Vec::new();
    while start.elapsed() < DURATION {
        let asking = Instant::now();
        pass(&asker);
        asked.push(asking.elapsed());
        thread::sleep(PAUSE);
    }
    let session = session.finish();
    let busy =
        (server.program.processor_time() - busy).as_secs_f64() / start.elapsed().as_secs_f64();
    let done = flood.finish();
    let asked = RoundTrips::that_took(asked);
    println!(
        "beside {what}, {done} datagrams or bytes of answers: session {session}; requests {asked}; busy {busy:.2}"
    );
    for trips in [asked, session] {
        trips.assert_lossless();
        trips.assert_within(95, DELAYED);
    }
}

/// A thread that does one thing again and again.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Flood {
    fn start(mut step: impl FnMut(&mut usize) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            // The flood and the clients may share a processor, whose time is not the server's.
            yield_to_others();
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                step(&mut count);
            }
            count
        });
        Self { stop, thread }
    }

    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a flood")
    }
}

/// The server of these tests. For a measurement, it has a processor to itself, and all others must
/// use another.
pub(crate) fn start(setup: Setup) -> Server {
    match env::var("HAIRPIN_CROWDS_PROCESSOR") {
        Ok(number) => Server::start_by(|program| on_processor(&number, program), setup),
        Err(_) => Server::start(setup),
    }
}

/// It knows a second user, of whom there are many clients.
fn with_crowd() -> Setup {
    setup().with(&format!("auth.users.{CROWD} = '{PASSWORD}'"))
}

const CROWD: &str = "crowd";
const CONNECTIONS: usize = 1000;
const DURATION: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(5);
/// 10 ms are the target on a quiet machine with a release build.
const DELAYED: Duration = Duration::from_millis(200);
