//! A session that runs beside a test, and must not be disturbed.

use std::{
    fmt,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lab::{live::LiveClient, socket::peer_at};

use crate::clients;

/// Exchanges data with a peer, there and back, until it is finished.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<RoundTrips>,
}

/// The outcome of the datagrams that were sent there and back.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    /// How long they took, sorted.
    took: Vec<Duration>,
    lost: usize,
}

impl Bystander {
    /// Opens its session, and exchanges from now on.
    pub(crate) fn start() -> Self {
        Self::every(PAUSE)
    }

    /// The same, with this pause after each round trip.
    pub(crate) fn every(pause: Duration) -> Self {
        Self::run(clients::on_udp(), pause)
    }

    /// The same on a client of any kind.
    pub(crate) fn of(client: LiveClient) -> Self {
        Self::run(client, PAUSE)
    }

    fn run(client: LiveClient, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut session, relayed) = client.allocated();
        let (peer, address) = peer_at(PEER);
        let channel = session.bind_channel(address).expect("a channel");
        let stopped = Arc::clone(&stop);
        peer.set_read_timeout(Some(LOST)).expect("not zero");
        let exchange = move || {
            let mut trips = RoundTrips::default();
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                let text = format!("round trip {}", trips.count());
                session.post_on(channel, text.as_bytes());
                let came = peer_hears(&peer, text.as_bytes()) && {
                    peer.send_to(text.as_bytes(), relayed)
                        .expect("the relayed address is there");
                    client_hears(&mut session, text.as_bytes())
                };
                if came {
                    trips.took.push(start.elapsed());
                } else {
                    trips.lost += 1;
                }
                thread::sleep(pause);
            }
            trips.took.sort_unstable();
            trips
        };
        Self {
            stop,
            thread: thread::spawn(exchange),
        }
    }

    /// Ends the exchange.
    #[track_caller]
    pub(crate) fn finish(self) -> RoundTrips {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a session that lives")
    }
}

/// A datagram that comes late was given up as lost already.
fn peer_hears(peer: &UdpSocket, text: &[u8]) -> bool {
    let mut buffer = [0; 64];
    while let Ok(length) = peer.recv(&mut buffer) {
        if &buffer[..length] == text {
            return true;
        }
    }
    false
}

fn client_hears(session: &mut LiveClient, text: &[u8]) -> bool {
    while let Some(heard) = session.receive_within(LOST) {
        if heard == text {
            return true;
        }
    }
    false
}

impl RoundTrips {
    /// The round trips of many sessions together.
    pub(crate) fn of_all(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for mut trips in all {
            sum.took.append(&mut trips.took);
            sum.lost += trips.lost;
        }
        sum.took.sort_unstable();
        sum
    }

    /// Round trips of which none was lost.
    pub(crate) fn that_took(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self { took, lost: 0 }
    }

    /// Fails if anything was lost or the session had to wait for others, and prints the round
    /// trips.
    #[track_caller]
    pub(crate) fn assert_undisturbed(&self) {
        println!("bystander: {self}");
        self.assert_lossless();
        let (median, p99) = (self.at(50), self.at(99));
        assert!(median < SLOWED, "{median:?} in the middle");
        assert!(p99 < STALLED, "{p99:?} at the 99th percentile");
    }

    /// Fails if anything was lost.
    #[track_caller]
    pub(crate) fn assert_lossless(&self) {
        assert!(!self.took.is_empty(), "no round trip came to an end");
        assert_eq!(self.lost, 0, "lost of {}", self.count());
    }

    /// Fails if more than a few took longer than this.
    #[track_caller]
    pub(crate) fn assert_within(&self, percent: usize, most: Duration) {
        let took = self.at(percent);
        assert!(took <= most, "{took:?} at the {percent}th percentile");
    }

    fn count(&self) -> usize {
        self.took.len() + self.lost
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get(last * percent / 100).copied().unwrap_or(LOST)
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, lost) = (self.count(), self.lost);
        let [median, p95, p99, slowest] = [50, 95, 99, 100].map(|percent| self.at(percent));
        write!(
            f,
            "{count} round trips, {lost} lost, median {median:?}, p95 {p95:?}, p99 {p99:?}, max {slowest:?}"
        )
    }
}

/// The address of bystanders' peers.
const PEER: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);
/// A datagram that has not come back in this time is lost.
const LOST: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);
/// Far more than a debug build on a busy machine needs, far less than people notice.
const SLOWED: Duration = Duration::from_millis(30);
const STALLED: Duration = Duration::from_millis(200);
