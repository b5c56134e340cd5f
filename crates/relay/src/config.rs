//! The decisions of the operator, the same for every shard.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use wire::AddressFamily;

use crate::allocation::Allocation;
use crate::keys::TokenKeys;
use crate::nonce::NonceSecret;
use crate::policy::Policy;
use crate::realms::Realms;
use crate::redirect::Redirect;
use crate::sha256::Sha256;
use crate::{Allowance, Bandwidth, ClientTuple, Clients, NatDiscovery, ProcessSecret, Thresholds};

/// The decisions that are fixed when the shards start, and the rules that they start with.
#[derive(Debug)]
pub struct Config {
    /// Seals and keys what no other server has to read.
    pub secret: ProcessSecret,
    /// Seals the nonces, where other servers take them; else the secret of the process does.
    pub nonce_secret: Option<NonceSecret>,
    /// The ports of relayed transport addresses.
    pub ports: PortRange,
    /// From where Binding is answered for who explores its NAT: one entry per address family at
    /// most, none without a second address.
    pub nat_discovery: Vec<NatDiscovery>,
    /// The rules that a shard begins with.
    pub rules: Arc<Rules>,
}

/// The decisions that may change while a [`crate::Server`] runs: [`crate::Command::Adopt`].
#[derive(Debug)]
pub struct Rules {
    /// The users, by realm.
    pub realms: Realms,
    /// The keys of the access tokens that are good.
    pub tokens: TokenKeys,
    /// Whether SHA-256 is offered or required.
    pub sha256: Sha256,
    /// How many requests whose integrity is wrong one source prefix is answered: as many at once as in
    /// a minute. `None` is without limit. Requests that are signed well are always answered.
    pub failures_per_minute: Option<NonZeroU32>,
    /// Which clients are served.
    pub clients: Clients,
    /// How long a nonce is good for.
    pub nonce_lifetime: Duration,
    /// Which peers may be reached.
    pub policy: Policy,
    /// Where relay sockets are opened: the first of each family. Of the others there may be
    /// allocations from before. Without any the server answers Binding only.
    pub relays: Vec<RelayAddress>,
    /// The bounds of a client's allocations.
    pub limits: Limits,
    /// Whether a client may take its allocation to another 5-tuple. RFC 8016.
    pub mobility: bool,
    /// Whether clients are granted TCP allocations, and connections from them. RFC 6062.
    pub tcp: bool,
    /// Which clients are told of ICMP errors.
    pub icmp: IcmpTold,
    /// How many bytes strangers may be sent beyond those that they send.
    pub unauthenticated: Allowance,
    /// From where on the quality of a leg is bad; `None` if quality is not measured.
    pub quality: Option<Thresholds>,
    /// The rules that send clients to another server; the first that concerns a client counts.
    pub redirects: Vec<Redirect>,
    /// UDP listeners that are to go once the last allocation on them has ended: new ones are refused.
    /// An address may stand for every one of its family.
    pub retiring: Vec<SocketAddr>,
    /// How many rules came before these: a shard follows no earlier ones than it has.
    pub serial: u64,
}

impl Rules {
    /// The defaults for a server of these users, which reaches the peers of this policy and relays
    /// from nowhere.
    pub fn new(realms: impl Into<Realms>, policy: Policy) -> Self {
        Self {
            realms: realms.into(),
            tokens: TokenKeys::default(),
            sha256: Sha256::default(),
            failures_per_minute: NonZeroU32::new(60),
            clients: Clients::default(),
            nonce_lifetime: Duration::from_secs(3600),
            policy,
            relays: Vec::new(),
            limits: Limits::default(),
            mobility: false,
            tcp: false,
            icmp: IcmpTold::default(),
            unauthenticated: Allowance::default(),
            quality: Some(Thresholds::default()),
            redirects: Vec::new(),
            retiring: Vec::new(),
            serial: 0,
        }
    }

    /// Whether there is any limit of bandwidth.
    pub(crate) fn limit_bandwidth(&self) -> bool {
        self.limits.bandwidth != Bandwidth::default() || self.realms.limit_bandwidth()
    }

    /// Whether a client comes to a listener that is to go.
    pub(crate) fn retire(&self, client: ClientTuple) -> bool {
        let ClientTuple {
            transport, server, ..
        } = client;
        let is_at = |listen: &SocketAddr| {
            let is_every = listen.ip().is_unspecified() && listen.is_ipv4() == server.is_ipv4();
            listen.port() == server.port() && (is_every || listen.ip() == server.ip())
        };
        !transport.is_stream() && self.retiring.iter().any(is_at)
    }

    /// Makes these the rules that follow earlier ones: realms keep their ids for the life of the
    /// process, since allocations know their realm by it. A realm that is not among them any more
    /// has no users, and names that end in it are still its own.
    pub fn succeed(&mut self, earlier: &Self) {
        self.serial = earlier.serial + 1;
        self.realms.keep_ids_of(&earlier.realms);
        self.realms.prepare();
    }

    /// The relay address of a family: the first of it.
    pub(crate) fn relay(&self, family: AddressFamily) -> Option<RelayAddress> {
        self.relays
            .iter()
            .copied()
            .find(|relay| AddressFamily::of(relay.local) == family)
    }

    /// The addresses that relay sockets are bound to.
    pub(crate) fn locals(&self) -> Vec<IpAddr> {
        self.relays.iter().map(|relay| relay.local).collect()
    }

    /// The relay address that has this IP address, as its local or as its external one.
    pub(crate) fn relay_at(&self, ip: IpAddr) -> Option<RelayAddress> {
        let mut relays = self.relays.iter();
        relays
            .find(|relay| relay.external == ip || relay.local == ip)
            .copied()
    }

    /// The address that peers know for an address of this host: behind 1:1 NAT that is the external
    /// one.
    pub(crate) fn external_of(&self, ip: IpAddr) -> IpAddr {
        self.relays
            .iter()
            .find(|relay| relay.local == ip)
            .map_or(ip, |relay| relay.external)
    }
}

impl Config {
    /// A server that relays from these addresses and ports, with nonces and without NAT discovery
    /// of its own. The secret must be unpredictable.
    pub fn new(
        secret: ProcessSecret,
        relays: Vec<RelayAddress>,
        ports: PortRange,
        rules: Rules,
    ) -> Self {
        Self {
            secret,
            nonce_secret: None,
            ports,
            nat_discovery: Vec::new(),
            rules: Arc::new(Rules { relays, ..rules }),
        }
    }

    /// The rules, to change them before any shard has them.
    ///
    /// # Panics
    /// If they are shared already.
    pub fn rules_mut(&mut self) -> &mut Rules {
        Arc::get_mut(&mut self.rules).expect("no shard has the rules yet")
    }

    /// The secret that seals the nonces.
    pub(crate) fn nonces_sealed_with(&self) -> NonceSecret {
        let own = || NonceSecret(self.secret.derived(b"nonces"));
        self.nonce_secret.unwrap_or_else(own)
    }
}

/// An address of this host from which relaying is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// The address sockets are bound to.
    pub local: IpAddr,
    /// The address the world knows it by; the same unless there is a 1:1 NAT.
    pub external: IpAddr,
}

impl From<IpAddr> for RelayAddress {
    /// An address by which the world knows this host, too: there is no 1:1 NAT.
    fn from(address: IpAddr) -> Self {
        Self {
            local: address,
            external: address,
        }
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The range, or `None` if it is empty or holds port 0.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last {
            None
        } else {
            Some(Self { first, last })
        }
    }

    /// How many allocations one user may hold, unless the rules say: a quarter of the ports, and at
    /// least one.
    pub fn quarter(self) -> u32 {
        u32::try_from(self.count() / 4).map_or(u32::MAX, |quarter| quarter.max(1))
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports.
    pub const fn count(self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

/// The dynamic range of RFC 6335 §6, which RFC 8656 §7.2 asks for.
impl Default for PortRange {
    fn default() -> Self {
        Self {
            first: 49152,
            last: 65535,
        }
    }
}

/// Which clients are told of ICMP errors about their datagrams. RFC 8656 §11.5.
///
/// The Data indication of an ICMP error has no DATA. Clients of RFC 5766 do not know such an
/// indication: at the first one pion and webrtc-rs stop reading for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IcmpTold {
    /// Clients whose Allocate used an algorithm of RFC 8489, and so are as new as the indication.
    #[default]
    Rfc8489,
    /// Every client, as RFC 8656 has it.
    Always,
    /// No client.
    Never,
}

impl IcmpTold {
    pub(crate) const fn is_for(self, allocation: &Allocation) -> bool {
        match self {
            Self::Rfc8489 => allocation.knows_rfc8489,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Bounds of an allocation, and of the number of allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The lifetime granted where the request names none; it is also the least. RFC 8656 §7.2.
    pub default_lifetime: Duration,
    /// The longest lifetime granted.
    pub max_lifetime: Duration,
    /// Allocations per user, unless a realm says otherwise; `None` is a quarter of the ports of one
    /// relay address, and at least one. Each takes one port of an address at most.
    pub per_user: Option<u32>,
    /// Allocations in all; `None` is without limit.
    pub total: Option<u32>,
    /// How fast data may pass, unless a realm says otherwise.
    pub bandwidth: Bandwidth,
    /// Permissions per allocation.
    pub permissions: usize,
    /// Channels per allocation.
    pub channels: usize,
    /// Connections with peers per TCP allocation, also those still to be made.
    pub connections: usize,
    /// The longest Data indication to a client on a stream, in bytes, with header and padding.
    /// Firefox ends a connection at one of more than 2,048, which any peer can send. A value above
    /// 65,535 counts as 65,535: libnice and pion have no room for a longer frame.
    pub stream_indication: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            per_user: None,
            total: None,
            bandwidth: Bandwidth::default(),
            permissions: 256,
            channels: 256,
            connections: 32,
            stream_indication: 2_048,
        }
    }
}

impl Limits {
    /// The lifetime granted, in seconds, when `requested` seconds are asked for. RFC 8656 §7.2:
    /// never below the default, never above the maximum.
    pub(crate) fn lifetime(&self, requested: Option<u32>) -> u32 {
        let least = seconds(self.default_lifetime);
        let most = seconds(self.max_lifetime).max(least);
        requested.unwrap_or(least).clamp(least, most)
    }

    pub(crate) fn stream_indication(&self) -> usize {
        self.stream_indication.min(usize::from(u16::MAX))
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
