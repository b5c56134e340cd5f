//! Many members, and many that are none.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use lab::{PATIENCE, server::Server, setup::Setup, wait_for, world::in_own_world};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use signal::Client;
use socket2::{Domain, Socket, Type};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{open, run};

#[test]
fn two_thousand_members_in_500_rooms_cost_little_each_and_hear_offers_at_once() {
    in_own_world(|_| {
        allow_many_files();
        let server = Server::start(
            here().with("signal.rooms = 8000\nsignal.per-prefix = 10000\nhttp.per-prefix = 10000"),
        );
        let before = server.program.memory();
        let (mut took, after) = run(async {
            let took = Arc::new(Mutex::new(Vec::new()));
            let mut members = Vec::new();
            for number in 0..MEMBERS {
                members.push(member(number / 4, Arc::clone(&took)).await);
            }
            // As many offers as members that were not the first of their room.
            let offers = || took.lock().unwrap().len() == MEMBERS / 4 * 3;
            while !offers() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let after = server.program.memory();
            // All of them answer pings: nobody was taken for dead meanwhile.
            assert!(!members.iter().any(JoinHandle::is_finished));
            (std::mem::take(&mut *took.lock().unwrap()), after)
        });
        let each = after.saturating_sub(before) / MEMBERS as u64;
        took.sort();
        let p99 = took[took.len() * 99 / 100];
        let median = took[took.len() / 2];
        println!(
            "{MEMBERS} members cost {each} bytes each; from connecting to an offer that was heard: median {median:?}, p99 {p99:?}"
        );
        assert!(each <= MOST_FOR_A_MEMBER, "{each} bytes each");
        assert!(p99 < Duration::from_secs(5), "{p99:?}");
    });
}

#[test]
fn ten_thousand_connections_that_do_not_come_to_the_point_delay_nobody() {
    in_own_world(|_| {
        allow_many_files();
        let mut server = Server::start(here());
        let before = server.program.memory();
        run(async {
            let (mut alice, _) = Client::join(HERE, "room", "Alice").await.unwrap();
            let (mut bob, _) = Client::join(HERE, "room", "Bob").await.unwrap();
            alice.receive().await.unwrap();
            let alone = slowest(&mut alice, &mut bob).await;
            // They are opened beside the call, as attackers would.
            let crowd = tokio::task::spawn_blocking(|| {
                let heads = (0..4000).map(|number| stranger(number, &UPGRADE[..60]));
                let silent = (0..6000).map(|number| stranger(number, UPGRADE));
                heads.chain(silent).collect::<Vec<_>>()
            });
            let mut beside = Duration::ZERO;
            while !crowd.is_finished() {
                beside = beside.max(slowest(&mut alice, &mut bob).await);
            }
            let crowd = crowd.await.unwrap();
            beside = beside.max(slowest(&mut alice, &mut bob).await);
            let each = server.program.memory().saturating_sub(before) / 10_000;
            println!(
                "slowest of the signals alone {alone:?}, beside 10,000 strangers {beside:?}; {each} bytes for each of them"
            );
            assert!(each < 24 * 1024, "{each} bytes");
            assert!(beside < Duration::from_secs(5), "{beside:?}");
            drop(crowd);
        });
        let told = server.stop();
        assert!(
            told.output.contains("what=\"joined\" count=2")
                || told.output.contains("what=joined count=2"),
            "{}",
            told.output
        );
    });
}

#[test]
fn strangers_that_say_nothing_make_room_after_ten_seconds() {
    in_own_world(|_| {
        let server = Server::start(here().with("http.connections = 4"));
        let strangers: Vec<_> = (0..4).map(|number| stranger(number, UPGRADE)).collect();
        run(async {
            // A page is told nothing but that there was no connection.
            wait_for_refusal().await;
            let begin = Instant::now();
            while Client::join(HERE, "room", "Alice").await.is_err() {
                assert!(begin.elapsed() < PATIENCE, "{}", server.log());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        wait_for("the refusals in the log", PATIENCE, || {
            server.log().contains("signal.refused").then_some(())
        });
        drop(strangers);
    });
}

#[test]
fn answers_to_pings_that_a_stranger_does_not_read_take_no_memory() {
    in_own_world(|_| {
        let server = Server::start(here());
        let before = server.program.memory();
        let mut stranger = stranger(0, UPGRADE);
        stranger
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        // A server that reads them slowly, or ends the connection, is what is wanted.
        let pings = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
        let pings = pings.repeat(500);
        let taken = (0..500).take_while(|_| stranger.write_all(&pings).is_ok());
        let taken = taken.count() * pings.len();
        let grown = server.program.memory().saturating_sub(before);
        println!("{taken} bytes of pings taken, {grown} bytes kept");
        assert!(grown < 4 * 1024 * 1024, "{grown} bytes");
    });
}

async fn wait_for_refusal() {
    let begin = Instant::now();
    while Client::connect(HERE).await.is_ok() {
        assert!(begin.elapsed() < PATIENCE, "connections without bound");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A member that stays, answers pings, and notes how long after its connection began each offer of a
/// newcomer is there.
async fn member(room: usize, took: Arc<Mutex<Vec<Duration>>>) -> JoinHandle<()> {
    let (ready, is_ready) = oneshot::channel();
    let task = tokio::spawn(async move {
        let begin = Instant::now();
        let room = format!("room-{room}");
        let (mut client, joined) = Client::join(HERE, &room, "N").await.expect("a place");
        if joined["members"] != json!([]) {
            let since = epoch().elapsed().saturating_sub(begin.elapsed());
            let offer = json!({"sdp": "x".repeat(12_000), "since": since.as_nanos() as u64});
            client.signal("m1", offer).await.expect("a connection");
            for _ in 0..5 {
                let candidate = json!({"candidate": "x".repeat(120)});
                let sent = client.signal("m1", candidate).await;
                sent.expect("a connection");
            }
        }
        ready.send(()).expect("the test waits");
        while let Ok(told) = client.receive().await {
            if let Some(since) = told["data"]["since"].as_u64() {
                let each = epoch().elapsed() - Duration::from_nanos(since);
                took.lock().unwrap().push(each);
            }
            client
                .send(json!({"type": "ack"}))
                .await
                .expect("a connection");
        }
    });
    is_ready.await.expect("a member");
    task
}

/// The slowest of some signals there and back.
async fn slowest(alice: &mut Client, bob: &mut Client) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let begin = Instant::now();
        alice.signal("m2", json!(number)).await.unwrap();
        expect(bob, number).await;
        bob.signal("m1", json!(number)).await.unwrap();
        expect(alice, number).await;
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    slowest
}

async fn expect(client: &mut Client, number: u64) {
    loop {
        let told: Value = client.receive().await.unwrap();
        if told["type"] == "signal" {
            assert_eq!(told["data"], number);
            return;
        }
    }
}

/// Connects from one of 40 networks, and says so much.
fn stranger(number: usize, says: &str) -> TcpStream {
    let [net, host] = [number % 40 + 1, number / 40 % 250 + 1].map(|part| part as u8);
    let source = SocketAddr::new(Ipv4Addr::new(127, 1, net, host).into(), 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&source.into())
        .expect("an address of this host");
    socket.connect(&HERE.into()).expect("a server");
    let mut stream = TcpStream::from(socket);
    // One too many is closed already.
    let _ = stream.write_all(says.as_bytes());
    stream
}

/// The server on the test's own host, where all of 127.0.0.0/8 can be clients.
fn here() -> Setup {
    let relay = SocketAddr::new(HERE.ip(), 3478);
    open(Setup::at(&[relay], &[HERE.ip()]))
}

/// The beginning that instants of members count from.
fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// The server raises its limit by itself; the test does it here.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the limit that was granted");
}

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const MEMBERS: usize = 2000;
/// Of the resident memory of the process, in a debug build.
const MOST_FOR_A_MEMBER: u64 = 16 * 1024;

const UPGRADE: &str = "GET /signal HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n";
