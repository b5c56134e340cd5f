//! Guessing passwords at full speed, and what others notice of it.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    program::{Program, here},
    server::{PORT, REALM, Server, USER},
    socket::udp_to,
    world::in_own_world,
};
use wire::attributes::{Nonce, Realm, RequestedTransport, Username};
use wire::{Algorithm, Class, Key, Message, Method, TransactionId, Writer};

use crate::server::{SERVER, setup, setup_at};
use crate::stream::connect;
use crate::{bystander::Bystander, strangers::socket_at};

#[test]
fn guesses_at_full_speed_are_answered_a_minutes_worth_and_neighbours_notice_nothing() {
    in_own_world(|_| {
        for limit in [60, 0] {
            let mut server =
                Server::start(setup().with(&format!("auth.failures-per-minute = {limit}")));
            // Of the same network, which calls and comes in meanwhile.
            let bystander = Bystander::start();
            let guesser = thread::spawn(guess);
            let mut came = Vec::new();
            while !guesser.is_finished() {
                came.push(crate::clients::on_udp().allocated());
                thread::sleep(Duration::from_millis(50));
            }
            let (guesses, answers, took) = guesser.join().expect("a guesser");
            println!(
                "limit {limit}: {guesses} guesses, {answers} answers, {} neighbours",
                came.len()
            );
            bystander.finish().assert_undisturbed();
            let ended = server.stop();
            let dropped = ended.dropped("too-many-failures");
            println!("{dropped} dropped");
            // Those of a minute at once, and one more with each second.
            let most = limit + took.as_secs() as usize + 1;
            let is_within = limit == 0 || answers <= most;
            assert!(answers > 0 && is_within, "{answers} answers in {took:?}");
            assert_eq!(dropped > 0, limit > 0);
        }
    });
}

#[test]
fn over_tcp_a_guess_too_many_ends_the_connection() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("auth.failures-per-minute = 3"));
        let good = crate::clients::on_tcp().allocated();
        let mut stream = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        for _ in 0..4 {
            stream
                .write_all(&guess_with(USER, "no nonce"))
                .expect("a connection");
        }
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("an end");
        assert_eq!(crate::stream::frames(&heard).len(), 3);
        // A failure on a connection with a call on it ends no call.
        let (mut session, _) = good;
        session.socket.send(&guess_with(USER, "no nonce"));
        session.refresh(Duration::from_secs(600)).expect("a call");
        let ended = server.stop();
        assert_eq!(ended.sockets("connections-failed"), 1);
        assert_eq!(ended.dropped("too-many-failures"), 2);
    });
}

#[test]
fn the_filter_for_fail2ban_finds_who_fails_and_nobody_else() {
    in_own_world(|_| {
        for format in ["text", "json"] {
            let v6 = SocketAddr::new("::1".parse().expect("an address"), PORT);
            let mut server = Server::start(
                setup_at(&[SERVER, v6])
                    .with(&format!("log.addresses = true\nlog.format = '{format}'")),
            );
            for at in [SERVER, v6] {
                for transport in [Transport::Udp, Transport::Tcp] {
                    let guesser = LiveClient::to(at, transport).login(USER, "guessed");
                    assert_eq!({ guesser }.allocate(), Err(Code(401)));
                }
                let liar = udp_to(at);
                let nonce = nonce_for(&liar);
                liar.send(&guess_with(LIAR, &nonce)).expect("a route");
                liar.recv(&mut [0; 2048]).expect("a refusal");
            }
            // Anybody can write another's address on a datagram, but not a nonce that was sent there.
            socket_at(Ipv4Addr::new(127, 66, 6, 6))
                .send(&guess_with(USER, "no nonce"))
                .expect("the server is there");
            crate::clients::on_udp().allocated();
            let log = server.stop().output;
            let found = banned(&log);
            let expected = [["127.0.0.1"; 3], ["::1"; 3]].concat();
            assert_eq!(found, expected, "{log}");
            let marked: String = log
                .lines()
                .map(|line| format!(" host hairpin[17]: {line}\n"))
                .collect();
            assert_eq!(banned(&marked), expected);
        }
        let quiet = Server::start(setup());
        let guesser = LiveClient::to(SERVER, Transport::Udp).login(USER, "guessed");
        assert_eq!({ guesser }.allocate(), Err(Code(401)));
        quiet.wait_for_line(&["auth.failed", "cause=\"bad-integrity\""]);
        assert!(banned(&quiet.log()).is_empty() && !quiet.log().contains("client="));
    });
}

/// The addresses that Fail2Ban finds in a log with the filter.
pub(crate) fn banned(log: &str) -> Vec<String> {
    let filter = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/fail2ban/filter.d/hairpin.conf"
    );
    let files = tempfile::tempdir().expect("a temporary directory");
    let file = files.path().join("log");
    fs::write(&file, log).expect("the directory is ours");
    let mut command: Command = here("fail2ban-regex");
    command.args(["--out", "ip"]).arg(file).arg(filter);
    let found = Program::succeed(command);
    found.lines().map(str::to_owned).collect()
}

/// Sends guesses for a while, at the rate of `HAIRPIN_GUESSES` per second; returns how many, the
/// answers, and the time that it took.
fn guess() -> (usize, usize, Duration) {
    let rate = env::var("HAIRPIN_GUESSES").ok();
    let rate = rate.map_or(2000.0, |rate| rate.parse().expect("a number"));
    let socket = socket_at(Ipv4Addr::new(127, 0, 0, 9));
    let guess = guess_with(USER, &nonce_for(&socket));
    socket.set_nonblocking(true).expect("a socket");
    let (mut sent, mut answers, mut answer) = (0, 0, [0; 2048]);
    let start = Instant::now();
    while start.elapsed() < GUESSING + Duration::from_millis(300) {
        let due = (start.elapsed().min(GUESSING).as_secs_f64() * rate) as usize;
        let due = due.saturating_sub(sent).min(64);
        sent += (0..due).filter(|_| socket.send(&guess).is_ok()).count();
        while socket.recv(&mut answer).is_ok() {
            answers += 1;
        }
        thread::sleep(Duration::from_micros(100));
    }
    (sent, answers, start.elapsed())
}

pub(crate) fn nonce_for(socket: &UdpSocket) -> String {
    let mut request = Vec::new();
    Writer::new(&mut request, Method::Allocate, Class::Request, ID).put(&RequestedTransport::UDP);
    socket.send(&request).expect("the server is there");
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).expect("a challenge");
    let message = Message::parse(&answer[..length]).expect("a message");
    let Ok(Some(Nonce(nonce))) = message.get() else {
        panic!("a challenge has a nonce");
    };
    nonce.to_owned()
}

/// An Allocate with a wrong password.
pub(crate) fn guess_with(user: &str, nonce: &str) -> Vec<u8> {
    let mut request = Vec::new();
    let key = Key::md5(user, REALM, "guessed").schedule(Algorithm::Sha1);
    Writer::new(&mut request, Method::Allocate, Class::Request, ID)
        .put(&RequestedTransport::UDP)
        .put(&Username(user))
        .put(&Realm(REALM))
        .put(&Nonce(nonce))
        .sign(&key);
    request
}

const ID: TransactionId = TransactionId::new([7; 12]);
const GUESSING: Duration = Duration::from_secs(3);
/// A name that passes for a line of the log, if it is let.
const LIAR: &str =
    "x\n2026-01-01T00:00:00.000000Z  WARN auth.failed client=9.9.9.9:9 transport=\"udp\"";
