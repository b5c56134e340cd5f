//! The doctor: whether a STUN or TURN server works from here, and what to change if not.
//!
//! It does everything that a client of the server does: an allocation, permissions, channels, data
//! to another allocation and to a plain socket, a refresh, the end.

mod certificate;
mod connect;
mod credentials;
mod dtls;
mod finding;
mod link;
mod outside;
mod policy;
mod redirect;
mod relaying;
mod stranger;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::escape::escaped;
use crate::findings::is_behind_nat;
use crate::host::{Fault, Trust};
use crate::{Bind, Families, Resolver, Service, Target, Transport, Uri};
use connect::Connector;
pub use credentials::Login;
pub use finding::{Code, Finding, Severity};
use link::{Carrier, Link};

/// The servers to examine, and how.
#[derive(Clone)]
pub struct Examination {
    /// The servers.
    pub servers: Vec<Uri>,
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
    for (index, uri) in examination.servers.iter().enumerate() {
        let patient = Patient {
            uri: uri.clone(),
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
            progress(&examination.servers[index]);
            all[index] = Some(findings);
        }
    }
    let servers = examination.servers.iter().zip(all);
    let findings = servers.flat_map(|(uri, findings)| findings.unwrap_or_else(|| failed(uri)));
    Ok(findings.collect())
}

/// The findings about a server whose examination itself failed.
fn failed(uri: &Uri) -> Vec<Finding> {
    vec![Finding {
        code: Code::OutOfTime,
        uri: Some(uri.clone()),
        sentence: "the examination failed by itself".to_owned(),
    }]
}

/// The address that a server sees when `from` asks it over UDP; `None` if it cannot be asked, or
/// does not answer in the time that an examination takes.
pub async fn reflexive_address(server: &Uri, from: IpAddr) -> Option<IpAddr> {
    let address = ask_reflexive_address(server, from);
    tokio::time::timeout(LIMIT, address).await.ok()?
}

async fn ask_reflexive_address(server: &Uri, from: IpAddr) -> Option<IpAddr> {
    let targets = Resolver::of_host()
        .resolve(server, Transport::Udp)
        .await
        .ok()?;
    let mut targets = targets.into_iter();
    let target = targets.find(|target| target.address.is_ipv4() == from.is_ipv4())?;
    let socket = UdpSocket::bind((from, 0)).await.ok()?;
    let mut link = Link::new(Carrier::udp(socket, target.address), None, PATIENCE);
    Some(link.binding().await?.ip())
}

/// A server, and the findings about it.
struct Patient {
    uri: Uri,
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
            self.find(
                Code::OutOfTime,
                format!("not done within {} seconds", LIMIT.as_secs()),
            );
        }
        self.findings
    }

    async fn walk(&mut self, resolver: &Resolver, trust: &Trust) -> Result<(), Stopped> {
        let targets = self.targets(resolver).await?;
        for target in targets {
            let connector = Connector::new(self, target, trust);
            // A problem with one transport may not concern the next.
            let _ = self.examine_at(&connector).await;
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
        let mut targets = match resolver.resolve(&self.uri, usual).await {
            Ok(targets) => targets,
            Err(why) => {
                self.find(Code::Unresolved, why.to_string());
                return Err(Stopped);
            }
        };
        targets.retain(|target| self.examination.families.has(target.address));
        let mut firsts: Vec<Target> = Vec::new();
        for target in targets {
            if firsts
                .iter()
                .all(|first| first.transport != target.transport)
            {
                firsts.push(target);
            }
        }
        if firsts.is_empty() {
            let sentence = format!("{} has no address of the family asked for", self.uri.host);
            self.find(Code::Unresolved, sentence);
            return Err(Stopped);
        }
        Ok(firsts)
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
        let mut allocation = self.allocate(connector, &login, &credentials).await?;
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

/// Whether an address is one that no stranger on the Internet can have.
fn is_private(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_link_local || is_behind_nat(ip) || ip.is_loopback() || ip.is_unspecified()
}
