//! The DTLS clients of a shard: whatever datagrams come, half-open handshakes are bounded, and a
//! session lasts until its client ends it.

mod client;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use net::fuzzing::{Datagrams, HALF_OPEN, HALF_OPEN_OF_PREFIX};
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, Rules};

use crate::input::Input;
use crate::offered::{OFFERED, limits};
use client::Client;

/// The bytes are the steps of clients, of those who forge their datagrams, and of time.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut trial = Trial::new();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        trial.step(&mut input);
        trial.check();
    }
    trial.conclude();
}

struct Trial {
    table: Datagrams,
    now: Instant,
    end: Instant,
    clients: Vec<Client>,
    /// Datagrams that clients have sent.
    sent: Vec<Vec<u8>>,
    has_crowd: bool,
}

impl Trial {
    fn new() -> Self {
        // The rates of prefixes are the server's, and outlive a trial: each has a day of its own.
        static DAY: AtomicU32 = AtomicU32::new(1);
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = *START + DAY.fetch_add(1, Ordering::Relaxed) * 24 * HOUR;
        Self {
            table: Datagrams::new(&OFFERED, limits(), config(), now).expect("a socket on loopback"),
            now,
            // A client that was heard may be silent for as long.
            end: now + HOUR / 2,
            clients: Vec::new(),
            sent: Vec::new(),
            has_crowd: false,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let step = input.byte() % 11;
        let who = usize::from(input.byte());
        let Some(at) = who.checked_rem(self.clients.len()).filter(|_| step > 0) else {
            return self.begin(HOSTS[who % HOSTS.len()]);
        };
        let Self {
            table, now, sent, ..
        } = self;
        let client = &mut self.clients[at];
        match step {
            0 | 1 => client.exchange(table, *now, sent),
            2 => client.connect(table, *now, sent),
            3 => self.ask(at),
            4 => {
                let length = usize::from(input.byte());
                table.take(*now, client.address, input.bytes(length));
            }
            5 => {
                let which = usize::from(input.byte());
                let (place, byte) = (usize::from(input.number()), input.byte());
                let Some(which) = which.checked_rem(sent.len()) else {
                    return;
                };
                let mut forged = sent[which].clone();
                let place = place % forged.len();
                forged[place] ^= byte;
                table.take(*now, client.address, &forged);
                client.listen(table, *now);
            }
            6 => self.pass(Duration::from_millis(u64::from(input.number()))),
            7 => client.restart(*now),
            8 => self.crowd(usize::from(input.byte())),
            9 => client.close(table, *now, sent),
            _ => client.spoil(input.byte(), usize::from(input.number()), input.byte()),
        }
    }

    /// One more client, up to a bound.
    fn begin(&mut self, host: [u8; 4]) {
        if self.clients.len() < MOST_CLIENTS {
            self.clients.push(Client::new(host.into(), self.now));
        }
    }

    /// A client that is connected asks something, and is answered.
    fn ask(&mut self, at: usize) {
        // Strangers have their rate.
        self.pass(Duration::from_secs(1));
        let client = &mut self.clients[at];
        if client.is_connected() {
            let is_answered = client.ask(&mut self.table, self.now, &mut self.sent);
            // A session that was never used may have ended.
            assert!(is_answered || !client.is_served, "nothing is heard");
            client.is_served = is_answered;
        }
    }

    /// Many clients of one host begin at once, and go no further.
    fn crowd(&mut self, length: usize) {
        if self.has_crowd {
            return;
        }
        self.has_crowd = true;
        for _ in 0..length.min(MOST_CROWD) {
            let mut client = Client::new(HOSTS[0].into(), self.now);
            // The hello, and the hello with a cookie.
            client.exchange(&mut self.table, self.now, &mut self.sent);
            client.exchange(&mut self.table, self.now, &mut self.sent);
        }
        assert!(self.table.half_open() >= length.min(1));
    }

    fn pass(&mut self, time: Duration) {
        self.now = (self.now + time).min(self.end);
        if self.table.poll_timeout().is_some_and(|at| at <= self.now) {
            self.table.handle_timeout(self.now);
        }
        for client in &mut self.clients {
            client.pass(&self.table, self.now);
        }
    }

    fn check(&self) {
        assert!(self.table.half_open() <= HALF_OPEN);
        for host in HOSTS {
            let half_open = self.table.half_open_of(IpAddr::from(host));
            assert!(half_open <= HALF_OPEN_OF_PREFIX, "{half_open} handshakes");
        }
        for client in &self.clients {
            let is_there = self.table.has_session(client.address);
            assert!(is_there || !client.is_served, "a session has ended");
        }
    }

    /// Sessions are served, and nothing is half-open any more.
    fn conclude(mut self) {
        for at in 0..self.clients.len() {
            self.ask(at);
        }
        self.end += HOUR / 2;
        self.pass(Duration::from_secs(20));
        assert_eq!(self.table.half_open(), 0);
        self.check();
    }
}

/// A server without users.
fn config() -> Config {
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: vec![],
        relay_ports: 20_000..=20_999,
    };
    let policy = Policy::new(Mode::Closed, vec![], vec![], own);
    let ports = PortRange::new(20_000, 20_999).expect("a range");
    let rules = Rules::new(Keys::new("hairpin.test"), policy);
    Config::new(ProcessSecret([7; 32]), vec![], ports, rules)
}

/// Two of one prefix, and one of another.
const HOSTS: [[u8; 4]; 3] = [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 1, 2]];
const MOST_CLIENTS: usize = 6;
const MOST_STEPS: usize = 60;
/// More than a prefix may have half-open.
const MOST_CROWD: usize = 80;
const HOUR: Duration = Duration::from_secs(3_600);
