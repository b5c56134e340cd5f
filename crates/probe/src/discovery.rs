//! The tests in their order, each based on the outcome of earlier ones. RFC 5780 §4.

mod lifetime;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};
use wire::{Class, Message};

use crate::Findings;
use crate::inquiry::{self, Extra, Inquiry, Purpose, Question, Reply, Socket};
use crate::notes::Notes;
use lifetime::Search;

/// The configuration of a discovery.
#[derive(Clone, Debug)]
pub struct Config {
    /// STUN servers over UDP, all of one address family. At least one.
    pub servers: Vec<SocketAddr>,
    /// Time to wait for each reply; three attempts within it.
    pub timeout: Duration,
    /// Whether to learn how long a silent mapping lives, and the longest silence tried. Takes
    /// twice that time.
    pub lifetime: Option<Duration>,
}

/// The discovery of one address family.
#[derive(Debug)]
pub struct Discovery {
    config: Config,
    sockets: Vec<(Socket, SocketAddr)>,
    rng: ChaCha12Rng,
    /// Questions still to be asked, one at a time.
    questions: VecDeque<Question>,
    /// When the next question may be asked.
    next_question: Instant,
    inquiries: Vec<Inquiry>,
    transmits: VecDeque<Transmit>,
    notes: Notes,
    /// The server that announces its other address, and that address.
    helper: Option<(SocketAddr, SocketAddr)>,
    search: Option<Search>,
    progress: Progress,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send from.
    pub from: Socket,
    /// The address to send to.
    pub to: SocketAddr,
    /// The payload.
    pub payload: Vec<u8>,
    /// The TTL or hop limit, if it is not the usual one.
    pub ttl: Option<u8>,
}

/// How far a discovery is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Questions that were asked or are sure to be.
    pub questions: u32,
    /// Questions that have ended.
    pub ended: u32,
}

impl Discovery {
    /// Begins a discovery. `sockets` are those of [`Socket::all`], each with its local address: the
    /// one that the servers would see without a NAT. The seed must be unpredictable: transaction
    /// ids are drawn from it.
    pub fn new(
        now: Instant,
        config: Config,
        sockets: Vec<(Socket, SocketAddr)>,
        seed: [u8; 32],
    ) -> Self {
        let mut discovery = Self {
            notes: Notes::new(config.servers.len()),
            search: config.lifetime.map(Search::new),
            sockets,
            rng: ChaCha12Rng::from_seed(seed),
            questions: VecDeque::new(),
            next_question: now,
            inquiries: Vec::new(),
            transmits: VecDeque::new(),
            helper: None,
            progress: Progress::default(),
            config,
        };
        for (number, server) in discovery.config.servers.clone().into_iter().enumerate() {
            discovery.ask(
                Purpose::Reach(number),
                Socket::Mapping,
                server,
                Extra::Plain,
            );
        }
        discovery.handle_timeout(now);
        discovery
    }

    /// Takes a datagram that came to one of the sockets.
    pub fn handle_input(&mut self, now: Instant, at: Socket, from: SocketAddr, packet: &[u8]) {
        let Ok(message) = Message::parse(packet) else {
            return;
        };
        let transaction = message.transaction();
        let found = self
            .inquiries
            .iter()
            .position(|inquiry| inquiry.transaction == Some(transaction));
        // The question was answered already, or given up.
        let Some(index) = found else {
            return;
        };
        let inquiry = &mut self.inquiries[index];
        let reply = if message.class() == Class::Request {
            // Our own question came back through the NAT.
            let came_back = inquiry.question.purpose == Purpose::Hairpin && at == Socket::Hairpin;
            came_back.then_some(Reply::Returned)
        } else if inquiry.expects(from) {
            inquiry.handle_answer(now, at, from, packet)
        } else {
            self.notes.stray.get_or_insert(from);
            self.notes.strays += 1;
            None
        };
        if let Some(reply) = reply {
            let inquiry = self.inquiries.remove(index);
            self.take_reply(now, inquiry.question, reply);
        }
        self.pump(now);
    }

    /// A router reports that a datagram of [`Socket::Hops`] ended there. `packet` is the known part
    /// of its payload, at least 20 bytes.
    pub fn handle_hop(&mut self, now: Instant, router: IpAddr, packet: &[u8]) {
        let transaction = inquiry::transaction(packet);
        let found = self
            .inquiries
            .iter()
            .position(|inquiry| inquiry.transaction == transaction && transaction.is_some());
        if let Some(index) = found
            && let Purpose::Hop(distance) = self.inquiries[index].question.purpose
        {
            self.notes.hops.insert(distance, router);
            let inquiry = self.inquiries.remove(index);
            self.take_reply(now, inquiry.question, Reply::Silent);
        }
        self.pump(now);
    }

    /// Sends, sends again and gives up the questions that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for mut inquiry in std::mem::take(&mut self.inquiries) {
            match inquiry.handle_timeout(now) {
                Some(reply) => self.take_reply(now, inquiry.question, reply),
                None => self.inquiries.push(inquiry),
            }
        }
        if let Some(due) = self.search.as_mut().and_then(|search| search.poll(now)) {
            self.ask_silent(due);
        }
        self.pump(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When to call [`Discovery::handle_timeout`]; `None` when the discovery is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = self.inquiries.iter().filter_map(Inquiry::poll_timeout);
        let question = (!self.questions.is_empty()).then_some(self.next_question);
        let search = self.search.as_ref().and_then(Search::next);
        waits.chain(question).chain(search).min()
    }

    /// How far it is.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// The findings so far; they are complete once [`Discovery::poll_timeout`] is `None`.
    pub fn findings(&self) -> Findings {
        Findings::conclude(
            &self.config,
            self.local(Socket::Mapping),
            self.helper,
            &self.notes,
        )
    }

    fn ask_plain(&mut self, purpose: Purpose, from: Socket, to: SocketAddr) {
        self.ask(purpose, from, to, Extra::Plain);
    }

    fn ask(&mut self, purpose: Purpose, from: Socket, to: SocketAddr, extra: Extra) {
        self.progress.questions += 1;
        self.questions.push_back(Question {
            purpose,
            from,
            to,
            extra,
        });
    }

    /// Sends the questions that are due. RFC 5780 §5: no more than ten new transactions a second.
    fn pump(&mut self, now: Instant) {
        if now >= self.next_question
            && let Some(question) = self.questions.pop_front()
        {
            let mut seed = [0; 32];
            self.rng.fill_bytes(&mut seed);
            let timeout = self.config.timeout;
            self.inquiries
                .push(Inquiry::new(now, question, timeout, seed));
            self.next_question = now + PACE;
        }
        for inquiry in &mut self.inquiries {
            let Question {
                from, to, extra, ..
            } = inquiry.question;
            while let Some(payload) = inquiry.poll_transmit() {
                let ttl = match extra {
                    Extra::Ttl(ttl) => Some(ttl),
                    Extra::Plain | Extra::Change { .. } | Extra::AnswerTo(_) | Extra::PadTo(_) => {
                        None
                    }
                };
                self.transmits.push_back(Transmit {
                    from,
                    to,
                    payload,
                    ttl,
                });
            }
        }
    }

    /// Notes an outcome and asks the questions that follow from it.
    fn take_reply(&mut self, now: Instant, question: Question, reply: Reply) {
        self.progress.ended += 1;
        if let Reply::Answered(answer) = reply
            && answer.at == question.from
        {
            let ports = (self.local(question.from).port(), answer.mapped.port());
            self.notes.ports.entry(question.from).or_insert(ports);
        }
        self.notes.take(question.purpose, reply);
        match (question.purpose, reply) {
            (Purpose::Reach(_), _) if self.notes.reach.iter().all(Option::is_some) => {
                self.explore();
            }
            (Purpose::FilterPort, Reply::Silent) => {
                self.ask_plain(
                    Purpose::CheckPort,
                    question.from,
                    self.other_port(question.to),
                );
            }
            (Purpose::HairpinReach, Reply::Answered(answer)) => {
                self.ask_plain(Purpose::Hairpin, Socket::Mapping, answer.mapped);
            }
            (Purpose::Padding(length), Reply::Answered(answer)) if length == PADDED[0] => {
                self.ask_longer(question.to, answer.length.saturating_sub(length));
            }
            (Purpose::LifetimeOpen(_) | Purpose::LifetimeAsk(_), _) => {
                self.take_silence(now, question.purpose, reply);
            }
            _ => {}
        }
    }

    /// All servers were asked: asks the questions that suit those that answered.
    fn explore(&mut self) {
        let reached: Vec<_> = self.notes.reached().collect();
        let Some(&(first, _)) = reached.first() else {
            return;
        };
        let first = self.config.servers[first];
        self.ask_plain(Purpose::HairpinReach, Socket::Hairpin, first);
        self.helper = reached.iter().find_map(|(server, answer)| {
            let server = self.config.servers[*server];
            let other = answer.other.filter(|other| is_other(server, *other));
            other.map(|other| (server, other))
        });
        if let Some((server, other)) = self.helper {
            self.explore_with(server, other);
        }
        for distance in 1..=HOPS {
            let extra = Extra::Ttl(distance);
            self.ask(Purpose::Hop(distance), Socket::Hops, first, extra);
        }
    }

    /// RFC 5780 §4.3, §4.4.
    fn explore_with(&mut self, server: SocketAddr, other: SocketAddr) {
        let other_address = SocketAddr::new(other.ip(), server.port());
        self.ask_plain(Purpose::MapAddress, Socket::Mapping, other_address);
        self.ask_plain(Purpose::MapPort, Socket::Mapping, other);
        let other = |ip| Extra::Change { ip, port: true };
        self.ask(Purpose::FilterBoth, Socket::FilterBoth, server, other(true));
        self.ask(
            Purpose::FilterPort,
            Socket::FilterPort,
            server,
            other(false),
        );
        self.ask_padded(server, PADDED[0], PADDED[0]);
        self.open_silent(server);
    }

    /// Asks with all other lengths, once it is known by how many bytes an answer is longer than its
    /// question. Where a link takes it unfragmented, the answer is given the length, not the
    /// question.
    fn ask_longer(&mut self, server: SocketAddr, surplus: usize) {
        for &length in &PADDED[1..] {
            let asked = if length <= UNFRAGMENTED && surplus <= MAX_SURPLUS {
                length - surplus
            } else {
                length
            };
            self.ask_padded(server, length, asked);
        }
    }

    fn ask_padded(&mut self, server: SocketAddr, length: usize, asked: usize) {
        let purpose = Purpose::Padding(length);
        self.ask(purpose, Socket::Padding, server, Extra::PadTo(asked));
    }

    fn other_port(&self, server: SocketAddr) -> SocketAddr {
        let port = self.helper.map_or(server.port(), |(_, other)| other.port());
        SocketAddr::new(server.ip(), port)
    }

    fn local(&self, socket: Socket) -> SocketAddr {
        let mut sockets = self.sockets.iter();
        let found = sockets.find(|(name, _)| *name == socket);
        found.expect("a socket of Socket::all").1
    }
}

/// Whether an address can be the other one of a server: RFC 5780 §6 needs both IP address and port
/// to differ.
fn is_other(server: SocketAddr, other: SocketAddr) -> bool {
    other.is_ipv4() == server.is_ipv4()
        && other.ip() != server.ip()
        && other.port() != server.port()
        && other.port() != 0
}

/// The time between two new transactions: at most ten a second. RFC 5780 §5.
const PACE: Duration = Duration::from_millis(100);

/// Routers near enough to be a carrier's NAT.
const HOPS: u8 = 5;

/// Bytes of UDP payload that are tried: the size that every host takes, the one that IPv6 promises,
/// those that fit common links (with a tunnel or without), and those that must be fragmented.
pub(crate) const PADDED: [usize; 6] = [548, 1_232, 1_372, UNFRAGMENTED, 2_000, 4_000];

/// The largest UDP payload that an Ethernet link takes in one piece over IPv4.
pub(crate) const UNFRAGMENTED: usize = 1_472;

/// An answer that is longer by more than this was padded to the server's own link, not as asked.
const MAX_SURPLUS: usize = 200;
