//! The answers of the API.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use net::{Cursor, Running, Transports};
use relay::{Counters, Listed, Refusal, Shown};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::stories::{since_epoch, story};
use super::{Ending, Handles, Happened, Left, Quality, Stream};
use crate::live::is_refusal;

/// The server as a whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// Where the configuration comes from.
    pub configuration: String,
    /// When the process began, in seconds since the Unix epoch.
    pub started: u64,
    /// Allocations that there are.
    pub allocations: u32,
    /// Whether no new allocation is granted.
    pub draining: bool,
    /// Relay ports that allocations have or have reserved.
    pub ports_taken: usize,
    /// Relay ports that there are.
    pub ports: usize,
    /// Connections over TCP and TLS.
    pub connections: usize,
    /// How many of them there may be.
    pub connections_limit: usize,
    /// Allocations granted since the start.
    pub opened: u64,
    /// Requests refused since the start, without challenges and redirections.
    pub refused: u64,
    /// The same by cause, those that came most first; causes that never came are left out.
    #[serde(default)]
    pub refusals: Vec<Refused>,
    /// Requests whose integrity was wrong or whose user is not known, since the start; also those that were not
    /// answered.
    pub failed: u64,
    /// Networks that are banned.
    #[serde(default)]
    pub banned: usize,
    /// Data from clients to peers since the start.
    pub sent: Traffic,
    /// Data from peers to clients since the start.
    pub received: Traffic,
    /// Where clients come in: transport, and address with port.
    #[schema(value_type = Vec<Vec<String>>)]
    pub listeners: Vec<(String, SocketAddr)>,
    /// Listeners that nobody reaches yet: this host does not have their address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<String>>)]
    pub awaited: Vec<(String, SocketAddr)>,
    /// Listeners that a reload took away and that serve the sessions on them to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<String>>)]
    pub retiring: Vec<(String, SocketAddr)>,
    /// The allocations that the server waits for, if it drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
}

impl Status {
    pub(super) async fn of(server: &Handles) -> Self {
        let (relay, _) = server.running.snapshot();
        let load = server.running.load();
        let started = server.started.duration_since(UNIX_EPOCH);
        let left = if load.is_draining {
            let deadline = *server.deadline.borrow();
            Some(Left::now(&server.running, deadline).await)
        } else {
            None
        };
        let listeners = server.running.listeners().into_iter();
        let (listeners, awaited) = listeners.partition(|(_, listen)| is_here(listen.ip()));
        Self {
            version: server.version.to_owned(),
            configuration: server.configuration.clone(),
            started: started.unwrap_or_default().as_secs(),
            allocations: load.allocations,
            draining: load.is_draining,
            ports_taken: load.ports_taken,
            ports: load.ports,
            connections: load.connections,
            connections_limit: load.most_connections,
            opened: relay.opened(),
            refused: relay.refused(),
            refusals: Refused::all(&relay),
            failed: relay.failed,
            banned: server.running.bans().list(Instant::now()).len(),
            sent: relay.sent.into(),
            received: relay.received.into(),
            listeners: named(listeners),
            awaited: named(awaited),
            retiring: named(server.running.retiring()),
            left,
        }
    }
}

/// Whether this host does not have the address of a listener yet.
pub(super) fn awaits(running: &Running) -> bool {
    let listeners = running.listeners();
    listeners.iter().any(|(_, listen)| !is_here(listen.ip()))
}

/// Whether the kernel has the address, by the only honest test: a listener itself is bound in any case.
fn is_here(ip: IpAddr) -> bool {
    let tried = UdpSocket::bind((ip, 0));
    !tried.is_err_and(|why| why.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Listeners by the names of their transports.
fn named(listeners: Vec<(Transports, SocketAddr)>) -> Vec<(String, SocketAddr)> {
    let name = |transports: Transports| {
        let (name, protocol) = (transports.name(), transports.protocol());
        if name == protocol {
            name.to_owned()
        } else {
            format!("{name} over {protocol}")
        }
    };
    let listeners = listeners.into_iter();
    listeners
        .map(|(transports, listen)| (name(transports), listen))
        .collect()
}

/// How many requests were refused for a cause.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// The error code.
    pub code: u16,
    /// The name in logs and metrics.
    pub cause: String,
    /// So many since the start.
    pub count: u64,
}

impl Refused {
    fn all(relay: &Counters) -> Vec<Self> {
        let causes = Refusal::ALL.iter().filter(|it| is_refusal(**it));
        let counts = causes.map(|&it| Self {
            code: it.code(),
            cause: it.cause().to_owned(),
            count: relay.refused_for(it),
        });
        let mut counts: Vec<Self> = counts.filter(|it| it.count > 0).collect();
        counts.sort_by_key(|it| Reverse(it.count));
        counts
    }
}

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of data, without headers.
    pub bytes: u64,
}

impl From<relay::Traffic> for Traffic {
    fn from(relay::Traffic { packets, bytes }: relay::Traffic) -> Self {
        Self { packets, bytes }
    }
}

/// One session: an allocation with its client.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The id, as the log has it.
    pub id: String,
    /// The realm that the user belongs to.
    pub realm: String,
    /// The person: the name without realm and expiry; or the account of a token.
    pub user: String,
    /// The USERNAME without the realm.
    pub credential: String,
    /// The transport between client and server.
    pub transport: String,
    /// The client's address.
    #[schema(value_type = String)]
    pub client: SocketAddr,
    /// The relayed transport addresses.
    #[schema(value_type = Vec<String>)]
    pub relayed: Vec<SocketAddr>,
    /// The peers that it has channels to, else those that it has permissions for; some of them, where they
    /// are many.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub peers: Vec<IpAddr>,
    /// How long it has lived, in seconds.
    pub age: u64,
    /// Data from the client to peers.
    pub sent: Traffic,
    /// Data from peers to the client.
    pub received: Traffic,
    /// How good its legs are, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

impl From<Listed> for Session {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.id.to_string(),
            realm: listed.realm.to_string(),
            user: listed.user.to_string(),
            credential: listed.credential.to_string(),
            transport: listed.client.transport.name().to_owned(),
            client: listed.client.client,
            relayed: listed.relayed,
            peers: listed.peers,
            age: listed.age.as_secs(),
            sent: listed.sent.into(),
            received: listed.received.into(),
            quality: listed.quality.map(Quality::from),
        }
    }
}

/// Some of the sessions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// These.
    pub sessions: Vec<Session>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
    /// Shards that did not answer in time: their sessions are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_shards: Vec<usize>,
}

impl From<net::Page> for Sessions {
    fn from(page: net::Page) -> Self {
        let cursor = |Cursor { shard, place }| format!("{shard}.{place}");
        Self {
            sessions: page.listed.into_iter().map(Session::from).collect(),
            next: page.next.map(cursor),
            silent_shards: page.silent,
        }
    }
}

/// All about one session.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionDetails {
    /// The fields that a list has, too.
    #[serde(flatten)]
    pub session: Session,
    /// How long each relayed address lives if it is not refreshed, in seconds.
    pub left: Vec<u64>,
    /// The peers that it has permissions for.
    pub permissions: Vec<Permission>,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// The RTP streams that came lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
    /// Its last control events, oldest first: at most 32.
    #[serde(default)]
    pub story: Vec<Happened>,
}

/// A permission. RFC 8656 §9.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Permission {
    /// The peer.
    #[schema(value_type = String)]
    pub peer: IpAddr,
    /// How long it lasts, in seconds.
    pub left: u64,
}

/// A channel. RFC 8656 §12.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// The number.
    pub number: u16,
    /// The peer.
    #[schema(value_type = String)]
    pub peer: SocketAddr,
    /// How long it lasts, in seconds.
    pub left: u64,
}

impl From<Shown> for SessionDetails {
    fn from(shown: Shown) -> Self {
        let permissions = shown
            .permissions
            .into_iter()
            .map(|(peer, left)| Permission {
                peer,
                left: left.as_secs(),
            });
        let channels = shown
            .channels
            .into_iter()
            .map(|(number, peer, left)| Channel {
                number: number.get(),
                peer,
                left: left.as_secs(),
            });
        Self {
            session: shown.listed.into(),
            left: shown.left.iter().map(|left| left.as_secs()).collect(),
            permissions: permissions.collect(),
            channels: channels.collect(),
            streams: shown.streams.into_iter().map(Stream::from).collect(),
            ended: shown.ended.map(|(ago, cause)| Ending {
                at: since_epoch(ago),
                cause: cause.name().to_owned(),
            }),
            story: story(shown.story),
        }
    }
}

impl Status {
    /// How long the server has run at this moment, in seconds.
    pub fn uptime(&self, now: SystemTime) -> u64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.saturating_sub(self.started)
    }
}
