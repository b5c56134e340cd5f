//! The answers of the API.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use net::Cursor;
use relay::{Listed, Shown};
use serde::{Deserialize, Serialize};

use super::Handles;

/// The server as a whole.
#[derive(Debug, Serialize, Deserialize)]
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
    /// Requests whose integrity was wrong or whose user is not known, since the start.
    pub failed: u64,
    /// Data from clients to peers since the start.
    pub sent: Traffic,
    /// Data from peers to clients since the start.
    pub received: Traffic,
    /// Where clients come in: transport, and address with port.
    pub listeners: Vec<(String, SocketAddr)>,
}

impl Status {
    pub(super) fn of(server: &Handles) -> Self {
        let (relay, _) = server.running.snapshot();
        let load = server.running.load();
        let started = server.started.duration_since(UNIX_EPOCH);
        let listeners = server.running.listeners().iter();
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
            failed: relay.failed,
            sent: relay.sent.into(),
            received: relay.received.into(),
            listeners: listeners
                .map(|(transports, listen)| {
                    let (name, protocol) = (transports.name(), transports.protocol());
                    let name = if name == protocol.to_ascii_lowercase() {
                        name.to_owned()
                    } else {
                        format!("{name} over {protocol}")
                    };
                    (name, *listen)
                })
                .collect(),
        }
    }
}

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
    pub client: SocketAddr,
    /// The relayed transport addresses.
    pub relayed: Vec<SocketAddr>,
    /// How long it has lived, in seconds.
    pub age: u64,
    /// Data from the client to peers.
    pub sent: Traffic,
    /// Data from peers to the client.
    pub received: Traffic,
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
            age: listed.age.as_secs(),
            sent: listed.sent.into(),
            received: listed.received.into(),
        }
    }
}

/// Some of the sessions.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
}

/// A permission. RFC 8656 §9.
#[derive(Debug, Serialize, Deserialize)]
pub struct Permission {
    /// The peer.
    pub peer: IpAddr,
    /// How long it lasts, in seconds.
    pub left: u64,
}

/// A channel. RFC 8656 §12.
#[derive(Debug, Serialize, Deserialize)]
pub struct Channel {
    /// The number.
    pub number: u16,
    /// The peer.
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
        }
    }
}

/// The outcome of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The keys that changed, and hold.
    pub changed: Vec<String>,
    /// The keys that changed, and hold only after a restart.
    pub needs_restart: Vec<String>,
}

impl Status {
    /// How long the server has run at this moment, in seconds.
    pub fn uptime(&self, now: SystemTime) -> u64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.saturating_sub(self.started)
    }
}
