//! The start of the shards, and their lives one after the other.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread;
use std::time::Duration;

use relay::{ShardId, Shared};
use tokio::sync::{Mutex, mpsc, watch};

use crate::admission::Admission;
use crate::life;
use crate::listeners::Listeners;
use crate::published::Published;
use crate::running::{Failed, Running, Thread};
use crate::shard::Blueprint;
use crate::tls::Tls;
use crate::traces::TracePlaces;
use crate::{Fault, ListenerOptions, Options, Passed, StreamLimits, TlsOptions, bind, inbox, quic};

/// Binds the listeners and starts the shards. When it returns, clients are served.
///
/// ```
/// use std::net::{Ipv4Addr, UdpSocket};
/// use std::sync::Arc;
///
/// use net::Options;
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
/// let config = Config::new(ProcessSecret(rand::random()), vec![], ports, rules);
/// let listen = (Ipv4Addr::LOCALHOST, 0).into();
/// let running = net::start(Options {
///     report: Arc::new(|report| println!("{report:?}")),
///     ..Options::new([(Transport::Udp, listen)], config)
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
    start_on(Vec::new(), options)
}

/// The same with sockets that are bound already: each listener takes those of its address and
/// protocol, and is bound where there are none. Every shard accepts from a TCP socket that was passed.
/// A UDP socket is read by one shard, so that a client stays with its shard: those of several shards
/// need as many sockets.
///
/// # Errors
/// As [`start`].
pub fn start_on(passed: Vec<Passed>, options: Options) -> Result<Running, Fault> {
    let count = options.shards.max(1);
    let together = options.offload.find();
    let list = bind::listeners(&options.listeners, passed, count, together)?;
    let tls = tls(options.tls, &options.listeners, options.streams)?;
    let partners = Arc::new(bind::partners(&options.config, together)?);
    let listeners = Arc::new(Listeners::new(list, count, together));
    let config = Arc::new(options.config);
    let shared = Arc::new(Shared::new(&config));
    let relay_buffer = Arc::new(AtomicUsize::new(options.relay_buffer));
    let admission = Arc::new(Admission::new(&options.streams));
    let proxies = Arc::new(options.proxies);
    let flows = Arc::new(Admission::new(&quic::limits()));
    let (stop, stopped) = watch::channel(false);
    let (rules, rules_now) = watch::channel(Arc::clone(&config.rules));
    let (tell, failed) = mpsc::unbounded_channel();
    let (ready, is_ready) = std::sync::mpsc::channel();

    let (post, inboxes) = inbox::open(count);
    let mut shards = Vec::new();
    for (number, inbox) in inboxes.into_iter().enumerate() {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let published = Arc::new(Published::new());
        let blueprint = Blueprint {
            number: ShardId(u16::try_from(number).expect("there are fewer shards than ports")),
            post: Arc::clone(&post),
            inbox: Arc::new(inbox),
            listeners: Arc::clone(&listeners),
            partners: Arc::clone(&partners),
            together,
            relay_buffer: Arc::clone(&relay_buffer),
            config: Arc::clone(&config),
            rules: rules_now.clone(),
            shared: Arc::clone(&shared),
            streams: options.streams,
            admission: Arc::clone(&admission),
            tls: tls.clone(),
            proxies: Arc::clone(&proxies),
            web: options.web,
            browsers: options.browsers.clone(),
            flows: Arc::clone(&flows),
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
        shards.push(Thread {
            handle: Some(thread.map_err(Fault::Shard)?).into(),
            published,
            heartbeat,
            seen: AtomicU64::new(0),
        });
    }
    let mut running = Running {
        relay_buffer,
        listeners,
        together,
        serves_tls: tls.is_some(),
        shards,
        stop,
        shared,
        admission,
        rules,
        reloading: Mutex::new(()),
        post,
        traces: TracePlaces::default(),
        failed: Mutex::new(failed),
    };
    wait_until_ready(&mut running, &is_ready)?;
    Ok(running)
}

/// The offer for clients over TLS and DTLS, if a listener takes them.
fn tls(
    options: Option<TlsOptions>,
    listeners: &[ListenerOptions],
    limits: StreamLimits,
) -> Result<Option<Arc<Tls>>, Fault> {
    let mut only_tls = listeners.iter().filter(|listener| listener.needs_tls());
    match (options, only_tls.next()) {
        (Some(options), _) => Ok(Some(Arc::new(Tls::new(options, limits)?))),
        (None, Some(&ListenerOptions { listen, .. })) => Err(Fault::NoCertificate { listen }),
        (None, None) => Ok(None),
    }
}

fn wait_until_ready(
    running: &mut Running,
    is_ready: &std::sync::mpsc::Receiver<()>,
) -> Result<(), Fault> {
    for _ in 0..running.shards.len() {
        while is_ready.recv_timeout(PAUSE).is_err() {
            if let Ok(Failed { source, .. }) = running.failed.get_mut().try_recv() {
                return Err(Fault::Shard(source));
            }
        }
    }
    Ok(())
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

/// Between two lives of a shard, so that a fault that comes at once does not fill the log.
const PAUSE: Duration = Duration::from_millis(500);
