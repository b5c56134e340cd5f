//! A session beside whatever a test does, which must not notice.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::session::{Session, peer_at};

/// Exchanges data with a peer, there and back, until asked how it went.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

/// How long the ways there and back took, sorted. None was lost: that fails the test.
#[derive(Debug)]
pub(crate) struct RoundTrips(Vec<Duration>);

impl Bystander {
    /// Opens its session, and exchanges from now on.
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut session = Session::udp();
        let relayed = session.allocate().expect("an allocation");
        let (peer, address) = peer_at(PEER);
        let channel = session.bind_channel(address).expect("a channel");
        let stopped = Arc::clone(&stop);
        let exchange = move || {
            let mut took = Vec::new();
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                let text = format!("round trip {}", took.len());
                session.send_channel(channel, text.as_bytes());
                let length = peer.recv(&mut buffer).expect("nothing is lost to the peer");
                assert_eq!(&buffer[..length], text.as_bytes());
                peer.send_to(&buffer[..length], relayed)
                    .expect("the relayed address is there");
                let back = session
                    .receive(LOST)
                    .expect("nothing is lost to the client");
                assert_eq!(back, text.as_bytes());
                took.push(start.elapsed());
                thread::sleep(PAUSE);
            }
            took
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
        let mut took = self.thread.join().expect("a session that nobody disturbs");
        took.sort_unstable();
        RoundTrips(took)
    }
}

impl RoundTrips {
    /// Fails if the session had to wait for others, and tells how it went.
    #[track_caller]
    pub(crate) fn assert_undisturbed(&self) {
        let count = self.0.len();
        assert!(count > 0, "no round trip came to an end");
        let at = |percent: usize| self.0[(count - 1) * percent / 100];
        let (median, p99, slowest) = (at(50), at(99), at(100));
        println!("bystander: {count} round trips, median {median:?}, p99 {p99:?}, max {slowest:?}");
        assert!(median < SLOWED, "{median:?} in the middle");
        assert!(p99 < STALLED, "{p99:?} at the 99th percentile");
    }
}

/// Where bystanders' peers are.
const PEER: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);
/// What has not come back by then never will.
const LOST: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);
/// Far above what a debug build on a busy machine needs, far below what one hears.
const SLOWED: Duration = Duration::from_millis(30);
const STALLED: Duration = Duration::from_millis(200);
