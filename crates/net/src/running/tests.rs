//! Shards that fail, stand still and follow commands.

use super::*;
use crate::tests::{LOCAL, config, rules};
use crate::{Options, start};
use relay::{RelayAddress, Report, Transport};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::pin::pin;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

fn options(shards: usize, report: impl Fn(Report) + Send + Sync + 'static) -> Options {
    let listeners = [Transport::Udp, Transport::Tcp].map(|it| (it, (LOCAL, 0).into()));
    let relay = RelayAddress {
        local: LOCAL,
        external: LOCAL,
    };
    Options {
        shards,
        report: Arc::new(report),
        ..Options::new(listeners, config(vec![relay]))
    }
}

fn failed(running: &Running) -> Failed {
    let failed =
        runtime().block_on(async { timeout(Duration::from_secs(10), running.failed()).await });
    failed.expect("a shard that fails")
}

fn at(running: &Running, wanted: Transport) -> SocketAddr {
    let mut listeners = running.listeners().iter();
    let listener = listeners.find(|(transports, _)| transports.has(wanted));
    listener.unwrap().1
}

#[test]
fn a_shard_in_which_anything_panics_says_so_and_begins_anew() {
    // A Binding with an attribute that must be understood and is not: its refusal is reported.
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    for transport in [Transport::Udp, Transport::Tcp] {
        let running = start(options(1, |_| panic!("a fault"))).unwrap();
        let client = UdpSocket::bind((LOCAL, 0)).unwrap();
        client.connect(at(&running, Transport::Udp)).unwrap();
        if transport.is_stream() {
            let mut client = TcpStream::connect(at(&running, transport)).unwrap();
            client.write_all(refused).unwrap();
        } else {
            client.send(refused).unwrap();
        }
        assert_eq!(failed(&running).shard, 0);
        // The same client, at the same socket, is heard by the next life.
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client
            .send(b"\x00\x01\x00\x00\x21\x12\xA4\x42anyone there")
            .unwrap();
        // The answer to the refused request, sent before the panic, may come first.
        let mut answer = [0; 64];
        while !answer.starts_with(&[0x01, 0x01]) {
            client.recv(&mut answer).unwrap();
        }
        running.stop();
    }
}

/// Users come from the control side, and so does the news that they are users no more.
#[test]
fn shards_follow_new_rules_and_answer_the_control_side_also_after_they_began_anew() {
    let binding = b"\x00\x01\x00\x00\x21\x12\xA4\x42anyone there";
    // An Allocate of nobody: who is challenged hears the realm.
    let allocate = b"\x00\x03\x00\x00\x21\x12\xA4\x42anyone there";
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    let runtime = runtime();
    let running = start(options(1, |_| panic!("a fault"))).unwrap();
    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(at(&running, Transport::Udp)).unwrap();
    let patience = Some(Duration::from_secs(10));
    client.set_read_timeout(patience).unwrap();
    let hears_realm = |realm: &[u8]| {
        let mut answer = [0; 256];
        client.send(allocate).unwrap();
        let length = client.recv(&mut answer).unwrap();
        answer[..length].windows(realm.len()).any(|it| it == realm)
    };
    assert!(hears_realm(b"hairpin.test"));

    let silent = runtime.block_on(running.reload(rules("other.test")));
    assert_eq!(silent, [0; 0]);
    assert!(hears_realm(b"other.test"));
    let answers =
        runtime.block_on(running.command(Command::List(Selection::default(), Places::ALL)));
    assert_eq!(answers.given, [Answer::Allocations(vec![], None)]);
    assert_eq!(
        runtime.block_on(running.end(Selection::default())),
        Ended::default()
    );

    client.send(refused).unwrap();
    assert_eq!(failed(&running).shard, 0);
    let challenges = running.snapshot().0.challenges();
    assert_eq!(challenges, 2, "what a life did is not forgotten");
    client.send(binding).unwrap();
    let mut answer = [0; 256];
    while !answer.starts_with(&[0x01, 0x01]) {
        client.recv(&mut answer).unwrap();
    }
    assert!(hears_realm(b"other.test"), "the next life follows them too");
    let answers =
        runtime.block_on(running.command(Command::List(Selection::default(), Places::ALL)));
    assert_eq!(answers.given, [Answer::Allocations(vec![], None)]);
    let (counters, _) = running.stop();
    assert_eq!((counters.challenges(), counters.bindings), (3, 1));
}

/// A report that the embedding program does not come back from stands for any loop or call that
/// blocks.
#[test]
fn a_shard_that_stands_still_is_named_and_holds_up_no_command() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let running = start(options(2, move |_| {
        let _ = wait.lock().unwrap().recv();
    }));
    let running = running.unwrap();
    let runtime = runtime();
    let everything = || Command::List(Selection::default(), Places::ALL);
    let answers = runtime.block_on(running.command(everything()));
    assert_eq!((answers.given.len(), answers.silent), (2, vec![]));

    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(at(&running, Transport::Udp)).unwrap();
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    client.send(refused).unwrap();
    let mut answer = [0; 64];
    client.recv(&mut answer).unwrap();
    let answers = runtime.block_on(running.command(everything()));
    assert_eq!((answers.given.len(), answers.silent.len()), (1, 1));
    let ended = runtime.block_on(running.end(Selection::default()));
    assert_eq!((ended.allocations, ended.silent), (0, answers.silent));

    // It comes to what it was asked when it goes on.
    drop(go_on);
    let answers = runtime.block_on(running.command(everything()));
    assert_eq!((answers.given.len(), answers.silent), (2, vec![]));
    running.stop();
}

#[test]
fn no_shard_has_to_free_the_rules_that_held_before() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let running = start(options(1, move |_| {
        let _ = wait.lock().unwrap().recv();
    }));
    let (running, runtime) = (running.unwrap(), runtime());
    let silent = runtime.block_on(running.reload(rules("earlier.test")));
    assert_eq!(silent, [0; 0]);
    let earlier = Arc::downgrade(&running.rules.borrow());

    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(at(&running, Transport::Udp)).unwrap();
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    client.send(refused).unwrap();
    client.recv(&mut [0; 64]).unwrap();
    // The shard stands still, and has them yet.
    let mut reload = pin!(running.reload(rules("later.test")));
    runtime.block_on(async {
        let a_moment = Duration::from_millis(50);
        let outcome = timeout(a_moment, &mut reload).await;
        outcome.unwrap_err();
    });
    assert_eq!(earlier.strong_count(), 2);
    drop(go_on);
    assert_eq!(runtime.block_on(reload), [0; 0]);
    assert_eq!(earlier.strong_count(), 0);
    running.stop();
}
