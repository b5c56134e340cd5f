//! Shards that fail, stand still and follow commands.

use super::*;
use crate::tests::{LOCAL, alices_rules, config, relaying_at_local, rules};
use crate::{ListenerOptions, Options, Relistened, start, sys};
use client::{AllocateOptions, Client, Credentials, Event};
use relay::{Answer, Keys, Places, PortRange, RelayAddress, Report, Selection, Transport};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::net::{TcpStream, UdpSocket};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

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
    let failed = runtime().block_on(async { timeout(PATIENCE, running.failed()).await });
    failed.expect("a shard that fails")
}

fn at(running: &Running, wanted: Transport) -> SocketAddr {
    let mut listeners = running.listeners().into_iter();
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
        client.set_read_timeout(Some(PATIENCE)).unwrap();
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

/// The receive buffer of the socket of this process at an address; the kernel says twice what it was asked for.
fn receive_buffer(at: SocketAddr) -> usize {
    let buffer = (3..1_000).find_map(|descriptor| {
        // It belongs to the shard, or to another test.
        let socket = ManuallyDrop::new(sys::adopt(descriptor).ok()?);
        let own = socket.local_addr().ok()?.as_socket();
        (own == Some(at)).then(|| socket.recv_buffer_size().unwrap())
    });
    buffer.expect("a socket there") / 2
}

/// The relayed address of a new client.
fn allocated(server: SocketAddr, seed: u8) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    socket.connect(server).unwrap();
    let patience = Some(PATIENCE);
    socket.set_read_timeout(patience).unwrap();
    let mut config = client::Config::new(Transport::Udp);
    config.credentials = Some(Credentials::new("alice", "wonderland").unwrap());
    let mut client = Client::new(config, [seed; 32]);
    client.allocate(Instant::now(), AllocateOptions::default());
    loop {
        while let Some(packet) = client.poll_transmit() {
            socket.send(&packet).unwrap();
        }
        if let Some(event) = client.poll_event() {
            let Event::Allocated { relayed, .. } = event else {
                panic!("{event:?}");
            };
            return (socket, relayed);
        }
        let mut packet = [0; 1_024];
        let length = socket.recv(&mut packet).unwrap();
        client.handle_input(Instant::now(), &packet[..length]);
    }
}

#[test]
fn relay_sockets_have_the_receive_buffer_that_was_set_last_before_they_were_opened() {
    const SMALL: usize = 40 << 10;
    const LARGE: usize = 90 << 10;
    let mut options = options(1, |_| {});
    let mut keys = Keys::new("hairpin.test");
    keys.add_user("alice", "wonderland").unwrap();
    let policy = rules("hairpin.test").policy;
    let mut rules = Rules::new(keys, policy);
    rules.relays.clone_from(&options.config.rules.relays);
    options.config.rules = Arc::new(rules);
    options.relay_buffer = SMALL;
    let running = start(options).unwrap();
    let server = at(&running, Transport::Udp);
    let (_first, before) = allocated(server, 1);
    assert_eq!(receive_buffer(before), SMALL);
    running.set_relay_buffer(LARGE);
    let (_second, after) = allocated(server, 2);
    assert_eq!(receive_buffer(after), LARGE);
    assert_eq!(receive_buffer(before), SMALL, "it stays as it was");
    running.stop();
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
    let patience = Some(PATIENCE);
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
fn an_order_to_end_reaches_every_place_and_a_shard_that_stands_still_when_it_goes_on() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let report = move |report| {
        if matches!(report, Report::Refused { .. }) {
            let _ = wait.lock().unwrap().recv();
        }
    };
    let ports = PortRange::new(20_000, 20_999).unwrap();
    let running = start(Options {
        config: relaying_at_local(ports, alices_rules(ports, vec![])),
        ..options(1, report)
    });
    let (running, runtime) = (running.unwrap(), runtime());
    let server = at(&running, Transport::Udp);
    let open = |count: u8| {
        (0..count)
            .map(|seed| allocated(server, seed))
            .collect::<Vec<_>>()
    };
    let end = || runtime.block_on(running.end(Selection::default()));
    // More than a shard looks at in one turn.
    let count = PLACES + 10;
    let crowd = open(u8::try_from(count).unwrap());
    assert_eq!(end().allocations, count);
    drop(crowd);

    let _crowd = open(3);
    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    client.send(refused).unwrap();
    client.recv(&mut [0; 64]).unwrap();
    let ended = end();
    assert_eq!((ended.allocations, ended.silent), (0, vec![0]));
    drop(go_on);
    let all = || runtime.block_on(running.survey()).0.allocations;
    let deadline = Instant::now() + PATIENCE;
    while all() > 0 {
        assert!(Instant::now() < deadline, "{} go on", all());
    }
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

/// Sends a request that is always answered; whether it was, or the host said that nobody is there.
fn answers(server: SocketAddr) -> bool {
    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(server).unwrap();
    let patience = Some(PATIENCE);
    client.set_read_timeout(patience).unwrap();
    client.send(crate::tests::BINDING).unwrap();
    match client.recv(&mut [0; 64]) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => false,
        Err(error) => panic!("{error}"),
    }
}

fn listener(transport: Transport, listen: SocketAddr) -> ListenerOptions {
    ListenerOptions {
        transports: transport.into(),
        listen,
    }
}

/// A free port of loopback, for a moment.
fn free() -> SocketAddr {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn listeners_come_and_go_in_all_shards_and_in_a_shard_that_begins_anew() {
    let (first, second) = (free(), free());
    let wanted = |at: SocketAddr| [Transport::Udp, Transport::Tcp].map(|it| listener(it, at));
    let running = start(Options {
        listeners: wanted(first).into(),
        ..options(3, |_| panic!("a fault"))
    });
    let (running, runtime) = (running.unwrap(), runtime());
    let relisten = |wanted: &[ListenerOptions]| {
        let prepared = running.prepare(wanted).unwrap();
        runtime.block_on(running.listen(prepared)).unwrap()
    };
    assert_eq!(relisten(&wanted(first)), Relistened::default());

    let changes = relisten(&wanted(second));
    assert_eq!((changes.opened.len(), changes.retired.len()), (2, 2));
    assert_eq!(running.retiring(), [(Transport::Udp.into(), first)]);
    let served = |at| (0..8).filter(|_| answers(at)).count();
    assert_eq!(
        (served(first), served(second)),
        (8, 8),
        "until they are closed"
    );
    TcpStream::connect(first).unwrap_err();
    TcpStream::connect(second).unwrap();
    let closed = runtime.block_on(running.close_unused());
    assert_eq!(closed, [(Transport::Udp.into(), first)]);
    assert_eq!((served(first), served(second)), (0, 8));

    // A shard fails over its report, and its next life serves what there is by now.
    let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    client.connect(second).unwrap();
    client.send(refused).unwrap();
    failed(&running);
    assert_eq!((served(first), served(second)), (0, 8));
    relisten(&wanted(first));
    assert_eq!(served(first), 8);
    TcpStream::connect(first).unwrap();
    assert_eq!(running.listeners().len(), 2);
    running.stop();
}

#[test]
fn listeners_that_cannot_be_had_change_nothing() {
    let spare = free();
    let other = UdpSocket::bind((LOCAL, 0)).unwrap();
    let running = start(options(2, |_| ())).unwrap();
    let (udp, tcp) = (at(&running, Transport::Udp), at(&running, Transport::Tcp));
    let every = SocketAddr::new([0, 0, 0, 0].into(), udp.port());
    let others = other.local_addr().unwrap();
    for (wanted, word) in [
        (listener(Transport::Udp, others), "Address already in use"),
        (listener(Transport::Udp, every), "the calls on it"),
        (listener(Transport::Tls, spare), "needs a certificate"),
    ] {
        let outcome = running.prepare(&[listener(Transport::Udp, spare), wanted]);
        let fault = outcome.err().unwrap().to_string();
        assert!(fault.contains(word), "{fault}");
        assert!(answers(udp));
        TcpStream::connect(tcp).unwrap();
        assert_eq!(running.listeners().len(), 2);
    }
    running.stop();
}

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(60);
