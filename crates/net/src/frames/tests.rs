//! Frames that leave together arrive as if each had left alone.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use relay::{ClientTuple, Destination, Outgoing, Transport, Verdict};
use tokio::net::TcpStream;
use wire::{ChannelNumber, RelayHeader, TransactionId};

use super::*;
use crate::connection::{Connection, Session};
use crate::egress::Egress;
use crate::marking::Marking;

/// A sender, and two clients that hear it.
struct Hosts {
    egress: Egress,
    clients: Vec<(ClientTuple, std::net::TcpStream)>,
}

/// A packet that leaves: to which client, in which framing.
#[derive(Clone, Debug)]
struct Leaving {
    to: usize,
    form: Form,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Channel,
    Indication,
    Answer,
}

impl Hosts {
    /// Must be made within a runtime.
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = listener.local_addr().unwrap();
        let mut egress = Egress::default();
        let clients = [(); 2].map(|()| {
            let own = std::net::TcpStream::connect(server).unwrap();
            own.set_nonblocking(true).unwrap();
            let (stream, client) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let session = Session::Tcp(TcpStream::from_std(stream).unwrap());
            let tuple = ClientTuple {
                transport: Transport::Tcp,
                client,
                server,
            };
            let connection = Rc::new(Connection::new(session, usize::MAX));
            egress.connections.insert(tuple, connection);
            (tuple, own)
        });
        Self {
            egress,
            clients: clients.into(),
        }
    }

    /// A client that is gone.
    fn gone(&self) -> ClientTuple {
        ClientTuple {
            client: ([192, 0, 2, 1], 9).into(),
            ..self.clients[0].0
        }
    }

    fn verdict<'p>(&self, leaving: &'p Leaving) -> Verdict<'p, 'p> {
        let contents = &leaving.payload[..];
        let client = self.clients.get(leaving.to);
        let client = client.map_or_else(|| self.gone(), |(tuple, _)| *tuple);
        let to = match leaving.form {
            Form::Answer => Destination::Answer(client),
            Form::Channel | Form::Indication => Destination::Client {
                client,
                header: header(leaving),
            },
        };
        match leaving.form {
            Form::Answer => Verdict::Answer(Outgoing { to, contents }),
            Form::Channel | Form::Indication => Verdict::Relay(Outgoing { to, contents }),
        }
    }

    /// Sends these in one turn; returns how many writes it took, and how many allocations.
    fn cost(&mut self, all: &[Leaving]) -> (u64, u64) {
        let before = writes();
        let counted = allocation_counter::measure(|| {
            let mut turn = self.egress.begin();
            for leaving in all {
                turn.push(self.verdict(leaving), Marking::PLAIN);
            }
            self.egress.flush(&mut turn);
        });
        (writes() - before, counted.count_total)
    }

    /// Sends these in turns of so many, and takes what each client hears, which is so long.
    async fn hear(&mut self, all: &[Leaving], at_once: usize, lengths: [usize; 2]) -> [Vec<u8>; 2] {
        for some in all.chunks(at_once) {
            let mut turn = self.egress.begin();
            for leaving in some {
                turn.push(self.verdict(leaving), Marking::PLAIN);
            }
            self.egress.flush(&mut turn);
        }
        let mut heard = [vec![], vec![]];
        for ((tuple, own), (heard, length)) in
            self.clients.iter().zip(heard.iter_mut().zip(lengths))
        {
            let connection = &self.egress.connections[tuple];
            let mut buffer = vec![0; 1 << 16];
            while heard.len() < length {
                match (&*own).read(&mut buffer) {
                    Ok(0) => panic!("the end"),
                    Ok(length) => heard.extend_from_slice(&buffer[..length]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                // The runtime looks whether the kernel has room again.
                tokio::task::yield_now().await;
                connection.drain().unwrap();
            }
        }
        heard
    }
}

/// The calls of this thread so far that write to a file or a connection. proc_pid_io(5)
fn writes() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let mut lines = io.lines();
    let count = lines.find_map(|line| line.strip_prefix("syscw: "));
    count.unwrap().parse().unwrap()
}

fn header(leaving: &Leaving) -> RelayHeader {
    let length = leaving.payload.len();
    match leaving.form {
        Form::Indication => {
            let id = TransactionId::new([7; 12]);
            RelayHeader::data_indication(([192, 0, 2, 1], 9).into(), length, id)
        }
        Form::Channel | Form::Answer => {
            RelayHeader::channel_data(ChannelNumber::new(0x4000).unwrap(), length)
        }
    }
}

/// The bytes of a frame, as RFC 8656 §12.5 has them.
fn frame(leaving: &Leaving) -> Vec<u8> {
    let mut bytes = Vec::new();
    if leaving.form != Form::Answer {
        bytes.extend_from_slice(&header(leaving));
    }
    bytes.extend_from_slice(&leaving.payload);
    if leaving.form != Form::Answer {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Neighbours that often go the same way.
fn some(rng: &mut ChaCha12Rng) -> Vec<Leaving> {
    let mut all: Vec<Leaving> = Vec::new();
    for _ in 0..rng.random_range(1..=BATCH) {
        let form = [Form::Channel, Form::Channel, Form::Indication, Form::Answer];
        let form = form[rng.random_range(0..form.len())];
        let length = match form {
            Form::Answer => 4 * rng.random_range(5..100),
            Form::Channel | Form::Indication => LENGTHS[rng.random_range(0..LENGTHS.len())],
        };
        let again = all.last().filter(|_| rng.random_bool(0.7));
        // The third client is gone.
        let to = again.map_or_else(|| rng.random_range(0..3), |last| last.to);
        let mut payload = vec![0; length];
        rng.fill(&mut payload[..]);
        all.push(Leaving { to, form, payload });
    }
    all
}

/// From nothing to the largest that fits a frame that all clients can take.
const LENGTHS: [usize; 9] = [0, 1, 2, 3, 160, 1_199, 1_200, 1_472, 65_491];

#[test]
fn frames_arrive_the_same_together_and_apart() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rng = ChaCha12Rng::seed_from_u64(14);
        let (mut together, mut apart) = (Hosts::new(), Hosts::new());
        for _ in 0..100 {
            let all = some(&mut rng);
            let expected = [0, 1].map(|to| {
                let own = all.iter().filter(|leaving| leaving.to == to);
                own.flat_map(frame).collect::<Vec<u8>>()
            });
            let lengths = [expected[0].len(), expected[1].len()];
            let heard = together.hear(&all, BATCH, lengths).await;
            assert!(heard == expected, "{} frames together", all.len());
            let heard = apart.hear(&all, 1, lengths).await;
            assert!(heard == expected, "{} frames apart", all.len());
        }
        let counters = [&together, &apart].map(|hosts| format!("{:?}", hosts.egress.counters));
        assert_eq!(counters[0], counters[1]);
        assert!(together.egress.counters.send_gone > 100);
    });
}

#[test]
fn frames_of_one_turn_leave_in_one_write_a_client_and_without_an_allocation() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut hosts = Hosts::new();
        for connection in hosts.egress.connections.values() {
            connection.writable().await.unwrap();
        }
        let to = |to: usize, form: Form| Leaving {
            to,
            form,
            payload: vec![7; 160],
        };
        let half = |client: usize, form| vec![to(client, form); BATCH / 2];
        let both_forms = [half(0, Form::Channel), half(0, Form::Indication)].concat();
        let two_clients = [half(0, Form::Channel), half(1, Form::Channel)].concat();
        let by_turns = (0..BATCH).map(|at| to(at % 2, Form::Channel)).collect();
        for (all, expected) in [(both_forms, 1), (two_clients, 2), (by_turns, BATCH as u64)] {
            assert_eq!(hosts.cost(&all), (expected, 0));
            let lengths = [0, 1].map(|client| {
                let own = all.iter().filter(|leaving| leaving.to == client);
                own.map(|leaving| frame(leaving).len()).sum()
            });
            let heard = hosts.hear(&[], 1, lengths).await;
            assert_eq!([heard[0].len(), heard[1].len()], lengths);
        }
        // What the kernel does not take at once has to be kept.
        let mut large = vec![to(0, Form::Channel); BATCH];
        for leaving in &mut large {
            leaving.payload.resize(65_000, 7);
        }
        let is_kept = (0..100).any(|_| hosts.cost(&large).1 > 0);
        assert!(is_kept, "allocations are counted");
    });
}
