//! The doctor: whether a STUN or TURN server works from here, and what to change if not.
//!
//! It does everything that a client of the server does: an allocation, permissions, channels, data
//! to another allocation and to a plain socket, a refresh, the end.

mod certificate;
mod connect;
mod credentials;
pub(crate) mod dialogue;
mod dtls;
mod finding;
mod outside;
mod policy;
mod redirect;
mod relaying;
mod stranger;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::escape::escaped;
use crate::findings::is_behind_nat;
use crate::host::{self, Fault, Trust};
use crate::{Bind, Families, Resolver, Service, Target, Transport, Unresolved, Uri, UriHost};
use connect::Connector;
pub use credentials::Login;
use dialogue::{Carrier, Dialogue};
pub use finding::{Code, Finding, Severity};

/// A server to examine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The URI that clients have for it. Over TLS its certificate has to be for the host there.
    pub uri: Uri,
    /// The address to examine it at, whatever the host in the URI leads to.
    pub address: Option<SocketAddr>,
}

impl From<Uri> for Examined {
    /// Examined where clients come to it.
    fn from(uri: Uri) -> Self {
        Self { uri, address: None }
    }
}

/// The servers to examine, and how.
#[derive(Clone)]
pub struct Examination {
    /// The servers.
    pub servers: Vec<Examined>,
    /// How to authenticate with TURN servers; without it only the view of strangers is examined.
    pub login: Option<Login>,
    /// The realm that the servers should have, if it is known.
    pub realm: Option<String>,
    /// The address or interface to send from.
    pub bind: Bind,
    /// Address families to ask over.
    pub families: Families,
    /// Certificates to trust instead of the browsers', in PEM.
    pub roots: Option<PathBuf>,
}

/// Examines all servers at once, and reports when each is done. Takes at most 15 seconds.
///
/// # Errors
/// [`Fault`], if nothing can be examined; problems of servers are in the findings.
pub async fn examine(
    examination: &Examination,
    mut progress: impl FnMut(&Uri),
) -> Result<Vec<Finding>, Fault> {
    let trust = Trust::new(examination.roots.as_deref())?;
    let examination = Arc::new(examination.clone());
    let resolver = Arc::new(Resolver::of_host());
    let mut tasks = JoinSet::new();
    for (index, server) in examination.servers.iter().enumerate() {
        let patient = Patient {
            uri: server.uri.clone(),
            address: server.address,
            examination: Arc::clone(&examination),
            findings: Vec::new(),
        };
        let (resolver, trust) = (Arc::clone(&resolver), trust.clone());
        tasks.spawn(async move { (index, patient.examine(&resolver, &trust).await) });
    }
    let mut all = vec![None; examination.servers.len()];
    while let Some(outcome) = tasks.join_next().await {
        // A task that panicked has printed that on standard error.
        if let Ok((index, findings)) = outcome {
            progress(&examination.servers[index].uri);
            all[index] = Some(findings);
        }
    }
    let servers = examination.servers.iter().zip(all);
    let findings =
        servers.map(|(server, findings)| findings.unwrap_or_else(|| failed(&server.uri)));
    Ok(findings.flatten().collect())
}

/// The findings about a server whose examination itself failed.
fn failed(uri: &Uri) -> Vec<Finding> {
    vec![Finding {
        code: Code::OutOfTime,
        uri: Some(uri.clone()),
        sentence: "the examination failed by itself".to_owned(),
    }]
}

/// The address that a server sees when `from` asks it over UDP. Takes at most 8 seconds.
///
/// # Errors
/// The error says why it cannot be asked, or does not answer.
pub async fn reflexive_address(server: &Uri, from: IpAddr) -> io::Result<IpAddr> {
    let targets = Resolver::of_host().resolve(server, Transport::Udp).await;
    let mut targets = targets.map_err(io::Error::other)?.into_iter();
    let target = targets.find(|target| target.address.is_ipv4() == from.is_ipv4());
    let target = target.ok_or_else(|| io::Error::other("it has no address of this family"))?;
    let socket = UdpSocket::bind((from, 0)).await?;
    let mut dialogue = Dialogue::new(Carrier::udp(socket, target.address), None, PATIENCE);
    Ok(dialogue.binding().await?.ip())
}

/// A server, and the findings about it.
struct Patient {
    uri: Uri,
    /// The address to examine it at, if the URI does not say.
    address: Option<SocketAddr>,
    examination: Arc<Examination>,
    findings: Vec<Finding>,
}

/// The server cannot be examined any further: the reason is among the findings.
struct Stopped;

impl Patient {
    async fn examine(mut self, resolver: &Resolver, trust: &Trust) -> Vec<Finding> {
        let until = Instant::now() + LIMIT;
        let walk = self.walk(resolver, trust);
        // The findings say whether it stopped early.
        if tokio::time::timeout_at(until.into(), walk).await.is_err() {
            let sentence = format!("not done within {} seconds", LIMIT.as_secs());
            self.find(Code::OutOfTime, sentence);
        }
        self.findings
    }

    async fn walk(&mut self, resolver: &Resolver, trust: &Trust) -> Result<(), Stopped> {
        let targets = self.targets(resolver).await?;
        for target in targets {
            let connector = Connector::new(self, target, trust);
            let before = self.findings.len();
            // A problem with one transport may not concern the next.
            if self.examine_at(&connector).await.is_ok() {
                self.find_works(&connector, before);
            }
        }
        if self.uri.service == Service::Turn && self.examination.login.is_none() {
            self.find(Code::UsersUntried, "no credentials are known for it");
        }
        Ok(())
    }

    /// The first server of each transport, as a client would take it.
    async fn targets(&mut self, resolver: &Resolver) -> Result<Vec<Target>, Stopped> {
        let usual = if self.uri.is_secure {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let known = self.address.map(|address| Target {
            address,
            transport: self.uri.transport.unwrap_or(usual),
        });
        let resolved = match known {
            Some(target) => Ok(vec![target]),
            None => resolver.resolve(&self.uri, usual).await,
        };
        let mut targets = match resolved {
            Ok(targets) => targets,
            Err(why) => {
                let code = match why {
                    Unresolved::NoAddress(_) => Code::Unresolved,
                    Unresolved::NoResolver
                    | Unresolved::Silent { .. }
                    | Unresolved::Failed { .. } => Code::NoDns,
                };
                self.find(code, why.to_string());
                return Err(Stopped);
            }
        };
        targets.retain(|target| self.examination.families.has(target.address));
        // Clients skip an address that their host has no way to.
        targets.sort_by_key(|target| self.local_address(target.address).is_none());
        let mut firsts: Vec<Target> = Vec::new();
        for &target in &targets {
            let is_known = |first: &Target| first.transport == target.transport;
            if !firsts.iter().any(is_known) {
                firsts.push(target);
            }
        }
        if firsts.is_empty() {
            let sentence = format!("{} has no address of the family asked for", self.uri.host);
            self.find(Code::Unresolved, sentence);
            return Err(Stopped);
        }
        if firsts.iter().any(|first| is_own(first.address.ip())) {
            self.find(Code::OnServersHost, "its address is one of this host's own");
        }
        self.untried(&targets, &firsts);
        Ok(firsts)
    }

    /// Names the ways to a TURN server that the URI leaves open and that are not examined.
    fn untried(&mut self, targets: &[Target], firsts: &[Target]) {
        let is_open = self.uri.transport.is_none() && !self.uri.is_secure;
        let is_udp = |first: &Target| first.transport == Transport::Udp;
        let others = &self.examination.servers;
        let is_tried = others
            .iter()
            .any(|other| is_stream(&other.uri, &self.uri.host));
        if self.uri.service == Service::Turn && is_open && !is_tried && firsts.iter().all(is_udp) {
            self.find(Code::WaysUntried, "the URI names neither TCP nor TLS");
        }
        let is_other = |target: &&Target| {
            let mut firsts = firsts.iter();
            firsts.all(|first| first.address.is_ipv4() != target.address.is_ipv4())
        };
        if let Some(other) = targets.iter().find(is_other) {
            let sentence = format!("{}: clients may prefer either family", other.address);
            self.find(Code::WaysUntried, sentence);
        }
    }

    /// The address of this host that its datagrams to a server leave from.
    fn local_address(&self, server: SocketAddr) -> Option<IpAddr> {
        host::local_address(&self.examination.bind, server).ok()?
    }

    /// Examines one target, from the first Binding to the end of the allocation.
    async fn examine_at(&mut self, connector: &Connector) -> Result<(), Stopped> {
        self.bind(connector).await?;
        if self.uri.service == Service::Stun {
            return Ok(());
        }
        self.challenge(connector).await?;
        let Some(login) = self.examination.login.clone() else {
            return Ok(());
        };
        let credentials = self.credentials(&login)?;
        let (mut allocation, credentials) = self.allocate(connector, &login, credentials).await?;
        self.relayed_address(connector.target.address, allocation.relayed);
        let relay = self.relay(connector, &credentials, &mut allocation);
        if let Err(stopped) = relay.await {
            allocation.end().await;
            return Err(stopped);
        }
        self.outside(connector, &mut allocation).await;
        self.peer_policy(&mut allocation).await;
        let relayed = allocation.relayed;
        self.lifetime(allocation).await;
        self.other_family(connector, &credentials, relayed).await;
        self.clock(connector, &login).await;
        Ok(())
    }

    /// Says of a transport that it works, if all findings since the first `before` agree.
    fn find_works(&mut self, connector: &Connector, before: usize) {
        let found = &self.findings[before..];
        let is_bad = |it: &Finding| it.code.severity() >= Severity::Warning;
        if found.iter().any(is_bad) {
            return;
        }
        let has = |code| found.iter().any(|it| it.code == code);
        let seen = match (has(Code::Relays), has(Code::ReachesOutside)) {
            (true, true) => "relays, to peers outside as well",
            (true, false) => "relays; peers outside were not tested",
            (false, _) if has(Code::Challenged) => "answers, and asks for credentials",
            (false, _) => "answers",
        };
        self.find(Code::Works, format!("{} {seen}", connector.way()));
    }

    fn find(&mut self, code: Code, sentence: impl Into<String>) {
        // Names, realms and reasons are the server's words.
        self.findings.push(Finding {
            code,
            uri: Some(self.uri.clone()),
            sentence: escaped(&sentence.into()),
        });
    }
}

/// The longest time of an examination.
const LIMIT: Duration = Duration::from_secs(14);

/// The longest wait for a single answer: the request is sent three times in that time.
const PATIENCE: Duration = Duration::from_millis(2_400);

/// Whether a URI leads to a TURN server on this host by TCP or TLS.
fn is_stream(uri: &Uri, host: &UriHost) -> bool {
    let is_stream = uri.is_secure || uri.transport == Some(Transport::Tcp);
    uri.service == Service::Turn && uri.host == *host && is_stream
}

/// Whether an address is this host's own: nothing else is reached from itself.
fn is_own(ip: IpAddr) -> bool {
    matches!(host::local_address(&Bind::Any, (ip, DISCARD).into()), Ok(Some(local)) if local == ip)
}

/// The port of the discard service. Nothing is sent there.
const DISCARD: u16 = 9;

/// Whether an address is one that no stranger on the Internet can have.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_link_local || is_behind_nat(ip) || ip.is_loopback() || ip.is_unspecified()
}
