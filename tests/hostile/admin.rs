//! Strangers at the operator's API, beside a call that must not feel them.

use std::{
    env,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    server::{Server, TOKEN},
    world::in_own_world,
};
use tempfile::TempDir;

use crate::{
    bystander::Bystander,
    server::setup,
    stream::{connect, read_to_end},
};

const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9640);

/// A server with a socket and an address for the operator, and a call.
struct Operated {
    server: Server,
    bystander: Bystander,
    place: TempDir,
}

impl Operated {
    fn start(more: &str) -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let socket = place.path().join("admin.sock");
        let server = Server::start(setup().with(&format!(
            "admin.socket = '{}'\nadmin.listen = '{API}'\nadmin.token = '{TOKEN}'\n{more}",
            socket.display()
        )));
        server.wait_for_line(&["admin.listening"]);
        Self {
            server,
            bystander: Bystander::start(),
            place,
        }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("admin.sock")
    }

    /// The call has felt nothing, and the operator is answered.
    #[track_caller]
    fn finish(mut self) {
        assert_eq!(status_of(&asked("GET /v1/status", &right(), "")), 200);
        self.bystander.finish().assert_undisturbed();
        self.server.stop();
    }
}

fn right() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// The whole answer to a request on a connection of its own.
#[track_caller]
fn asked(line: &str, headers: &str, body: &str) -> String {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(API).expect("a server");
    stream.write_all(request.as_bytes()).expect("a server");
    String::from_utf8_lossy(&read_to_end(&stream, PATIENCE)).into_owned()
}

#[track_caller]
fn status_of(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[test]
fn a_wrong_token_is_slowed_bounded_and_logged_and_the_right_one_is_let_in_beside_it() {
    in_own_world(|_| {
        let operated = Operated::start("");
        let began = Instant::now();
        for headers in [
            String::new(),
            "Authorization: Bearer \r\n".to_owned(),
            format!("Authorization: Bearer {TOKEN}=\r\n"),
            format!("Authorization: Basic {TOKEN}\r\n"),
        ] {
            let answer = asked("GET /v1/status", &headers, "");
            assert_eq!(status_of(&answer), 401, "{answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        }
        assert!(began.elapsed() >= Duration::from_secs(4));
        let in_the_query = format!("GET /v1/status?token={TOKEN}&access_token={TOKEN}");
        assert_eq!(status_of(&asked(&in_the_query, "", "")), 401);
        let guesses: Vec<_> = (0..90)
            .map(|_| thread::spawn(|| status_of(&asked("POST /v1/drain", "", ""))))
            .collect();
        let answers = guesses.into_iter().map(|it| it.join().expect("an answer"));
        let answers: Vec<u16> = answers.collect();
        let too_often = answers.iter().filter(|status| **status == 429).count();
        assert!((30..=40).contains(&too_often), "{answers:?}");
        assert!(answers.iter().all(|status| [401, 429].contains(status)));
        assert_eq!(status_of(&asked("GET /ready", "", "")), 200);
        assert_eq!(status_of(&asked("GET /v1/status", &right(), "")), 200);
        operated
            .server
            .wait_for_line(&["admin.refused", "reason=\"wrong-token\""]);
        operated
            .server
            .wait_for_line(&["admin.refused", "reason=\"too-often\""]);
        assert!(!operated.server.log().contains(TOKEN));
        operated.finish();
    });
}

#[test]
fn no_path_leads_anywhere_but_to_what_the_api_has() {
    in_own_world(|_| {
        let operated = Operated::start("");
        // The page itself, which asks for the token, is for anybody.
        let page = asked("GET /", "", "");
        assert_eq!(status_of(&page), 200, "{page}");
        for path in [
            "//v1/status",
            "/v1/../v1/status",
            "/live/../v1/status",
            "/live/",
            "/%6cive/../v1/status",
            "/v1/%73tatus",
            "/v1/status/",
            "/v1/sessions/%00",
            "/v1/sessions/..%2f..%2fetc%2fpasswd",
            "/v1/sessions/%ff%fe",
            "/../../etc/passwd",
            "http://127.0.0.1/v1/config",
            "*",
        ] {
            let answer = asked(&format!("GET {path}"), "", "");
            assert!([400, 401].contains(&status_of(&answer)), "{path}: {answer}");
            assert!(!answer.contains("root:"), "{path}: {answer}");
        }
        for path in [
            "/v1/../v1/status",
            "/v1/sessions/..%2f..%2fetc%2fpasswd",
            "/v1/sessions/%00",
            "/../../etc/passwd",
        ] {
            let answer = asked(&format!("GET {path}"), &right(), "");
            assert!([400, 404].contains(&status_of(&answer)), "{path}: {answer}");
        }
        operated.finish();
    });
}

#[test]
fn bodies_of_ten_megabytes_are_refused_and_kept_nowhere() {
    in_own_world(|_| {
        let operated = Operated::start("");
        let before = operated.server.program.peak_memory();
        for _ in 0..10 {
            let body = vec![b' '; 10_000_000];
            let head = |line: &str| {
                format!(
                    "{line} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    right(),
                    body.len()
                )
            };
            let mut stream = TcpStream::connect(API).expect("a server");
            stream
                .write_all(head("POST /v1/sessions/end").as_bytes())
                .expect("a server");
            // It closes before all is sent.
            let _ = stream.write_all(&body);
            let _ = read_to_end(&stream, PATIENCE);
            let mut stream = UnixStream::connect(operated.socket()).expect("a server");
            let line = head("PUT /v1/log-level");
            stream.write_all(line.as_bytes()).expect("a server");
            let _ = stream.write_all(&body);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
        let grown = operated.server.program.peak_memory().saturating_sub(before);
        println!("twenty bodies of ten megabytes cost {grown} bytes");
        assert!(grown < 8_000_000, "{grown}");
        operated
            .server
            .wait_for_line(&["admin.refused", "reason=\"body-too-large\""]);
        operated.finish();
    });
}

#[test]
fn heads_and_bodies_that_come_drop_by_drop_end_in_time() {
    in_own_world(|_| {
        let operated = Operated::start("");
        let head = format!("GET /v1/status HTTP/1.1\r\nHost: a\r\n{}", right());
        let body = format!(
            "PUT /v1/log-level HTTP/1.1\r\nHost: a\r\n{}Content-Length: 1000\r\n\r\n{{",
            right()
        );
        let slow = |text: &str| {
            let mut stream = connect((Ipv4Addr::LOCALHOST, 0).into(), API);
            stream.write_all(text.as_bytes()).expect("a server");
            stream
        };
        let mut streams: Vec<TcpStream> = (0..20).map(|_| slow(&head)).collect();
        streams.extend((0..20).map(|_| slow(&body)));
        let mut local = UnixStream::connect(operated.socket()).expect("a server");
        local.write_all(b"GET /v1/st").expect("a server");
        let began = Instant::now();
        for _ in 0..4 {
            for stream in &mut streams {
                let _ = stream.write_all(b" ");
            }
            thread::sleep(Duration::from_secs(1));
        }
        // The others have their places all the while.
        assert_eq!(status_of(&asked("GET /v1/status", &right(), "")), 200);
        for stream in &streams {
            read_to_end(stream, PATIENCE);
        }
        local.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let _ = local.read_to_end(&mut Vec::new());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        for reason in ["head-late", "body-late"] {
            let reason = format!("reason=\"{reason}\"");
            operated.server.wait_for_line(&["admin.refused", &reason]);
        }
        operated.finish();
    });
}

/// Half a million on a quiet machine (`HAIRPIN_TEST_REQUESTS=500000`); the processor time of CI is for more than that.
#[test]
fn requests_without_pause_on_connections_that_are_kept_are_bounded_and_never_felt() {
    in_own_world(|_| {
        let operated = Operated::start("");
        let wanted = number("HAIRPIN_TEST_REQUESTS", 20_000);
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: a\r\n{}\r\n", right());
        let (mut sent, mut answered, mut refused) = (0, 0, 0);
        let mut connections = 0;
        while sent < wanted {
            let mut stream = TcpStream::connect(API).expect("a server");
            connections += 1;
            // As many as one write takes, whether anybody answers or not.
            let some = request.repeat(100);
            sent += 100;
            if stream.write_all(some.as_bytes()).is_err() {
                continue;
            }
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answers = read_to_end(&stream, PATIENCE);
            let answers = String::from_utf8_lossy(&answers);
            answered += answers.matches("HTTP/1.1 200").count();
            refused += answers.matches("HTTP/1.1 429").count();
        }
        println!(
            "{sent} requests on {connections} connections: {answered} answered, {refused} refused"
        );
        assert!(answered >= 300, "{answered}");
        assert!(refused > 0);
        operated
            .server
            .wait_for_line(&["admin.refused", "reason=\"refused-rate\""]);
        // The network has its rate again.
        thread::sleep(Duration::from_secs(4));
        operated.finish();
    });
}

fn number(variable: &str, usual: usize) -> usize {
    let given = env::var(variable).ok();
    given.map_or(usual, |text| text.parse().expect("a number"))
}
