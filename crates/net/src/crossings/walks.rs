//! Data between two clients over real sockets: in one shard and across two it arrives the same.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::client::{AllocateOptions, Client, Credentials, Event};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use relay::{
    Answer, ChannelNumber, Command, Config, Counters, Destination, DropReason, Outgoing, Places,
    PortRange, Selection, Transport,
};

use super::tests::of_senders;
use super::*;
use crate::egress::Egress;
use crate::local::Local;
use crate::shard::Shard;
use crate::sys::{self, Batch, Label};
use crate::tests::{LOCAL, alices_rules, blueprint, relaying_at_local};
use crate::{NetCounters, Offload, Options, Running, bind, start, udp};

/// A client with an allocation.
struct Caller {
    client: Client,
    socket: UdpSocket,
    server: SocketAddr,
    relayed: SocketAddr,
    shard: usize,
    /// Towards the other one.
    channel: Option<ChannelNumber>,
}

/// Data as a client hears it: whether on a channel, its marking, and its bytes, which are compared and not
/// shown.
type Heard = (bool, Marking, Bytes);

#[derive(Clone, PartialEq, Eq)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        write!(f, "{} bytes from {:?} on", bytes.len(), bytes.first())
    }
}

/// Data that a client sends.
#[derive(Clone, Debug)]
struct Sent {
    from: usize,
    form: Form,
    marking: Marking,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Channel,
    Indication,
    Unfragmented,
}

fn config() -> Config {
    let ports = PortRange::new(22_000, 22_999).unwrap();
    relaying_at_local(ports, alices_rules(ports, vec![]))
}

/// How many allocations each shard has.
fn allocations(running: &Running) -> Vec<usize> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let list = Command::List(Selection::default(), Places::ALL);
    let answers = runtime.block_on(running.command(list)).given.into_iter();
    let count = answers.map(|answer| {
        let Answer::Allocations(all, _) = answer else {
            panic!("{answer:?}");
        };
        all.len()
    });
    count.collect()
}

impl Caller {
    fn new(running: &Running, seed: u8) -> Self {
        let before = allocations(running);
        let (_, server) = running.listeners()[0];
        let socket =
            bind::relay((LOCAL, 0).into(), Offload::Auto.find(), bind::SOCKET_BUFFER).unwrap();
        let socket = UdpSocket::from(socket);
        socket.set_nonblocking(false).unwrap();
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).unwrap();
        let mut config = ::client::Config::new(Transport::Udp);
        config.credentials = Some(Credentials::new("alice", "wonderland").unwrap());
        let mut caller = Self {
            client: Client::new(config, [seed; 32]),
            socket,
            server,
            relayed: server,
            shard: 0,
            channel: None,
        };
        caller
            .client
            .allocate(Instant::now(), AllocateOptions::default());
        let Event::Allocated { relayed, .. } = caller.event() else {
            panic!("no allocation");
        };
        caller.relayed = relayed;
        let after = allocations(running);
        let mut more = before.iter().zip(&after);
        caller.shard = more.position(|(before, after)| before < after).unwrap();
        caller
    }

    /// The next event, once all that was asked is sent.
    fn event(&mut self) -> Event {
        loop {
            self.flush(Marking::PLAIN);
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            let mut answer = [0; 2_048];
            let length = self.socket.recv(&mut answer).unwrap();
            self.client.handle_input(Instant::now(), &answer[..length]);
        }
    }

    fn flush(&mut self, marking: Marking) {
        let label = Label {
            to: self.server,
            from: None,
            marking,
            dont_fragment: false,
        };
        while let Some(packet) = self.client.poll_transmit() {
            let parts = [std::io::IoSlice::new(&packet)];
            sys::send(self.socket.as_fd(), &label, &parts).unwrap();
        }
    }

    /// Lets the other one reach this one, and binds a channel to it.
    fn meet(&mut self, other: SocketAddr) {
        self.client.bind_channel(Instant::now(), other);
        let Event::ChannelBound { number, .. } = self.event() else {
            panic!("no channel");
        };
        self.channel = Some(number);
    }

    fn send(&mut self, other: SocketAddr, sent: &Sent) {
        let client = &mut self.client;
        let queued = match (sent.form, self.channel) {
            (Form::Channel, Some(channel)) => client.send_channel(channel, &sent.payload),
            (Form::Unfragmented, _) => client.send_unfragmented(other, &sent.payload),
            (Form::Indication | Form::Channel, _) => client.send(other, &sent.payload),
        };
        queued.unwrap();
        self.flush(sent.marking);
    }

    /// Waits for so much data.
    fn hear(&mut self, count: usize, other: SocketAddr) -> Vec<Heard> {
        let mut batch = Batch::new();
        let mut heard = Vec::new();
        while heard.len() < count {
            self.socket.peek(&mut [0]).expect("data that was sent");
            batch.receive(self.socket.as_fd()).unwrap();
            for (envelope, bytes) in batch.datagrams().map(Option::unwrap) {
                self.client.handle_input(Instant::now(), bytes);
                let Some(Event::Data {
                    peer,
                    payload,
                    channel,
                }) = self.client.poll_event()
                else {
                    panic!("something other than data");
                };
                assert_eq!(peer, other);
                heard.push((channel.is_some(), envelope.marking, Bytes(payload)));
            }
        }
        heard
    }
}

/// A server, and two callers in one shard or in two.
struct Call {
    running: Running,
    callers: [Caller; 2],
}

impl Call {
    fn over(shards: usize) -> Self {
        let running = start(Options {
            shards,
            report: Arc::new(|_| ()),
            ..Options::new([(Transport::Udp, (LOCAL, 0).into())], config())
        })
        .unwrap();
        // The kernel spreads them by their ports.
        let first = Caller::new(&running, 0);
        let mut others = (1..100).map(|seed| Caller::new(&running, seed));
        let second = others.find(|it| shards == 1 || it.shard != first.shard);
        let mut callers = [first, second.unwrap()];
        let [first, second] = [callers[0].relayed, callers[1].relayed];
        callers[0].meet(second);
        callers[1].meet(first);
        Self { running, callers }
    }

    fn relayed(&self, of: usize) -> SocketAddr {
        self.callers[of].relayed
    }

    /// Both hear what is sent.
    fn hear(&mut self, all: &[Sent]) -> [Vec<Heard>; 2] {
        let relayed = [0, 1].map(|of| self.relayed(of));
        for sent in all {
            self.callers[sent.from].send(relayed[1 - sent.from], sent);
        }
        [0, 1].map(|to| {
            let count = all.iter().filter(|sent| sent.from != to).count();
            self.callers[to].hear(count, relayed[1 - to])
        })
    }

    /// Each sends an empty datagram, so that it may be sent one: the first is dropped.
    fn begin(&mut self) {
        let empty = |from| Sent {
            from,
            form: Form::Channel,
            marking: Marking::PLAIN,
            payload: vec![],
        };
        let relayed = self.relayed(1);
        self.callers[0].send(relayed, &empty(0));
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.running.snapshot().0.dropped(DropReason::EmptyDatagram) == 0 {
            assert!(Instant::now() < deadline, "the first is dropped");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.hear(&[empty(1)]);
    }

    /// All that was counted. A client may hear data before its turn is.
    fn counters(&self) -> (Counters, NetCounters) {
        self.running.stop()
    }
}

/// Data in both directions, often several to one receiver.
fn some(rng: &mut ChaCha12Rng) -> Vec<Sent> {
    let mut all: Vec<Sent> = Vec::new();
    for _ in 0..rng.random_range(1..24) {
        let again = all.last().filter(|_| rng.random_bool(0.6)).cloned();
        let mut next = again.unwrap_or_else(|| Sent {
            from: rng.random_range(0..2),
            form: match rng.random_range(0..4) {
                0 => Form::Indication,
                1 => Form::Unfragmented,
                _ => Form::Channel,
            },
            marking: Marking(rng.random_range(0..4) << 4 | rng.random_range(0..3)),
            payload: vec![0; LENGTHS[rng.random_range(0..LENGTHS.len())]],
        });
        rng.fill(&mut next.payload[..]);
        all.push(next);
    }
    all
}

/// From nothing to the longest that has a place in a Data indication.
const LENGTHS: [usize; 9] = [0, 1, 3, 99, 160, 1_200, 1_472, 9_001, 65_400];

#[test]
fn data_arrives_the_same_in_one_shard_and_across_two() {
    let mut calls = [Call::over(1), Call::over(2)];
    let shards = calls.each_ref().map(|call| {
        let [first, second] = &call.callers;
        first.shard == second.shard
    });
    assert_eq!(shards, [true, false]);
    let mut rng = ChaCha12Rng::seed_from_u64(14);
    calls.iter_mut().for_each(Call::begin);
    for _ in 0..100 {
        let all = some(&mut rng);
        let [within, across] = calls.each_mut().map(|call| call.hear(&all));
        assert_eq!(within, across);
        // As they were sent, in their order, and marked as they were.
        for to in [0, 1] {
            let sent = all.iter().filter(|sent| sent.from != to);
            let sent = sent.map(|sent| (true, sent.marking, Bytes(sent.payload.clone())));
            assert_eq!(within[to], sent.collect::<Vec<_>>());
        }
    }
    let [within, across] = calls.each_ref().map(|call| call.counters());
    for why in DropReason::ALL {
        assert_eq!(within.0.dropped(*why), across.0.dropped(*why), "{why:?}");
    }
    assert_eq!(within.0.dropped(DropReason::EmptyDatagram), 1);
    assert_eq!(within.0.sent, across.0.sent);
    assert_eq!(within.0.received, across.0.received);
    for (_, net) in [within, across] {
        assert_eq!((net.send_failed, net.crossing_full), (0, 0));
    }
}

#[test]
fn what_finds_the_other_shard_busy_is_lost_and_counted_for_who_floods_it_only() {
    let lanes = lay(2);
    let mut egress = Egress::default();
    let entrances = Arc::clone(&lanes[0].entrances);
    let entrances = entrances.try_lock_owned().unwrap();
    let [flood, call] = of_senders(2, &entrances, 1).try_into().unwrap();
    egress.entrances = Some(entrances);
    let contents = &[7; 1_024][..];
    let mut send = |crossing: Crossing| {
        let to = Destination::Relayed(crossing);
        egress.send(Outgoing { to, contents }, Marking::PLAIN);
        egress.counters.crossing_full
    };
    // One sender's share is half of the lane.
    for _ in 0..MOST / 2 / 1_024 {
        assert_eq!(send(flood), 0);
    }
    let lost = (1..=100).map(|_| send(flood));
    assert_eq!(lost.collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    for _ in 0..100 {
        assert_eq!(send(call), 100);
    }
}

/// The last life of the shard took the news of it, and panicked over something else.
#[test]
fn a_new_life_of_a_shard_reads_what_only_its_last_one_was_told_of() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build_local(tokio::runtime::LocalOptions::default());
    let lanes = lay(2);
    let crossing = Crossing {
        shard: ShardId(0),
        from: PeerAddr((LOCAL, 1).into()),
        to: (LOCAL, 2).into(),
    };
    let mut entrances = lanes[1].entrances.try_lock().unwrap();
    entrances
        .write(&crossing, Marking::PLAIN, b"not awaited")
        .unwrap();
    let exits = Arc::clone(&lanes[0].exits).try_lock_owned().unwrap();
    let shard = Shard::new(&blueprint(vec![], config()));
    let shard = Rc::new(Local::new(shard, exits));
    runtime.unwrap().block_on(async {
        tokio::task::spawn_local(udp::crossings(Rc::clone(&shard)));
        tokio::task::yield_now().await;
    });
    assert!(shard.exits.borrow().is_empty());
}
