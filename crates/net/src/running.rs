//! The shards together: start and stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use relay::{Counters, Shared, Transport};
use tokio::sync::{mpsc, watch};

use crate::admission::Admission;
use crate::counters::NetCounters;
use crate::shard::{self, Blueprint};
use crate::{Fault, Options, bind};

/// Shards at work.
#[derive(Debug)]
pub struct Running {
    listeners: Vec<(Transport, SocketAddr)>,
    shards: Vec<Shard>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

#[derive(Debug)]
struct Shard {
    thread: JoinHandle<io::Result<(Counters, NetCounters)>>,
    heartbeat: Arc<AtomicU64>,
    /// The heartbeat when it was last looked at.
    seen: u64,
}

/// A shard that ended although nobody told it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one, from 0.
    pub shard: usize,
}

/// Binds the listeners and starts the shards. When it returns, clients are served.
///
/// # Errors
/// [`Fault`], if a listener cannot be bound or a thread cannot be made.
pub fn start(options: Options) -> Result<Running, Fault> {
    let bound = bind::listeners(&options.listeners, options.shards.max(1))?;
    let listeners = bound[0]
        .iter()
        .map(|bound| (bound.transport, bound.listen))
        .collect();
    let config = Arc::new(options.config);
    let shared = Arc::new(Shared::new(&config));
    let admission = Arc::new(Admission::new(&options.streams));
    let (stop, stopped) = watch::channel(false);
    let (note_end, ended) = mpsc::unbounded_channel();

    let mut shards = Vec::new();
    for (number, bound) in bound.into_iter().enumerate() {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let blueprint = Blueprint {
            bound,
            config: Arc::clone(&config),
            shared: Arc::clone(&shared),
            streams: options.streams,
            admission: Arc::clone(&admission),
            report: Arc::clone(&options.report),
            stop: stopped.clone(),
            heartbeat: Arc::clone(&heartbeat),
        };
        let note = EndNote {
            shard: number,
            note_end: note_end.clone(),
        };
        let builder = thread::Builder::new().name(format!("shard-{number}"));
        let thread = builder.spawn(move || {
            let _note = note;
            shard::run(blueprint)
                .inspect_err(|error| tracing::error!(shard = number, %error, "shard.failed"))
        });
        shards.push(Shard {
            thread: thread.map_err(Fault::Shard)?,
            heartbeat,
            seen: 0,
        });
    }
    Ok(Running {
        listeners,
        shards,
        stop,
        ended,
    })
}

impl Running {
    /// Where clients come in, with real ports.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.listeners
    }

    /// Waits until a shard ends by itself, which only a fault in this program can bring about.
    /// The others go on. `None` once all have ended.
    pub async fn ended(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }

    /// Whether every shard that has not ended has turned since the last call. Shards turn at least
    /// once a second; one that does not is caught in a loop or a blocking call.
    pub fn is_turning(&mut self) -> bool {
        let mut all = true;
        for shard in &mut self.shards {
            let heartbeat = shard.heartbeat.load(Ordering::Relaxed);
            let turned = std::mem::replace(&mut shard.seen, heartbeat) != heartbeat;
            all &= turned || shard.thread.is_finished();
        }
        all
    }

    /// Stops accepting, ends every allocation with a report, and waits for the shards. Returns
    /// what they did in all.
    pub fn stop(self) -> (Counters, NetCounters) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
        let mut sum = (Counters::default(), NetCounters::default());
        for shard in self.shards {
            if let Ok(Ok((relay, net))) = shard.thread.join() {
                sum.0.add(&relay);
                sum.1.add(&net);
            }
        }
        sum
    }
}

/// Tells that a shard's thread ended, also by a panic.
struct EndNote {
    shard: usize,
    note_end: mpsc::UnboundedSender<Ended>,
}

impl Drop for EndNote {
    fn drop(&mut self) {
        // Nobody listens while the process stops.
        let _ = self.note_end.send(Ended { shard: self.shard });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenerOptions, StreamLimits};
    use relay::policy::{Mode, Own, Policy};
    use relay::{Config, Keys, Limits, PortRange, RelayAddress, Report};
    use std::io::Write;
    use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
    use std::time::Duration;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn options(shards: usize, report: impl Fn(Report) + Send + Sync + 'static) -> Options {
        let own = Own {
            listeners: vec![],
            addresses: vec![],
            relays: vec![],
            relay_ports: 1..=1,
        };
        let listeners = [Transport::Udp, Transport::Tcp].map(|transport| ListenerOptions {
            transport,
            listen: (LOCAL, 0).into(),
        });
        Options {
            listeners: listeners.into(),
            shards,
            config: Config {
                keys: Keys::new("hairpin.test".to_owned()),
                nonce_secret: [7; 32],
                nonce_lifetime: Duration::from_secs(600),
                relays: vec![RelayAddress {
                    local: LOCAL,
                    external: LOCAL,
                }],
                ports: PortRange::new(20_000, 20_999).unwrap(),
                policy: Policy::new(Mode::Closed, vec![], vec![], own),
                limits: Limits::default(),
            },
            streams: StreamLimits::default(),
            report: Arc::new(report),
        }
    }

    fn ended(running: &mut Running) -> Option<Ended> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let ended = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(10), running.ended()).await
        });
        ended.expect("a shard that ends")
    }

    #[test]
    fn a_shard_in_which_anything_panics_ends_and_says_so() {
        // A Binding with an attribute that must be understood and is not: its refusal is reported.
        let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut running = start(options(1, |_| panic!("a fault"))).unwrap();
            let at = |wanted| {
                let mut listeners = running.listeners().iter();
                listeners
                    .find(|(transport, _)| *transport == wanted)
                    .unwrap()
                    .1
            };
            match transport {
                Transport::Udp => {
                    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
                    client.send_to(refused, at(transport)).unwrap();
                }
                Transport::Tcp => {
                    let mut client = TcpStream::connect(at(transport)).unwrap();
                    client.write_all(refused).unwrap();
                }
            }
            assert_eq!(ended(&mut running), Some(Ended { shard: 0 }));
            assert_eq!(ended(&mut running), None);
        }
    }
}
