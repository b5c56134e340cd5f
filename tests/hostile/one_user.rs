//! One user who takes all that there is: ports, bandwidth, the log.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lab::{
    credentials::password_of,
    live::{Code, LiveClient},
    program::number_after,
    server::Server,
    socket::peer_at,
    world::in_own_world,
};
use rustix::process::Signal;

use crate::server::setup;
use crate::{bystander::Bystander, clients};

#[test]
fn one_user_gets_a_quarter_of_the_ports_and_others_get_theirs() {
    in_own_world(|_| {
        let setup = setup().with("relay.ports = '20000-20039'\nauth.users.bob = 'looking-glass'");
        for (more, most) in [
            ("allocation.total = 0", 10),
            ("allocation.per-user = 0", 39),
        ] {
            let _server = Server::start(setup.clone().with(more));
            let first = bob().allocated();
            let start = Instant::now();
            let mut taken = Vec::new();
            let refused = loop {
                let mut greedy = clients::on_udp();
                match greedy.allocate() {
                    Ok(_) => taken.push(greedy),
                    Err(code) => break code,
                }
            };
            println!("{} of 40 ports in {:?}", taken.len(), start.elapsed());
            assert_eq!(taken.len(), most);
            let is_limited = most == 10;
            assert_eq!(refused, Code(if is_limited { 486 } else { 508 }));
            assert_eq!(bob().allocate().is_ok(), is_limited);
            drop(first);
        }
    });
}

#[test]
fn the_data_of_one_user_passes_no_faster_than_allowed_and_that_of_others_as_it_comes() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with(
            "auth.users.bob = 'looking-glass'\nallocation.bandwidth = '8Mbit/s'\n\
             allocation.per-user-bandwidth = '12Mbit/s'",
        ));
        let bystander = Bystander::start();
        let talks = [Talk::open(), Talk::open()];
        // A burst has to be earned first.
        thread::sleep(Duration::from_secs(1));
        for way in [Talk::out, Talk::back] {
            let (came, took) = pour(&talks.each_ref().map(way));
            println!("in {took:?} at {OFFERED} packets/s each: {came:?} of {PACKET} bytes");
            // The burst is that of a second.
            let within = |rate: usize, time: Duration| {
                rate * (time.as_millis() as usize + 1000) / 1000 / PACKET + rate / PACKET / 10
            };
            let most = |rate| within(rate, took);
            assert!(came.iter().all(|came| *came <= most(1_000_000)), "{came:?}");
            let sum: usize = came.iter().sum();
            assert!(sum <= most(1_500_000), "{came:?}");
            assert!(sum >= within(1_500_000, POURING) / 2, "{came:?}");
        }
        bystander.finish().assert_undisturbed();
        // Without limits all of it comes, in allocations that run.
        let file = fs::read_to_string(server.config()).expect("a file");
        let file = file.replace("8Mbit/s", "unlimited");
        fs::write(server.config(), file.replace("12Mbit/s", "unlimited")).expect("our file");
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["configuration.reloaded", "per-user-bandwidth"]);
        let (came, _) = pour(&talks.each_ref().map(Talk::out));
        println!("without limits: {came:?}");
        let offered = OFFERED * POURING.as_secs() as usize;
        assert!(came.iter().all(|came| *came > offered / 2), "{came:?}");
        assert!(server.stop().dropped("bandwidth-exceeded") > 0);
    });
}

#[test]
fn lines_of_a_user_without_pause_are_thinned_and_the_next_says_how_many_there_were() {
    in_own_world(|_| {
        let known = format!("auth.users.bob = 'looking-glass'\nauth.secrets = ['{SECRET}']");
        let mut server = Server::start(setup().with(&known));
        // A person gets a new name from the web service with each second.
        let named = |name| clients::on_udp().login(name, &password_of(SECRET, name));
        let mut greedy = named("1900000000:carol");
        let began = Instant::now();
        // As many at once, and one more every 50 ms.
        let most = || 500 + began.elapsed().as_millis() as usize / 50 + 1;
        let mut asked = 0;
        while asked < (most() + 100).max(800) {
            greedy.allocate().expect("an allocation");
            greedy.refresh(Duration::ZERO).expect("an end");
            asked += 2;
        }
        bob().allocated();
        server.wait_for_line(&["allocation.opened", "user=\"bob\""]);
        thread::sleep(Duration::from_millis(100));
        named("1900000001:carol").allocated();
        server.wait_for_line(&["allocation.opened", "1900000001:carol"]);
        let log = server.stop().output;
        let lines = log.lines().filter(|line| line.contains(":carol\""));
        let lines: Vec<&str> = lines.collect();
        let logged = lines.len();
        println!("{logged} lines of {}", asked + 1);
        assert!((500..=most()).contains(&logged), "{logged} lines");
        let next = lines.iter().position(|it| it.contains("1900000001:"));
        let next = next.expect("a line of the second name");
        let silent = lines[..=next].iter().map(|it| number_after(it, "silent="));
        assert_eq!(next + silent.flatten().sum::<u64>() as usize, asked);
    });
}

const SECRET: &str = "the north wind and the sun";

fn bob() -> LiveClient {
    clients::on_udp().login("bob", "looking-glass")
}

/// A client and its peer.
struct Talk {
    session: LiveClient,
    on_channel: Vec<u8>,
    peer: UdpSocket,
}

/// A sender, its packet, and the receiver.
type Way<'t> = (&'t UdpSocket, &'t [u8], &'t UdpSocket);

impl Talk {
    fn open() -> Self {
        let (mut session, relayed) = bob().allocated();
        let (peer, address) = peer_at(Ipv4Addr::new(127, 100, 0, 1));
        let channel = session.bind_channel(address).expect("a channel").get();
        peer.connect(relayed).expect("a route to the server");
        for socket in [&peer, session.socket.datagrams()] {
            socket.set_nonblocking(true).expect("a socket");
        }
        let header = [channel.to_be_bytes(), (PACKET as u16).to_be_bytes()].concat();
        Self {
            session,
            on_channel: [header, vec![7; PACKET]].concat(),
            peer,
        }
    }

    fn out(&self) -> Way<'_> {
        (
            self.session.socket.datagrams(),
            &self.on_channel,
            &self.peer,
        )
    }

    fn back(&self) -> Way<'_> {
        (
            &self.peer,
            &self.on_channel[4..],
            self.session.socket.datagrams(),
        )
    }
}

/// Sends packets for a while, and counts those that come; returns also when the last one came.
fn pour(ways: &[Way<'_>]) -> (Vec<usize>, Duration) {
    let (start, mut sent, mut took) = (Instant::now(), 0, Duration::ZERO);
    let mut came = vec![0; ways.len()];
    while start.elapsed() < POURING + Duration::from_millis(500) {
        let due = (start.elapsed().min(POURING).as_secs_f64() * OFFERED as f64) as usize;
        let due = due.min(sent + 16);
        for ((sender, packet, receiver), came) in ways.iter().zip(&mut came) {
            for _ in sent..due {
                sender.send(packet).expect("the server is there");
            }
            while receiver.recv(&mut [0; 2048]).is_ok() {
                *came += 1;
                took = start.elapsed();
            }
        }
        sent = due;
        thread::sleep(Duration::from_micros(200));
    }
    (came, took)
}

const PACKET: usize = 1000;
/// Packets per second: 20 Mbit/s.
const OFFERED: usize = 2500;
const POURING: Duration = Duration::from_secs(2);
