//! The discovery on this host: its sockets, its clock, its resolver.

mod hops;
mod sockets;
mod stream;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::resolve::{Resolver, Unresolved};
use crate::uri::{Service, Transport, Uri};
use crate::{Config, Discovery, Findings, Progress, Verdict};
use sockets::{Heard, Sockets};
pub(crate) use sockets::{local_address, open};
pub use stream::{NoAnswer, StreamAnswer};
pub(crate) use stream::{Trust, connect};

/// The servers to probe, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers.
    pub servers: Vec<Uri>,
    /// The address or interface to send from.
    pub bind: Bind,
    /// Time to wait for each reply.
    pub timeout: Duration,
    /// Whether to learn how long a silent mapping lives, and the longest silence tried.
    pub lifetime: Option<Duration>,
    /// Address families to leave out.
    pub families: Families,
    /// Certificates to trust instead of the browsers', in PEM.
    pub roots: Option<PathBuf>,
}

/// The address or interface to send from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// The one that the routes choose.
    #[default]
    Any,
    /// An address of this host.
    Address(IpAddr),
    /// An interface of this host.
    Interface(String),
}

/// Address families to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// The results of a probe.
#[derive(Debug)]
pub struct Results {
    /// The servers asked, and the addresses of their names.
    pub servers: Vec<(Uri, Result<Vec<SocketAddr>, Unresolved>)>,
    /// IPv4, if it was to be probed.
    pub v4: Option<Family>,
    /// IPv6, if it was to be probed.
    pub v6: Option<Family>,
    /// The results over TCP and TLS.
    pub streams: Vec<Stream>,
}

/// The result for an address family.
#[derive(Debug)]
pub enum Family {
    /// No server has such an address.
    NoServer,
    /// This host has no way to such addresses.
    NoRoute,
    /// Servers were asked.
    Probed {
        /// The servers over UDP, in the order of the findings.
        servers: Vec<(Uri, SocketAddr)>,
        /// The findings.
        findings: Box<Findings>,
    },
}

/// The result for a server over TCP or TLS.
#[derive(Debug)]
pub struct Stream {
    /// The server.
    pub uri: Uri,
    /// Its address.
    pub address: SocketAddr,
    /// Its answer.
    pub outcome: Result<StreamAnswer, NoAnswer>,
}

/// Why nothing could be probed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A socket cannot be made.
    #[error("cannot open a UDP socket: {0} (option --bind)")]
    Socket(#[source] std::io::Error),
    /// The file with certificates cannot be used.
    #[error("cannot read certificates from {path}: {why} (option --ca)")]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A URI of a service that is not probed.
    #[error("{0} is a TURN URI: name a stun: or stuns: server")]
    NotStun(Uri),
}

/// Probes, and reports its progress.
///
/// # Errors
/// [`Fault`], if nothing can be probed; servers that cannot be reached are in the report.
pub async fn probe(options: &Options, progress: impl Fn(Progress)) -> Result<Results, Fault> {
    let mut uris = options.servers.iter();
    if let Some(turn) = uris.find(|uri| uri.service == Service::Turn) {
        return Err(Fault::NotStun(turn.clone()));
    }
    let trust = Trust::new(options.roots.as_deref())?;
    let servers = resolve(options).await;
    let both = Cell::new([Progress::default(); 2]);
    let tell = |family: usize, state: Progress| {
        let mut states = both.get();
        states[family] = state;
        both.set(states);
        progress(Progress {
            questions: states[0].questions + states[1].questions,
            ended: states[0].ended + states[1].ended,
        });
    };
    let (v4, v6, streams) = tokio::join!(
        family(options, &servers, true, |state| tell(0, state)),
        family(options, &servers, false, |state| tell(1, state)),
        stream::ask_all(options, &servers, &trust),
    );
    Ok(Results {
        v4: v4?,
        v6: v6?,
        streams,
        servers,
    })
}

type Servers = Vec<(Uri, Result<Vec<SocketAddr>, Unresolved>)>;

async fn resolve(options: &Options) -> Servers {
    let resolver = Resolver::of_host();
    let mut servers = Vec::new();
    for uri in &options.servers {
        // TLS runs over TCP; all others are asked over UDP first.
        let transport = if uri.is_secure {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let mut found = resolver.resolve(uri, transport).await.map(|targets| {
            let addresses = targets.into_iter().map(|target| target.address);
            addresses.collect::<Vec<_>>()
        });
        if let Ok(addresses) = &mut found {
            addresses.retain(|address| options.families.has(*address));
            addresses.dedup();
        }
        servers.push((uri.clone(), found));
    }
    servers
}

/// Every address of every server.
fn flat(servers: &Servers) -> impl Iterator<Item = (&Uri, SocketAddr)> {
    let found = servers
        .iter()
        .filter_map(|(uri, found)| Some((uri, found.as_ref().ok()?)));
    found.flat_map(|(uri, found)| found.iter().map(move |address| (uri, *address)))
}

/// Probes one address family over UDP.
async fn family(
    options: &Options,
    servers: &Servers,
    is_v4: bool,
    progress: impl Fn(Progress),
) -> Result<Option<Family>, Fault> {
    if !options.families.wants(is_v4, &options.bind) {
        return Ok(None);
    }
    let udp = flat(servers).filter(|(uri, _)| !uri.is_secure);
    let mut servers: Vec<(Uri, SocketAddr)> = Vec::new();
    for (uri, address) in udp.filter(|(_, address)| address.is_ipv4() == is_v4) {
        if servers.len() < MAX_SERVERS && servers.iter().all(|(_, known)| *known != address) {
            servers.push((uri.clone(), address));
        }
    }
    let Some((_, first)) = servers.first() else {
        return Ok(Some(Family::NoServer));
    };
    let with_lifetime = options.lifetime.is_some();
    let Some(sockets) = Sockets::open(&options.bind, *first, with_lifetime)? else {
        return Ok(Some(Family::NoRoute));
    };
    let config = Config {
        servers: servers.iter().map(|(_, address)| *address).collect(),
        timeout: options.timeout,
        lifetime: options.lifetime,
    };
    let findings = Box::new(discover(config, sockets, progress).await);
    Ok(Some(Family::Probed { servers, findings }))
}

/// Runs a discovery to its end.
async fn discover(config: Config, mut sockets: Sockets, progress: impl Fn(Progress)) -> Findings {
    let locals = sockets.locals();
    let mut discovery = Discovery::new(Instant::now(), config, locals, rand::random());
    loop {
        while let Some(transmit) = discovery.poll_transmit() {
            sockets.send(&transmit);
        }
        progress(discovery.progress());
        let Some(deadline) = discovery.poll_timeout() else {
            break;
        };
        match tokio::time::timeout_at(deadline.into(), sockets.receive()).await {
            Ok(Heard::Datagram { at, from, packet }) => {
                discovery.handle_input(Instant::now(), at, from, &packet);
            }
            Ok(Heard::Hop { router, packet }) => {
                discovery.handle_hop(Instant::now(), router, &packet);
            }
            Err(_) => discovery.handle_timeout(Instant::now()),
        }
    }
    discovery.findings()
}

impl Families {
    pub(crate) const fn has(self, address: SocketAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }

    fn wants(self, is_v4: bool, bind: &Bind) -> bool {
        let bindable = match bind {
            Bind::Any | Bind::Interface(_) => true,
            Bind::Address(ip) => ip.is_ipv4() == is_v4,
        };
        bindable && if is_v4 { self.v4 } else { self.v6 }
    }
}

impl Family {
    fn verdict(&self, is_tcp_open: bool) -> Option<Verdict> {
        match self {
            Self::NoServer | Self::NoRoute => None,
            Self::Probed { findings, .. } => Some(Verdict::of(findings, is_tcp_open)),
        }
    }
}

impl Results {
    /// Whether any datagram was sent: a server over TLS shows nothing about UDP.
    pub fn is_udp_asked(&self) -> bool {
        let mut families = [&self.v4, &self.v6].into_iter().flatten();
        families.any(|family| matches!(family, Family::Probed { .. }))
    }

    /// Whether a server was reached over TCP, but TLS failed: then nothing is blocked.
    pub fn is_tls_refused(&self) -> bool {
        let mut streams = self.streams.iter();
        streams.any(|stream| matches!(stream.outcome, Err(NoAnswer::Tls(_))))
    }

    /// The verdict over both families: a call needs only one.
    pub fn verdict(&self) -> Verdict {
        let is_open = |is_v4| {
            let mut streams = self.streams.iter();
            streams.any(|stream| stream.address.is_ipv4() == is_v4 && stream.outcome.is_ok())
        };
        let verdicts = [(&self.v4, true), (&self.v6, false)];
        let verdicts = verdicts.into_iter().filter_map(|(family, is_v4)| {
            let family = family.as_ref()?;
            family.verdict(is_open(is_v4))
        });
        let is_tcp_open = is_open(true) || is_open(false);
        let without_udp = match (is_tcp_open, self.is_udp_asked()) {
            (true, true) => Verdict::NeedsTurnOverTcp,
            (true, false) => Verdict::Undecided,
            (false, false) if self.is_tls_refused() => Verdict::Undecided,
            (false, _) => Verdict::Blocked,
        };
        verdicts.fold(without_udp, Verdict::better)
    }
}

/// More servers would show nothing new.
const MAX_SERVERS: usize = 8;
