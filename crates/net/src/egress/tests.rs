//! Datagrams that leave together arrive as if each had left alone.

use std::net::UdpSocket;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use relay::{Hop, PeerAddr, Verdict};

use super::*;
use crate::Offload;
use crate::sys::BATCH;

/// A shard's sockets, and two peers and two clients that hear them.
struct Hosts {
    egress: Egress,
    relay: RelayId,
    server: SocketAddr,
    peers: [UdpSocket; 2],
    clients: [UdpSocket; 2],
}

/// A packet that leaves: to whom, in which framing, marked how.
#[derive(Clone, Debug)]
struct Leaving {
    to: usize,
    form: Form,
    marking: Marking,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    ToPeer { dont_fragment: bool },
    Channel,
    Indication,
    Answer,
}

/// A packet that a host heard: bytes, marking, and the sender.
type Heard = (Vec<u8>, Marking, SocketAddr);

impl Hosts {
    /// Must be made within a runtime.
    fn new() -> Self {
        let bind = || {
            let socket = bind::relay(
                ([127, 0, 0, 1], 0).into(),
                Offload::Auto.find(),
                bind::SOCKET_BUFFER,
            )
            .unwrap();
            socket.set_recv_buffer_size(1 << 20).unwrap();
            socket
        };
        let listener = bind();
        let server = listener.local_addr().unwrap().as_socket().unwrap();
        let mut egress = Egress::new(Offload::Auto.find());
        egress.listeners.push(UdpListener {
            number: 0,
            transports: Transports::Only(Transport::Udp),
            listen: server,
            socket: sys::register(listener).unwrap(),
            task: None,
        });
        let relay = RelayId {
            allocation: "0.00000001".parse().unwrap(),
            family: AddressFamily::V4,
        };
        egress.relays.insert(relay, bind()).unwrap();
        Self {
            egress,
            relay,
            server,
            peers: [(); 2].map(|()| bind().into()),
            clients: [(); 2].map(|()| bind().into()),
        }
    }

    fn client(&self, number: usize) -> ClientTuple {
        ClientTuple {
            transport: Transport::Udp,
            client: self.clients[number].local_addr().unwrap(),
            server: self.server,
        }
    }

    fn verdict<'p>(&self, leaving: &'p Leaving) -> Verdict<'p, 'p> {
        let contents = &leaving.payload[..];
        let client = self.client(leaving.to);
        let to_client = |header| Destination::Client { client, header };
        let to = match leaving.form {
            Form::ToPeer { dont_fragment } => Destination::Peer(Hop {
                from: self.relay,
                to: PeerAddr(self.peers[leaving.to].local_addr().unwrap()),
                dont_fragment,
            }),
            Form::Channel => {
                let number = wire::ChannelNumber::new(0x4000).unwrap();
                to_client(RelayHeader::channel_data(number, contents.len()))
            }
            Form::Indication => {
                let id = wire::TransactionId::new([7; 12]);
                let peer = ([192, 0, 2, 1], 9).into();
                to_client(RelayHeader::data_indication(peer, contents.len(), id))
            }
            Form::Answer => {
                let to = Destination::Answer(client);
                return Verdict::Answer(Outgoing { to, contents });
            }
        };
        Verdict::Relay(Outgoing { to, contents })
    }

    /// The packets that each host hears when these leave in one turn.
    fn hear(&mut self, all: &[Leaving]) -> Vec<Vec<Heard>> {
        let mut turn = self.egress.begin();
        for leaving in all {
            turn.push(self.verdict(leaving), leaving.marking);
        }
        self.egress.flush(&mut turn);
        let hosts = self.peers.iter().chain(&self.clients);
        hosts.map(heard).collect()
    }
}

/// All that waits at a host.
fn heard(host: &UdpSocket) -> Vec<Heard> {
    let mut batch = sys::Batch::new();
    let mut all = Vec::new();
    while batch.receive(host.as_fd()).is_ok() {
        let datagrams = batch.datagrams().map(Option::unwrap);
        all.extend(datagrams.map(|(it, bytes)| (bytes.to_vec(), it.marking, it.from)));
    }
    all
}

/// Neighbours that often go the same way, and some that hardly fit.
fn some(rng: &mut ChaCha12Rng) -> Vec<Leaving> {
    let mut all: Vec<Leaving> = Vec::new();
    for _ in 0..rng.random_range(1..=BATCH) {
        let again = all.last().filter(|_| rng.random_bool(0.7)).cloned();
        let mut next = again.unwrap_or_else(|| Leaving {
            to: rng.random_range(0..2),
            form: match rng.random_range(0..8) {
                0..3 => Form::ToPeer {
                    dont_fragment: false,
                },
                3 => Form::ToPeer {
                    dont_fragment: true,
                },
                4..6 => Form::Channel,
                6 => Form::Indication,
                _ => Form::Answer,
            },
            marking: Marking(rng.random_range(0..3)),
            payload: vec![0; LENGTHS[rng.random_range(0..LENGTHS.len())]],
        });
        if rng.random_bool(0.1) {
            next.payload.truncate(next.payload.len() / 2);
        }
        rng.fill(&mut next.payload[..]);
        // The header has the length.
        all.push(next);
    }
    all
}

/// From nothing to the largest that fits any framing.
const LENGTHS: [usize; 9] = [0, 1, 2, 99, 100, 160, 1_200, 1_472, 20_001];

#[test]
fn neighbours_arrive_the_same_together_and_apart() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut rng = ChaCha12Rng::seed_from_u64(14);
    let mut hosts = Hosts::new();
    let mut count = 0;
    for _ in 0..300 {
        let all = some(&mut rng);
        hosts.egress.together.sent = true;
        let together = hosts.hear(&all);
        let runs = hosts.egress.counters.runs_sent;
        hosts.egress.together.sent = false;
        let apart = hosts.hear(&all);
        assert_eq!(hosts.egress.counters.runs_sent, runs, "{all:?}");
        assert_eq!(together, apart, "{all:?}");
        count += together.iter().map(Vec::len).sum::<usize>();
        assert_eq!(hosts.egress.counters.send_failed, 0);
    }
    assert!(count > 2_000, "{count}");
    let counters = &hosts.egress.counters;
    assert!(counters.runs_sent > 300, "{counters:?}");
    assert!(
        counters.run_datagrams_sent > 2 * counters.runs_sent,
        "{counters:?}"
    );
    assert!(
        hosts.egress.refusals.is_empty(),
        "this host can send together"
    );
}

#[test]
fn neighbours_that_the_kernel_refuses_to_take_together_arrive_one_by_one() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut rng = ChaCha12Rng::seed_from_u64(15);
    let [mut refused, mut apart] = [Hosts::new(), Hosts::new()];
    let relay = refused.egress.relays.get_mut(refused.relay).unwrap();
    let listener = &refused.egress.listeners[0];
    for socket in [&relay.socket, &listener.socket] {
        sys::leave_checksums_out(socket.get_ref().as_fd()).unwrap();
    }
    apart.egress.together.sent = false;
    for round in 0..100 {
        if round == 50 {
            let counters = &refused.egress.counters;
            assert_eq!(counters.runs_sent, 0, "{counters:?}");
            let refusals = &refused.egress.refusals;
            assert!(!refusals.is_empty(), "the kernel refused none");
            // As by a route that takes none together.
            let receiver = refused.server.ip();
            let refusals = &mut refused.egress.refusals;
            refusals.note_refused(receiver, 1, Apart::Route);
            assert!(!refusals.admit(receiver, 1));
        }
        let all = some(&mut rng);
        let bytes = |heard: Vec<Vec<Heard>>| -> Vec<Vec<(Vec<u8>, Marking)>> {
            let of_host = |heard: Vec<Heard>| heard.into_iter().map(|it| (it.0, it.1)).collect();
            heard.into_iter().map(of_host).collect()
        };
        let heard = bytes(refused.hear(&all));
        assert_eq!(heard, bytes(apart.hear(&all)), "{all:?}");
        assert_eq!(refused.egress.counters, apart.egress.counters);
    }
}
