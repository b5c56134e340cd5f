//! A crowd at the server for browsers, while a page is asked for beside it and a call goes on.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use lab::{PATIENCE, server::Server, setup::Setup, world::in_own_world};

use crate::{
    bystander::Bystander,
    server::setup,
    silence::allow_many_files,
    stream::{connect, read_to_end},
};

const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn serving(more: &str) -> (Server, Bystander) {
    let server = Server::start(pages().with(more));
    server.wait_for_line(&["protocol=\"HTTP and HTTPS\""]);
    (server, Bystander::start())
}

fn pages() -> Setup {
    setup().with(&format!("http.listen = '{HTTP}'\ndemo.enabled = true"))
}

/// An address of the test's own host, in a network of its own.
fn stranger(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    (Ipv4Addr::new(127, 64 + high, low, 1), 0).into()
}

/// Asks for a page, and returns how long it took.
#[track_caller]
fn visit() -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(HTTP).expect("a server");
    stream
        .write_all(b"GET /test HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("a server");
    let answer = read_to_end(&stream, PATIENCE);
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    began.elapsed()
}

/// A page comes within a second. One visit may take longer by chance, for instance if a packet is lost, and the next two
/// not.
#[track_caller]
fn assert_visitable() {
    let most = Duration::from_secs(1);
    if visit() >= most {
        let next = [visit(), visit()];
        assert!(next.iter().all(|took| *took < most), "{next:?}");
    }
}

#[test]
fn connections_that_say_nothing_or_speak_drop_by_drop_cost_little_and_end_in_time() {
    in_own_world(|_| {
        allow_many_files();
        let (mut server, bystander) = serving("relay.ports = '20000-20999'");
        let before = server.program.memory();
        let silent: Vec<TcpStream> = (0..1000).map(|it| connect(stranger(it), HTTP)).collect();
        let mut slow: Vec<TcpStream> = (1000..2000).map(|it| connect(stranger(it), HTTP)).collect();
        for stream in &mut slow {
            stream
                .write_all(b"GET /test HTTP/1.1\r\nHost: ")
                .expect("a server");
        }
        let connected = Instant::now();
        assert_visitable();
        let each = server.program.memory().saturating_sub(before) / 2000;
        println!("a connection without a request costs {each} bytes");
        assert!(each <= MOST_FOR_SILENCE, "{each} bytes each");
        for stream in &mut slow {
            // Each drop is no reason to wait longer.
            let _ = stream.write_all(b"a");
        }
        for stream in silent.iter().chain(&slow) {
            read_to_end(stream, PATIENCE);
        }
        assert!(connected.elapsed() <= Duration::from_secs(15));
        bystander.finish().assert_undisturbed();
        let ended = server.stop();
        assert_eq!(
            (ended.http("silent"), ended.http("head-late")),
            (1000, 1000)
        );
    });
}

#[test]
fn a_network_that_takes_all_connections_it_can_leaves_those_of_others() {
    in_own_world(|_| {
        allow_many_files();
        let (mut server, bystander) = serving("http.per-prefix = 100");
        let crowd: Vec<TcpStream> = (0..200)
            .map(|host| connect((Ipv4Addr::new(127, 9, 9, host), 0).into(), HTTP))
            .collect();
        assert_visitable();
        // The second half is closed at once, the first when it has been silent for too long.
        let began = Instant::now();
        for stream in &crowd[100..] {
            assert!(read_to_end(stream, PATIENCE).is_empty());
        }
        assert!(began.elapsed() < Duration::from_secs(5));
        bystander.finish().assert_undisturbed();
        let ended = server.stop();
        assert_eq!(ended.http("refused-prefix"), 100);
        // It is told of, and not a hundred times.
        assert_eq!(ended.output.matches("http.refused").count(), 1);
    });
}

#[test]
fn answers_that_nobody_reads_cost_little_and_end_the_connection() {
    in_own_world(|_| {
        let (mut server, bystander) = serving("");
        let before = server.program.memory();
        let request = b"GET /base.css HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
        let mut greedy: Vec<TcpStream> = (0..20).map(|it| connect(stranger(it), HTTP)).collect();
        for stream in &mut greedy {
            stream.set_nonblocking(true).expect("a socket");
            // Until neither side takes more.
            while stream.write(&request).is_ok() {}
        }
        let began = Instant::now();
        for _ in 0..50 {
            assert_visitable();
        }
        let each = server.program.memory().saturating_sub(before) / 20;
        println!("answers that nobody reads cost {each} bytes a connection");
        assert!(each <= MOST_FOR_ANSWERS, "{each} bytes each");
        lab::wait_for("the connections to end", Duration::from_secs(60), || {
            greedy.iter_mut().all(is_over).then_some(())
        });
        assert!(began.elapsed() > Duration::from_secs(10));
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().http("slow-reader"), 20);
    });
}

/// Whether the server has given the connection up: it takes no more bytes.
fn is_over(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let written = stream.write_all(b"a");
    written.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}

#[test]
fn a_flood_of_requests_and_of_guesses_does_not_reach_a_visitor() {
    in_own_world(|_| {
        let token = "[[http.token]]\nid = 'web'\nsecret = 'a-token-of-thirty-two-characters'\n\
                     [http]\nper-prefix = 100\n\
                     [auth]\nsecrets = ['a secret of the web application']";
        let (mut server, bystander) = serving(token);
        let guess = b"POST /v1/turn/keys/web/credentials/generate HTTP/1.1\r\nHost: a\r\n\
                      Authorization: Bearer guess\r\nContent-Length: 0\r\n\r\n";
        let mut answers = Vec::new();
        // Each connection ends behind the first request that comes too fast, or has none at all.
        for _ in 0..5 {
            let mut flood = connect((Ipv4Addr::new(127, 9, 9, 9), 0).into(), HTTP);
            let _ = flood.write_all(&guess.repeat(1000));
            let _ = flood.read_to_end(&mut answers);
        }
        let text = String::from_utf8_lossy(&answers);
        let statuses = [" 401 ", " 429 "].map(|status| text.matches(status).count());
        // The last answer of each says why it ends, whatever was still on its way to the server.
        assert!(statuses[1] >= 5, "{statuses:?}");
        assert!(statuses.iter().sum::<usize>() < 1000, "{statuses:?}");
        assert_visitable();
        assert!((1..=70).contains(&statuses[0]), "{statuses:?}");
        bystander.finish().assert_undisturbed();
        let ended = server.stop();
        assert!(ended.http("refused-rate") > 0 && ended.http("token-wrong") <= 70);
    });
}

/// A task, its place and the socket.
const MOST_FOR_SILENCE: u64 = 12 * 1024;
/// The bytes that hyper reads ahead and those that wait to be sent.
const MOST_FOR_ANSWERS: u64 = 96 * 1024;
