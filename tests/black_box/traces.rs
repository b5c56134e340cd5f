//! One user's actions as an operator sees them, while they happen and a moment later.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lab::PATIENCE;
use lab::live::{Code, LiveClient};
use lab::program::{Program, here};
use lab::server::serving;
use lab::socket::peer_at;
use lab::world::PEER_V4;
use serde_json::Value;
use wire::Transport;

use crate::admin::{Asked, operated, place};

#[test]
fn a_users_good_and_failed_calls_are_seen_live_and_no_secret_is_in_the_capture() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let file = place.path().join("alice.pcap");
        let mut command = asked.command(&["trace", "--user", "alice", "--json"]);
        command.arg("--pcap").arg(&file);
        let mut trace = Program::start(command);
        trace.wait_for_words("begun");

        let mut guesser = LiveClient::udp().login("alice", "guessed");
        assert_eq!(guesser.allocate(), Err(Code(401)));
        let (mut alice, _) = LiveClient::over(Transport::Tcp, wire::AddressFamily::V4).allocated();
        let (peer, address) = peer_at(PEER_V4);
        alice.bind_channel(address).expect("a channel");
        let private = ([10, 0, 0, 1], 9).into();
        assert_eq!(alice.create_permission(private), Err(Code(403)));
        alice.send(address, b"five!");
        peer.recv(&mut [0; 9]).expect("what the client sent");
        trace.wait_for_words("\"traffic\"");
        let id = asked.json(&["sessions"])[0]["id"].clone();
        let id = id.as_str().expect("an id");
        alice.refresh(Duration::ZERO).expect("the end");
        trace.wait_for_words("\"ended\"");

        let lines = json_lines(&trace.output());
        let of = |event: &str, method: &str| {
            let is_it = |line: &&Value| {
                line["event"] == event && (method.is_empty() || line["method"] == method)
            };
            let found = lines.iter().find(is_it);
            found.unwrap_or_else(|| panic!("no {event} of {method} in {lines:#?}"))
        };
        let refused = lines.iter().find(|it| it["cause"] == "bad-integrity");
        let refused = refused.expect("the wrong password");
        assert_eq!(refused["client"], guesser.address().to_string());
        assert!(
            refused["reason"]
                .as_str()
                .is_some_and(|it| it.contains("wrong password"))
        );
        assert_eq!(of("granted", "Allocate")["session"], id);
        assert_eq!(of("granted", "ChannelBind")["peer"], address.to_string());
        assert_eq!(of("refused", "CreatePermission")["cause"], "peer-denied");
        assert_eq!(of("traffic", "")["sent"]["bytes"], 5);
        assert_eq!(of("ended", "")["cause"], "deleted");

        // A moment later.
        let story = asked.succeed(&["session", id]);
        assert!(story.contains("ChannelBind granted: channel 0x"), "{story}");
        assert!(story.contains("ended: deleted"), "{story}");
        let all = asked.succeed(&["session", "--user", "alice"]);
        assert!(all.contains("Allocate refused: 401 bad-integrity"), "{all}");
        assert!(all.contains(id), "{all}");
        assert_wireshark_reads(&std::fs::read(&file).expect("a capture"), file.to_str());
        let log = server.log();
        let refused = log.lines().find(|it| it.contains("peer-denied"));
        let named = format!("allocation={id}");
        assert!(refused.is_some_and(|it| it.contains(&named)), "{log}");
    });
}

/// Every message is dissected as STUN, and none as malformed; integrity is zeros.
#[track_caller]
fn assert_wireshark_reads(bytes: &[u8], file: Option<&str>) {
    let file = file.expect("a path");
    let tshark = |arguments: &[&str]| {
        let mut command = here("tshark");
        command.args(["-n", "-r", file]).args(arguments);
        Program::succeed(command)
    };
    let types = tshark(&["-T", "fields", "-e", "stun.type", "-e", "stun.att.username"]);
    let types: Vec<&str> = types.lines().filter(|it| it.starts_with("0x")).collect();
    let count = |kind: &str| types.iter().filter(|it| it.starts_with(kind)).count();
    // Requests and answers: Allocate, ChannelBind, CreatePermission, Refresh.
    for kind in [
        "0x0003", "0x0103", "0x0113", "0x0009", "0x0109", "0x0008", "0x0118", "0x0004",
    ] {
        assert!(count(kind) > 0, "{kind} in {types:?}");
    }
    assert!(types.iter().any(|it| it.ends_with("alice")), "{types:?}");
    let frames = tshark(&[
        "-Y",
        "stun && !_ws.malformed",
        "-T",
        "fields",
        "-e",
        "frame.number",
    ]);
    let frames = frames
        .lines()
        .filter(|it| it.parse::<u32>().is_ok())
        .count();
    let packets = tshark(&["-T", "fields", "-e", "frame.number"]);
    let packets = packets
        .lines()
        .filter(|it| it.parse::<u32>().is_ok())
        .count();
    assert_eq!(frames, packets, "each packet is a whole message");
    // MESSAGE-INTEGRITY, and that of SHA-256.
    let mut signed = 0;
    for (head, length) in [([0, 0x08, 0, 20], 20), ([0, 0x1C, 0, 32], 32)] {
        for found in bytes.windows(4 + length).filter(|it| it[..4] == head) {
            assert!(found[4..].iter().all(|byte| *byte == 0), "{found:?}");
            signed += 1;
        }
    }
    assert!(signed >= 8, "{signed} signed messages");
}

#[test]
fn a_flood_beside_a_trace_that_nobody_reads_delays_no_client_and_is_told_in_number() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let mut unread = UnixStream::connect(asked.socket()).expect("the socket");
        let head = "GET /v1/trace?client=0.0.0.0/0&messages=true HTTP/1.1\r\nHost: hairpin\r\n\r\n";
        unread.write_all(head.as_bytes()).expect("a request");
        let mut first = [0; 15];
        unread.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");

        let (mut alice, _) = LiveClient::udp().allocated();
        let mut stranger = LiveClient::udp();
        let mut slowest = Duration::ZERO;
        let begin = Instant::now();
        let mut sent = 0;
        while begin.elapsed() < Duration::from_millis(1500) || sent < 4000 {
            let ask = Instant::now();
            // More would be beyond the budget for strangers.
            if sent % 16 == 0 {
                stranger.binding();
            } else {
                alice.refresh(Duration::from_secs(600)).expect("a Refresh");
            }
            slowest = slowest.max(ask.elapsed());
            sent += 1;
            // Against hanging: `slowest` is the delay.
            assert!(
                begin.elapsed() < 4 * PATIENCE,
                "{sent} in {slowest:?} each at most"
            );
        }
        // Others are told meanwhile, and no more than four.
        for _ in 0..3 {
            let mut more = Program::start(asked.command(&["trace", "--user", "bob"]));
            more.wait_for_words("begun");
            drop(more);
        }
        assert_eq!(asked.json(&["sessions"])[0]["user"], "alice");

        unread.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut told = Vec::new();
        let mut part = [0; 65536];
        while !String::from_utf8_lossy(&told).contains("\"lost\"") {
            match unread.read(&mut part).expect("what waited") {
                0 => panic!("nothing says what was lost"),
                length => told.extend_from_slice(&part[..length]),
            }
        }
    });
}

#[test]
fn no_more_than_four_traces_run_and_one_that_ends_makes_room() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let begin = || {
            let mut trace = Program::start(asked.command(&["trace", "--user", "alice"]));
            trace.wait_for_words("begun");
            trace
        };
        let mut all: Vec<Program> = (0..4).map(|_| begin()).collect();
        let none = asked.fail(&["trace", "--session", "0.00000001"]);
        assert!(none.contains("there is no session"), "{none}");
        let refused = asked.fail(&["trace", "--user", "alice"]);
        assert!(refused.contains("4 traces are going on"), "{refused}");
        all.pop();
        lab::wait_for("room for another", PATIENCE, || {
            let mut trace = Program::start(asked.command(&["trace", "--user", "alice"]));
            lab::wait_for("an answer", PATIENCE, || {
                let is_over = trace.ended().is_some();
                (is_over || trace.output().contains("begun")).then_some(())
            });
            trace.output().contains("begun").then_some(())
        });
    });
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("lines of JSON")
}
