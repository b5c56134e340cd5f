//! The shards together: start and stop.

use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use relay::{Answer, Command, Counters, Rules, Selection, ShardId, Shared, Transport};
use tokio::sync::{Mutex, mpsc, watch};

use crate::admission::Admission;
use crate::counters::NetCounters;
use crate::inbox::Post;
use crate::life;
use crate::published::Published;
use crate::shard::Blueprint;
use crate::{Fault, Options, bind, inbox};

/// Shards at work.
#[derive(Debug)]
pub struct Running {
    listeners: Vec<(Transport, SocketAddr)>,
    shards: Vec<Shard>,
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
    /// The rules that hold.
    rules: watch::Sender<Arc<Rules>>,
    /// Held while rules change.
    reloading: Mutex<()>,
    post: Arc<Post>,
    failed: mpsc::UnboundedReceiver<Failed>,
}

#[derive(Debug)]
struct Shard {
    /// Until it is waited for.
    thread: Option<JoinHandle<()>>,
    published: Arc<Published>,
    heartbeat: Arc<AtomicU64>,
    /// The heartbeat when it was last looked at.
    seen: u64,
}

/// A shard that failed, which only a fault in this program or a host without memory can bring about.
#[derive(Debug)]
pub struct Failed {
    /// Which one, from 0.
    pub shard: usize,
    /// Why.
    pub source: io::Error,
}

/// Binds the listeners and starts the shards. When it returns, clients are served.
///
/// ```
/// use std::net::{Ipv4Addr, UdpSocket};
/// use std::sync::Arc;
///
/// use net::{ListenerOptions, Options, StreamLimits};
/// use relay::policy::{Mode, Own, Policy};
/// use relay::{Config, Keys, PortRange, ProcessSecret, Rules, Transport};
/// use wire::Message;
/// use wire::attributes::XorMappedAddress;
///
/// let own = Own {
///     listeners: vec![],
///     addresses: vec![],
///     relays: vec![],
///     relay_ports: 50_000..=50_099,
/// };
/// let policy = Policy::new(Mode::Closed, vec![], vec![], own);
/// let ports = PortRange::new(50_000, 50_099).ok_or("an empty range")?;
/// // Without users and relay addresses it answers Binding only: examples/embed.rs has both.
/// let rules = Rules::new(Keys::new("example.org"), policy);
/// let running = net::start(Options {
///     listeners: vec![ListenerOptions {
///         transport: Transport::Udp,
///         listen: (Ipv4Addr::LOCALHOST, 0).into(),
///     }],
///     shards: 1,
///     config: Config::new(ProcessSecret(rand::random()), vec![], ports, rules),
///     streams: StreamLimits::default(),
///     report: Arc::new(|report| println!("{report:?}")),
///     keys: None,
/// })?;
/// let (_, listener) = running.listeners()[0];
///
/// let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
/// client.send_to(b"\x00\x01\x00\x00\x21\x12\xA4\x42twelve bytes", listener)?;
/// let mut answer = [0; 64];
/// let length = client.recv(&mut answer)?;
/// let message = Message::parse(&answer[..length])?;
/// assert_eq!(message.get()?, Some(XorMappedAddress(client.local_addr()?)));
///
/// let (counters, _) = running.stop();
/// assert_eq!(counters.bindings, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Fault`], if a listener cannot be bound or a thread cannot be made.
pub fn start(options: Options) -> Result<Running, Fault> {
    let bound = bind::listeners(&options.listeners, options.shards.max(1))?;
    let partners = Arc::new(bind::partners(&options.config)?);
    let listeners = bound[0]
        .iter()
        .map(|bound| (bound.transport, bound.listen))
        .collect();
    let config = Arc::new(options.config);
    let shared = Arc::new(Shared::new(&config));
    let admission = Arc::new(Admission::new(&options.streams));
    let (stop, stopped) = watch::channel(false);
    let (rules, rules_now) = watch::channel(Arc::clone(&config.rules));
    let (tell, failed) = mpsc::unbounded_channel();
    let (ready, is_ready) = std::sync::mpsc::channel();

    let (post, inboxes) = inbox::open(bound.len());
    let mut shards = Vec::new();
    for (number, (bound, inbox)) in bound.into_iter().zip(inboxes).enumerate() {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let published = Arc::new(Published::new());
        let blueprint = Blueprint {
            number: ShardId(u16::try_from(number).expect("there are fewer shards than ports")),
            post: Arc::clone(&post),
            inbox: Arc::new(inbox),
            bound,
            partners: Arc::clone(&partners),
            config: Arc::clone(&config),
            rules: rules_now.clone(),
            shared: Arc::clone(&shared),
            streams: options.streams,
            admission: Arc::clone(&admission),
            report: Arc::clone(&options.report),
            keys: options.keys.clone(),
            stop: stopped.clone(),
            published: Arc::clone(&published),
            heartbeat: Arc::clone(&heartbeat),
            ready: ready.clone(),
        };
        let tell = tell.clone();
        let builder = thread::Builder::new().name(format!("shard-{number}"));
        let thread = builder.spawn(move || live(&blueprint, number, &tell));
        shards.push(Shard {
            thread: Some(thread.map_err(Fault::Shard)?),
            published,
            heartbeat,
            seen: 0,
        });
    }
    let mut running = Running {
        listeners,
        shards,
        stop,
        shared,
        rules,
        reloading: Mutex::new(()),
        post,
        failed,
    };
    running.wait_until_ready(&is_ready)?;
    Ok(running)
}

/// One life after the other, until a shard is told to stop. A new life hears the same clients, for
/// the sockets are the blueprint's; the others keep theirs, for the group of sockets is unchanged.
fn live(blueprint: &Blueprint, number: usize, tell: &mpsc::UnboundedSender<Failed>) {
    loop {
        let life = panic::catch_unwind(AssertUnwindSafe(|| life::run(blueprint)));
        let source = match life {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => io::Error::other("the shard panicked"),
        };
        // Nobody listens while the process stops.
        let _ = tell.send(Failed {
            shard: number,
            source,
        });
        thread::sleep(PAUSE);
        if *blueprint.stop.borrow() {
            return;
        }
    }
}

impl Running {
    /// Where clients come in, with real ports.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.listeners
    }

    /// Waits until a shard fails. Its clients have lost what they had; it begins anew by itself.
    pub async fn failed(&mut self) -> Failed {
        match self.failed.recv().await {
            Some(failed) => failed,
            // Every thread has ended: none can fail any more.
            None => std::future::pending().await,
        }
    }

    fn wait_until_ready(&mut self, is_ready: &std::sync::mpsc::Receiver<()>) -> Result<(), Fault> {
        for _ in 0..self.shards.len() {
            while is_ready.recv_timeout(PAUSE).is_err() {
                if let Ok(Failed { source, .. }) = self.failed.try_recv() {
                    return Err(Fault::Shard(source));
                }
            }
        }
        Ok(())
    }

    /// Whether every shard has turned since the last call. Shards turn at least once a second; one
    /// that does not is caught in a loop or a blocking call, or fails again and again.
    pub fn is_turning(&mut self) -> bool {
        let mut all = true;
        for shard in &mut self.shards {
            let heartbeat = shard.heartbeat.load(Ordering::Relaxed);
            all &= std::mem::replace(&mut shard.seen, heartbeat) != heartbeat;
        }
        all
    }

    /// Asks every shard, and waits for all of them. A shard that fails over the command gives no
    /// answer. An allocation that moves from one shard to another at this moment may be missed:
    /// [`Running::end`] asks again.
    pub async fn command(&self, command: Command) -> Vec<Answer> {
        let mut answers = Vec::new();
        for answered in self.post.ask(&command) {
            answers.extend(answered.await.ok());
        }
        answers
    }

    /// Ends allocations in every shard, also those that move meanwhile; returns how many.
    pub async fn end(&self, selection: Selection) -> usize {
        let mut ended = 0;
        loop {
            let answers = self.command(Command::End(selection.clone())).await;
            let more = answers.iter().map(|answer| match answer {
                Answer::Ended(count) => *count,
                Answer::Adopted | Answer::Allocations(_) => 0,
            });
            match more.sum::<usize>() {
                0 => return ended,
                more => ended += more,
            }
        }
    }

    /// From now on these rules hold, in every shard and in each that begins anew. What was granted
    /// lives on, but for permissions and channels of peers that the policy denies now. Returns when
    /// every shard follows them.
    pub async fn reload(&self, mut rules: Rules) {
        let _one_at_a_time = self.reloading.lock().await;
        rules.succeed(&self.rules.borrow());
        let rules = Arc::new(rules);
        // Before the shards are asked: one that fails in between begins with these.
        self.rules.send_replace(Arc::clone(&rules));
        self.command(Command::Adopt(rules)).await;
    }

    /// From now on no shard grants a new allocation, and each serves those it has to the end. The
    /// listeners stay, also those of shards without clients: were one to go, the kernel would
    /// spread the others' clients anew.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Whether the shards were told to drain and the last allocation of all has ended.
    pub fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> u32 {
        self.shared.quotas.total()
    }

    /// The counters of all shards together, over all their lives.
    pub fn snapshot(&self) -> (Counters, NetCounters) {
        let mut sum = (Counters::default(), NetCounters::default());
        for shard in &self.shards {
            let (relay, net) = shard.published.load().counters();
            sum.0.add(&relay);
            sum.1.add(&net);
        }
        sum
    }

    /// Stops accepting, ends every allocation with a report, and waits for the shards. Returns
    /// what they did in all.
    pub fn stop(mut self) -> (Counters, NetCounters) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
        for shard in &mut self.shards {
            if let Some(thread) = shard.thread.take() {
                // One that panicked beyond its last life has told all it had to.
                let _ = thread.join();
            }
        }
        self.snapshot()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
    }
}

/// Between two lives of a shard, so that a fault that comes at once does not fill the log.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenerOptions, StreamLimits};
    use relay::policy::{Mode, Own, Policy};
    use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Report};
    use std::io::Write;
    use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
    use std::time::Duration;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn rules(realm: &str) -> Rules {
        let own = Own {
            listeners: vec![],
            addresses: vec![],
            relays: vec![],
            relay_ports: 1..=1,
        };
        let policy = Policy::new(Mode::Closed, vec![], vec![], own);
        Rules::new(Keys::new(realm), policy)
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap()
    }

    fn options(shards: usize, report: impl Fn(Report) + Send + Sync + 'static) -> Options {
        let listeners = [Transport::Udp, Transport::Tcp].map(|transport| ListenerOptions {
            transport,
            listen: (LOCAL, 0).into(),
        });
        Options {
            listeners: listeners.into(),
            shards,
            config: Config::new(
                ProcessSecret([7; 32]),
                vec![RelayAddress {
                    local: LOCAL,
                    external: LOCAL,
                }],
                PortRange::new(20_000, 20_999).unwrap(),
                rules("hairpin.test"),
            ),
            streams: StreamLimits::default(),
            report: Arc::new(report),
            keys: None,
        }
    }

    fn failed(running: &mut Running) -> Failed {
        let failed = runtime().block_on(async {
            tokio::time::timeout(Duration::from_secs(10), running.failed()).await
        });
        failed.expect("a shard that fails")
    }

    fn at(running: &Running, wanted: Transport) -> SocketAddr {
        let mut listeners = running.listeners().iter();
        let listener = listeners.find(|(transport, _)| *transport == wanted);
        listener.unwrap().1
    }

    #[test]
    fn a_shard_in_which_anything_panics_says_so_and_begins_anew() {
        // A Binding with an attribute that must be understood and is not: its refusal is reported.
        let refused = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut running = start(options(1, |_| panic!("a fault"))).unwrap();
            let client = UdpSocket::bind((LOCAL, 0)).unwrap();
            client.connect(at(&running, Transport::Udp)).unwrap();
            match transport {
                Transport::Udp => {
                    client.send(refused).unwrap();
                }
                Transport::Tcp => {
                    let mut client = TcpStream::connect(at(&running, transport)).unwrap();
                    client.write_all(refused).unwrap();
                }
            }
            assert_eq!(failed(&mut running).shard, 0);
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
        let mut running = start(options(1, |_| panic!("a fault"))).unwrap();
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

        runtime.block_on(running.reload(rules("other.test")));
        assert!(hears_realm(b"other.test"));
        let answers = runtime.block_on(running.command(Command::List(Selection::default())));
        assert_eq!(answers, [Answer::Allocations(vec![])]);
        assert_eq!(runtime.block_on(running.end(Selection::default())), 0);

        client.send(refused).unwrap();
        assert_eq!(failed(&mut running).shard, 0);
        let challenges = running.snapshot().0.challenges;
        assert_eq!(challenges, 2, "what a life did is not forgotten");
        client.send(binding).unwrap();
        let mut answer = [0; 256];
        while !answer.starts_with(&[0x01, 0x01]) {
            client.recv(&mut answer).unwrap();
        }
        assert!(hears_realm(b"other.test"), "the next life follows them too");
        let answers = runtime.block_on(running.command(Command::List(Selection::default())));
        assert_eq!(answers, [Answer::Allocations(vec![])]);
        let (counters, _) = running.stop();
        assert_eq!((counters.challenges, counters.bindings), (3, 1));
    }
}
