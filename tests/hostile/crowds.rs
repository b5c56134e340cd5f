//! Crowds: very many sockets of one kind, that always have something for the server, and the time
//! that is left for everybody else.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream, UdpSocket},
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
        let asker = socket_at(Ipv4Addr::new(127, 51, 0, 2));
        assert_once_within(2 * DELAYED, || {
            server.program.while_stopped(|| {
                for to in relayed.iter().cycle().take(200 * CONNECTIONS) {
                    let _ = peer.send_to(&[7; 100], to);
                }
            });
            five_requests(&asker)
        });
        let flood = Flood::start(move |sent| {
            let to = relayed[*sent % relayed.len()];
            // A datagram that the kernel drops is one less for the server to handle.
            let _ = peer.send_to(&[7; 100], to);
            *sent += 1;
        });
        beside(&server, [flood], "a thousand relay sockets");
        drop(crowd);
    });
}

/// Each kind of socket has its share of the server's turns, also where two kinds have more than they can get.
#[test]
fn connections_full_of_data_and_full_relay_sockets_together_do_not_starve_clients_over_udp() {
    in_own_world(|_| {
        allow_many_files();
        let unlimited = "[unauthenticated]\nper-prefix = 'unlimited'\ntotal = 'unlimited'";
        let server = start(with_crowd().with(unlimited));
        let (peer, address) = peer_at(Ipv4Addr::new(127, 100, 0, 1));
        let (mut streams, mut relayed) = (Vec::new(), Vec::new());
        let mut crowd = Vec::new();
        for number in 0..CONNECTIONS / 4 {
            let is_stream = number % 5 == 0;
            let client = if is_stream {
                clients::on_tcp()
            } else {
                clients::on_udp()
            };
            let (mut session, at) = client.login(CROWD, PASSWORD).allocated();
            let channel = session.bind_channel(address).expect("a channel");
            if is_stream {
                let stream = session.socket.stream().try_clone().expect("a socket");
                stream.set_nonblocking(true).expect("a socket");
                let header = [channel.get().to_be_bytes(), 100_u16.to_be_bytes()];
                let frame = [&header.concat()[..], &[7; 100]].concat();
                streams.push((stream, frame.repeat(100), 0));
            } else {
                relayed.push(at);
            }
            crowd.push(session);
        }
        let data = Flood::start(move |sent| {
            for (stream, frames, at) in &mut streams {
                // It is not possible while the server holds the connection back.
                let written = stream.write(&frames[*at..]).unwrap_or(0);
                *at = (*at + written) % frames.len();
                *sent += written / 104;
            }
        });
        let datagrams = Flood::start(move |sent| {
            let to = relayed[*sent % relayed.len()];
            let _ = peer.send_to(&[7; 100], to);
            *sent += 1;
        });
        beside(&server, [data, datagrams], "connections and relay sockets");
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
    beside(&server, [flood], "strangers over TCP");
}

/// Clients beside floods: one without an allocation asks, one with an allocation exchanges data.
fn beside<const N: usize>(server: &Server, floods: [Flood; N], what: &str) {
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
    let done = floods.map(Flood::finish);
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
    let asked = RoundTrips::that_took(asked);
    println!(
        "beside {what}, {done:?} datagrams or bytes of answers: session {session}; requests {asked}; busy {busy:.2}"
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

/// How long requests of a stranger take, one after the other, that others must not hold up.
pub(crate) fn five_requests(asker: &UdpSocket) -> Duration {
    let asking = Instant::now();
    (0..5).for_each(|_| pass(asker));
    let took = asking.elapsed();
    println!("five requests took {took:?}");
    took
}

/// Fails if it takes longer than `most` each time. A machine that stands still for a moment spoils one try; a server that
/// starves its clients spoils all of them.
#[track_caller]
pub(crate) fn assert_once_within(most: Duration, mut measure: impl FnMut() -> Duration) {
    let mut tries = (0..5).map(|_| measure());
    assert!(tries.any(|took| took <= most), "never within {most:?}");
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
