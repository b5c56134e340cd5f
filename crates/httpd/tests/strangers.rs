//! Bytes of strangers, and the server's answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use httpd::{Options, Prepared, Running, Snapshot, Visit};
use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server without certificates.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn server(change: impl FnOnce(&mut Options)) -> Running {
    let listen = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)];
    let mut options = Options::new(
        "http",
        listen,
        Arc::new(NoCertificate),
        ProtocolVersion::TLSv1_2,
    );
    (options.per_prefix, options.is_for_few) = (256, false);
    change(&mut options);
    httpd::start(options, routes()).expect("a server")
}

fn routes() -> Router {
    let whose = async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.ip().to_string();
    let length = async |body: Bytes| body.len().to_string();
    Router::new()
        .route("/whose", get(whose))
        .route("/length", post(length))
        .route("/upgrade", get(upgrade))
        .route("/secret", get(async || StatusCode::UNAUTHORIZED))
        .merge(httpd::pages())
}

/// After the upgrade it says with each read how many bytes came until then.
async fn upgrade(request: Request) -> impl IntoResponse {
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await.expect("an upgrade"));
        let (mut buffer, mut count) = ([0; 1024], 0);
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            count += length;
            stream
                .write_all(format!(" {count}").as_bytes())
                .await
                .expect("a client that reads");
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "count")];
    (StatusCode::SWITCHING_PROTOCOLS, headers)
}

/// The answer to these bytes until the server closes, or is silent for a moment behind it.
fn talk(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.listeners()[0]).expect("a connection");
    exchange(&mut stream, bytes)
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    // The server may close before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a timeout");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The answers to these bytes of a server that closes behind the last one, as it must.
#[track_caller]
fn to_the_end(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.listeners()[0]).expect("a connection");
    let _ = stream.write_all(bytes);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answers = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answers) {
        // It has closed before it has read all.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8_lossy(&answers).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// Waits until so many were counted: a client sees the end of its connection before.
#[track_caller]
fn assert_counted(server: &Running, name: impl Fn(&Snapshot) -> u64, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while name(&server.snapshot()) < count && Instant::now() < deadline {
        thread::yield_now();
    }
    assert_eq!(name(&server.snapshot()), count);
}

/// A request with these lines behind the first.
fn request(first: &str, more: &str) -> String {
    format!("{first} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

#[test]
fn what_is_no_request_is_refused_by_its_kind() {
    let server = server(|_| {});
    let long_line = format!("X: {}\r\n", "a".repeat(100_000));
    let many_lines = "X: a\r\n".repeat(500);
    let two_lengths = "Content-Length: 4\r\nContent-Length: 5\r\n";
    for (bytes, expected) in [
        (request("GET /test", ""), Some(200)),
        (request("GET http://a/test", ""), Some(200)),
        (request("HEAD /test", ""), Some(200)),
        ("GET /test HTTP/1.0\r\n\r\n".to_owned(), Some(200)),
        (request("POST /test", "Content-Length: 0\r\n"), Some(405)),
        (request("TRACE /test", ""), Some(405)),
        (request("CONNECT a:443", ""), Some(404)),
        (request("OPTIONS *", ""), Some(404)),
        ("GET /test HTTP/1.1\r\n\r\n".to_owned(), Some(400)),
        (request("GET /test", "Host: b\r\n"), Some(400)),
        (request("GET /test", two_lengths), Some(400)),
        ("GET /test\r\n\r\n".to_owned(), Some(400)),
        ("\0\x01\x02 garbage\r\n\r\n".to_owned(), Some(400)),
        (request("GET /test", &long_line), Some(431)),
        (request("GET /test", &many_lines), Some(431)),
        (
            request(&format!("GET /{}", "a".repeat(70_000)), ""),
            Some(431),
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), None),
        // A hello of TLS, to a server without a certificate.
        ("\x16\x03\x01\0\x05\x01\0\0\x01\0".to_owned(), None),
    ] {
        let answer = talk(&server, bytes.as_bytes());
        let first = &bytes[..bytes.len().min(60)];
        assert_eq!(status(&answer), expected, "{first:?}: {answer}");
    }
    assert_counted(&server, |it| it.head_too_large, 3);
    assert_counted(&server, |it| it.http2, 1);
    assert_counted(&server, |it| it.handshakes_failed, 1);
    assert_counted(&server, |it| it.malformed, 5);
}

#[test]
fn no_path_leads_out_of_the_pages() {
    let server = server(|_| {});
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//test",
        "/./test",
        "/test/",
        "/test%00",
        "/test;x",
        "/TEST",
        "/static/call.js",
    ] {
        let answer = talk(&server, request(&format!("GET {path}"), "").as_bytes());
        assert_eq!(status(&answer), Some(404), "{path}");
    }
}

#[test]
fn a_body_is_read_whole_and_a_long_one_is_refused() {
    let server = server(|_| {});
    let post = |length: usize, more: &str| {
        let head = request("POST /length", more);
        talk(
            &server,
            [head.as_bytes(), &vec![b'a'; length]].concat().as_slice(),
        )
    };
    let answer = post(65_536, "Content-Length: 65536\r\n");
    assert!(answer.ends_with("65536"), "{answer}");
    assert_eq!(
        status(&post(65_537, "Content-Length: 65537\r\n")),
        Some(413)
    );
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "a".repeat(40_000));
    let chunks = request("POST /length", "Transfer-Encoding: chunked\r\n") + &chunk + &chunk;
    assert_eq!(
        status(&talk(&server, (chunks + "0\r\n\r\n").as_bytes())),
        Some(413)
    );
    assert_counted(&server, |it| it.body_too_large, 2);
}

#[test]
fn a_refusal_that_no_route_sees_is_completed_for_its_path() {
    let server = server(|options| {
        options.dress = Arc::new(|head, mut refusal| {
            let path = head.uri.path().parse().unwrap();
            refusal.headers_mut().insert("x-path", path);
            refusal
        });
    });
    for (more, refusal) in [
        ("Content-Length: 65537\r\n", 413),
        ("Host: b\r\n", 400),
        ("", 200),
    ] {
        let body = if refusal == 413 { 65_537 } else { 0 };
        let asked = request("POST /length", more) + &"a".repeat(body);
        let answer = talk(&server, asked.as_bytes());
        assert_eq!(status(&answer), Some(refusal));
        let is_completed = answer.contains("x-path: /length");
        assert_eq!(is_completed, refusal != 200, "{answer}");
    }
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let server = server(|_| {});
    let all =
        request("GET /whose", "") + &request("GET /nowhere", "") + &request("GET /whose", CLOSE);
    let answer = to_the_end(&server, all.as_bytes());
    let statuses: Vec<&str> = answer.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 3);
    assert!(answer.find("404") > answer.find("200"));
}

/// From 127.0.0.0/24, which a test's own host has.
#[test]
fn a_network_has_its_connections_and_no_more() {
    let server = server(|options| options.per_prefix = 3);
    let hold = || TcpStream::connect(server.listeners()[0]).unwrap();
    let held = [hold(), hold(), hold()];
    let asked = request("GET /whose", "");
    // The three are accepted before it, in their order.
    assert_eq!(talk(&server, asked.as_bytes()), "");
    assert_counted(&server, |it| it.refused_prefix, 1);
    drop(held);
    // Once the server has seen that they are gone.
    let deadline = Instant::now() + PATIENCE;
    while status(&talk(&server, asked.as_bytes())) != Some(200) {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_server_for_few_keeps_no_connection_of_a_stranger() {
    let options = Options::new(
        "metrics",
        vec![],
        Arc::new(NoCertificate),
        ProtocolVersion::TLSv1_2,
    );
    assert!(options.per_prefix < options.connections);
    let thrice = |first: &str| request(first, "").repeat(2) + &request(first, CLOSE);
    for (is_for_few, refusals) in [(true, 1), (false, 3)] {
        let server = server(|it| it.is_for_few = is_for_few);
        for (first, refusal) in [
            ("GET /nowhere", "HTTP/1.1 404"),
            ("GET /length", "HTTP/1.1 405"),
            ("GET /secret", "HTTP/1.1 401"),
        ] {
            let answer = to_the_end(&server, thrice(first).as_bytes());
            assert_eq!(answer.matches(refusal).count(), refusals, "{answer}");
        }
        let answer = to_the_end(&server, thrice("GET /whose").as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    }
}

#[test]
fn a_network_that_asks_too_fast_is_told_to_wait_and_its_connection_ends() {
    let server = server(|options| options.per_prefix = 10);
    let all = request("GET /whose", "").repeat(200);
    let answer = to_the_end(&server, all.as_bytes());
    let refusals: Vec<_> = answer.match_indices("429 Too Many Requests").collect();
    // The connection ends behind it.
    assert_eq!(refusals.len(), 1, "{answer}");
    let (at, _) = refusals[0];
    let refusal = &answer[at..];
    assert!(refusal.contains("retry-after: 3") && refusal.contains("connection: close"));
    assert_eq!(server.snapshot().refused_rate, 1);
}

#[test]
fn a_proxy_brings_visitors_and_others_do_not() {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    for (is_proxy, told) in [(true, "192.0.2.7"), (false, "127.0.0.1")] {
        let server = server(|options| {
            options.is_proxy = Arc::new(move |host| is_proxy && host == localhost);
        });
        let lie = "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n";
        let answer = talk(&server, request("GET /whose", lie).as_bytes());
        assert!(answer.ends_with(told), "{answer}");
    }
}

#[test]
fn the_visitors_of_a_proxy_are_bounded_each_by_its_own_network() {
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let server = server(|options| {
        options.per_prefix = 2;
        options.is_proxy = Arc::new(move |host| host == localhost);
    });
    let visit = |visitor: &[u8]| {
        let mut stream = TcpStream::connect(server.listeners()[0]).unwrap();
        let head = b"GET /whose HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ";
        let answer = exchange(&mut stream, &[head, visitor, b"\r\n\r\n"].concat());
        (status(&answer), stream)
    };
    // Connections that are kept open.
    let (first, second) = (visit(b"192.0.2.1"), visit(b"192.0.2.2"));
    assert_eq!((first.0, second.0), (Some(200), Some(200)));
    assert_eq!(visit(b"192.0.2.3").0, Some(429));
    assert_eq!(visit(b"\xff, 192.0.2.3").0, Some(429));
    assert_eq!(visit(b"198.51.100.1").0, Some(200));
    // A visitor whom the proxy does not name counts as the proxy.
    let (first, second) = (visit(b"\xff"), visit(b"unknown"));
    assert_eq!((first.0, second.0), (Some(200), Some(200)));
    assert_eq!(visit(b"").0, Some(429));
}

#[test]
fn a_connection_that_another_server_accepted_is_served() {
    let prepared = Prepared::new();
    let door = prepared.door();
    let options = Options::new(
        "http",
        vec![],
        Arc::new(NoCertificate),
        ProtocolVersion::TLSv1_2,
    );
    let server = prepared.start(options, routes()).unwrap();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut visitor = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(door.enter(Visit {
        stream,
        visitor: "192.0.2.7:5".parse().unwrap(),
        first: Bytes::from_static(b"GET /whose HT"),
    }));
    let answer = exchange(&mut visitor, b"TP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with("192.0.2.7"), "{answer}");
    assert_eq!(server.snapshot().connections, 1);
}

#[test]
fn after_an_upgrade_a_stranger_is_read_at_a_rate_whatever_its_bytes_are() {
    let asked = request("GET /upgrade", "Connection: upgrade\r\nUpgrade: count\r\n");
    let most = 60_000;
    for (rate, is_all) in [(1_000_000, true), (1, false)] {
        let server = server(|options| options.upgraded = rate);
        let mut stream = TcpStream::connect(server.listeners()[0]).unwrap();
        let answer = exchange(&mut stream, asked.as_bytes());
        assert_eq!(status(&answer), Some(101));
        // Continuations of nothing.
        let mut answer = exchange(&mut stream, &[0, 0x80, 0, 0, 0, 0].repeat(most / 6));
        // Where all of it must be read, a moment of silence is not the end.
        while is_all && !answer.ends_with(&format!(" {most}")) {
            let more = exchange(&mut stream, b"");
            assert!(!more.is_empty(), "{answer}");
            answer += &more;
        }
        let count: usize = answer.split(' ').next_back().unwrap().parse().unwrap();
        assert_eq!(count == most, is_all, "{count} at {rate}");
        assert!(count > 0);
    }
}

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// The line of a request that is the last.
const CLOSE: &str = "Connection: close\r\n";
