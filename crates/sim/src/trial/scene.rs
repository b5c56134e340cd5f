//! The scene of a trial: an operator's configuration, and the clients.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use relay::policy::{Mode, Own, Policy};
use relay::{
    AddressFamily, Allowance, Bandwidth, ClientTuple, Config, IcmpTold, Keys, PortRange,
    RelayAddress, Rules, Transport,
};

use crate::choices::Choices;
use crate::model::{self, Terms};
use crate::{EXTERNAL, LISTENER, LOCAL, LOCAL_V6, REALM, World, password, seconds};

/// The settings that make a difference to the outcome of steps.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    shards: u8,
    /// Whether the users are in a store outside the server.
    remote: bool,
    sha256: model::Sha256,
    pub(crate) ports: (u16, u16),
    families: Families,
    /// Whether the IPv4 relay address stands behind a 1:1 NAT.
    nat: bool,
    /// Whether limits are so low that clients reach them.
    tight: bool,
    /// Whether data passes slowly: bytes per second of an allocation and of a user.
    slow: Option<(u64, u64)>,
    /// Whether strangers use the amplification budget up.
    pub(crate) rationed: bool,
    /// Whether TCP is relayed.
    tcp: bool,
    /// Whether clients may move.
    mobility: bool,
    /// Whether old clients, too, are told of ICMP errors.
    icmp_for_all: bool,
    /// Whether packets are lost, late and doubled.
    pub(crate) rough: bool,
    /// The longest lifetimes of an allocation and of a nonce, in seconds.
    max_lifetime: u32,
    nonce_lifetime: u32,
    /// The peer that the policy denies beside those that are not public.
    denied: Option<u8>,
    /// The user who is not known any more.
    gone: Option<&'static str>,
    /// Whether users have other passwords than they had at first.
    has_other_passwords: bool,
    realm: &'static str,
}

/// A decision of the operator, who changes it while the server runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Sha256(model::Sha256),
    Tight(bool),
    Mobility(bool),
    Tcp(bool),
    IcmpForAll(bool),
    MaxLifetime(u32),
    NonceLifetime(u32),
    Denied(Option<u8>),
    Gone(Option<&'static str>),
    OtherPasswords(bool),
    Realm(&'static str),
    Remote(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Both,
    V4,
    V6,
}

impl Change {
    pub(crate) fn choose(choices: &mut Choices<'_>) -> Self {
        match choices.below(12) {
            0 => Self::Sha256(choices.pick(&SHA256)),
            1 => Self::Tight(choices.flag()),
            2 => Self::Mobility(!choices.rarely(3)),
            3 => Self::IcmpForAll(choices.flag()),
            4 => Self::MaxLifetime(choices.pick(&[600, 777, 3600])),
            5 => Self::NonceLifetime(choices.pick(&[1, 600, 600])),
            6 => Self::Denied(choices.pick(&[None, Some(0), Some(0), Some(1)])),
            7 => Self::Gone(choices.pick(&[None, Some("alice"), Some("bob")])),
            8 => Self::OtherPasswords(choices.rarely(3)),
            9 => Self::Remote(choices.flag()),
            10 => Self::Tcp(!choices.rarely(3)),
            _ => Self::Realm(choices.pick(&[REALM, REALM, "example.net"])),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha256(_) => "rule-sha256",
            Self::Tight(_) => "rule-limits",
            Self::Mobility(_) => "rule-mobility",
            Self::Tcp(_) => "rule-tcp",
            Self::IcmpForAll(_) => "rule-icmp",
            Self::MaxLifetime(_) => "rule-lifetime",
            Self::NonceLifetime(_) => "rule-nonce-lifetime",
            Self::Denied(_) => "rule-policy",
            Self::Gone(_) => "rule-users",
            Self::OtherPasswords(_) => "rule-passwords",
            Self::Realm(_) => "rule-realm",
            Self::Remote(_) => "rule-store",
        }
    }
}

impl Scene {
    pub(crate) fn choose(choices: &mut Choices<'_>) -> Self {
        let first = 50_000 + u16::from(choices.flag());
        let count = choices.pick(&[1, 3, 4, 8, 40]);
        Self {
            shards: choices.pick(&[1, 2, 2, 3]),
            remote: choices.rarely(4),
            sha256: choices.pick(&SHA256),
            ports: (first, first + count),
            families: choices.weighted(&[
                (6, Families::Both),
                (1, Families::V4),
                (1, Families::V6),
            ]),
            nat: choices.rarely(3),
            tight: choices.flag(),
            slow: choices.pick(&[None, None, None, None, Some((20, 10_000)), Some((5000, 30))]),
            rationed: choices.rarely(4),
            tcp: !choices.rarely(4),
            mobility: !choices.rarely(4),
            icmp_for_all: choices.rarely(3),
            rough: choices.flag(),
            max_lifetime: 3600,
            nonce_lifetime: 600,
            denied: None,
            gone: None,
            has_other_passwords: false,
            realm: REALM,
        }
    }

    pub(crate) const fn change(&mut self, change: Change) {
        match change {
            Change::Sha256(sha256) => self.sha256 = sha256,
            Change::Tight(tight) => self.tight = tight,
            Change::Mobility(mobility) => self.mobility = mobility,
            Change::Tcp(tcp) => self.tcp = tcp,
            Change::IcmpForAll(for_all) => self.icmp_for_all = for_all,
            Change::MaxLifetime(seconds) => self.max_lifetime = seconds,
            Change::NonceLifetime(seconds) => self.nonce_lifetime = seconds,
            Change::Denied(peer) => self.denied = peer,
            Change::Gone(user) => self.gone = user,
            Change::OtherPasswords(others) => self.has_other_passwords = others,
            Change::Realm(realm) => self.realm = realm,
            Change::Remote(remote) => self.remote = remote,
        }
    }

    /// The change back from one under which some clients get nothing.
    pub(crate) fn remedy(&self) -> Option<Change> {
        if self.gone.is_some() {
            return Some(Change::Gone(None));
        }
        if self.has_other_passwords {
            return Some(Change::OtherPasswords(false));
        }
        (self.realm != REALM).then_some(Change::Realm(REALM))
    }

    /// The rules that are to hold now.
    pub(crate) fn rules(&self) -> Rules {
        let mut config = crate::config();
        self.configure(&mut config);
        Arc::into_inner(config.rules).expect("nobody else has them")
    }

    /// From now on the world's key store knows these users. It counts only where they are remote.
    pub(crate) fn fill_store(&self, world: &mut World) {
        world.store_users(self.realm, self.users());
    }

    /// A server with this configuration, and no client yet.
    pub(crate) fn world(&self) -> World {
        World::sharded(self.shards, |config| self.configure(config))
    }

    fn configure(&self, config: &mut Config) {
        config.ports = PortRange::new(self.ports.0, self.ports.1).expect("a range");
        let relays = self.relays().into_iter();
        config.rules_mut().relays = relays
            .map(|(_, (local, external))| RelayAddress { local, external })
            .collect();
        let rules = config.rules_mut();
        let mut keys = Keys::new(self.realm);
        for (user, password) in self.users() {
            keys.add_user(&user, &password)
                .expect("name and password are plain ASCII");
        }
        rules.realms = if self.remote {
            Keys::remote(self.realm).into()
        } else {
            keys.into()
        };
        rules.limits.max_lifetime = seconds(self.max_lifetime.into());
        rules.nonce_lifetime = seconds(self.nonce_lifetime.into());
        rules.sha256 = match self.sha256 {
            model::Sha256::Off => relay::Sha256::Off,
            model::Sha256::Offer => relay::Sha256::Offer,
            model::Sha256::Require => relay::Sha256::Require,
        };
        rules.mobility = self.mobility;
        rules.tcp = self.tcp;
        if self.icmp_for_all {
            rules.icmp = IcmpTold::Always;
        }
        rules.policy = self.policy();
        if self.tight {
            rules.limits.per_user = Some(TIGHT.per_user);
            rules.limits.total = Some(TIGHT.total);
            rules.limits.permissions = TIGHT.permissions;
            rules.failures_per_minute = NonZeroU32::new(TIGHT.failures);
            rules.limits.channels = TIGHT.channels;
            rules.limits.connections = TIGHT.connections;
        }
        if let Some((one, user)) = self.slow {
            rules.limits.bandwidth = Bandwidth {
                allocation: NonZeroU64::new(one),
                user: NonZeroU64::new(user),
            };
        }
        if !self.rationed {
            rules.unauthenticated = Allowance {
                per_prefix: None,
                total: None,
            };
        } else {
            rules.unauthenticated.per_prefix = NonZeroU64::new(10);
        }
    }

    /// How many ports a relay address has.
    fn count(&self) -> usize {
        usize::from(self.ports.1 - self.ports.0) + 1
    }

    /// Names and passwords.
    fn users(&self) -> BTreeMap<String, String> {
        let known = ["alice", "bob", "carol"].into_iter();
        let known = known.filter(|user| Some(*user) != self.gone);
        let password = |user| match self.has_other_passwords {
            true => format!("another {}", password(user)),
            false => password(user),
        };
        known
            .map(|user| (user.to_owned(), password(user)))
            .collect()
    }

    fn relays(&self) -> Vec<(AddressFamily, (IpAddr, IpAddr))> {
        let external = if self.nat { EXTERNAL } else { LOCAL };
        let v4 = (AddressFamily::V4, (LOCAL, external));
        let v6 = (AddressFamily::V6, (LOCAL_V6, LOCAL_V6));
        match self.families {
            Families::Both => vec![v4, v6],
            Families::V4 => vec![v4],
            Families::V6 => vec![v6],
        }
    }

    /// Closed, but open to relayed transport addresses of this server by both of their addresses.
    fn policy(&self) -> Policy {
        let faces = self
            .relays()
            .into_iter()
            .flat_map(|(_, (local, external))| [local, external]);
        let own = Own {
            listeners: vec![LISTENER],
            addresses: vec![LOCAL.into(), LOCAL_V6.into()],
            relays: faces.collect(),
            relay_ports: self.ports.0..=self.ports.1,
        };
        let denied = self.denied.map(|peer| format!("9.9.0.{peer}").parse());
        let denied = denied.map(|network| network.expect("an address"));
        Policy::new(Mode::Closed, vec![], denied.into_iter().collect(), own)
    }

    /// The same for the model. Numbers that the scene does not change are the RFC's.
    pub(crate) fn terms(&self) -> Terms {
        let limit = |tight: usize, loose| if self.tight { tight } else { loose };
        Terms {
            realm: self.realm.to_owned(),
            users: self.users(),
            remote: self.remote,
            sha256: self.sha256,
            nonce_lifetime: self.nonce_lifetime.into(),
            relays: self.relays().into_iter().collect(),
            ports: self.ports.0..=self.ports.1,
            max_lifetime: self.max_lifetime,
            // RFC 8656 §5 wants a limit; the server's own is a quarter of the ports, but never none.
            per_user: limit(TIGHT.per_user as usize, (self.count() / 4).max(1)),
            total: limit(TIGHT.total as usize, usize::MAX),
            failures_per_minute: if self.tight { TIGHT.failures } else { 60 },
            bandwidth: self.slow.map(|(one, _)| one),
            user_bandwidth: self.slow.map(|(_, user)| user),
            permissions: limit(TIGHT.permissions, 256),
            channels: limit(TIGHT.channels, 256),
            connections: limit(TIGHT.connections, 32),
            tcp: self.tcp,
            mobility: self.mobility,
            icmp_for_all: self.icmp_for_all,
            policy: self.policy(),
        }
    }

    /// The clients: user, 5-tuple and shard.
    pub(crate) fn people(&self) -> Vec<(&'static str, ClientTuple, usize)> {
        let last = usize::from(self.shards - 1);
        let v4 = |last: u8, port| SocketAddr::from(([100, 113, 0, last], port));
        let v6 = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0x77);
        let tunnelled = Ipv6Addr::new(0x2002, 0x6471, 0, 0, 0, 0, 0, 1);
        let tuple = |transport, client| ClientTuple {
            transport,
            client,
            server: LISTENER,
        };
        vec![
            ("alice", tuple(Transport::Udp, v4(1, 5000)), 0),
            ("alice", tuple(Transport::Udp, v4(2, 5000)), last),
            // Behind one NAT with the first.
            ("bob", tuple(Transport::Udp, v4(1, 5001)), last / 2),
            ("bob", tuple(Transport::Udp, (v6, 5000).into()), last),
            ("carol", tuple(Transport::Tcp, v4(1, 5000)), 0),
            ("carol", tuple(Transport::Tcp, v4(3, 5000)), last),
            ("alice", tuple(Transport::Udp, v4(4, 5000)), 0),
            // At the address of two peers.
            (
                "alice",
                tuple(Transport::Udp, ([9, 9, 0, 0], 5000).into()),
                0,
            ),
            // From a 6to4 tunnel.
            ("bob", tuple(Transport::Udp, (tunnelled, 5000).into()), 0),
            // A user that the server does not know.
            ("mallory", tuple(Transport::Udp, v4(5, 5000)), 0),
        ]
    }
}

const SHA256: [model::Sha256; 4] = [
    model::Sha256::Off,
    model::Sha256::Offer,
    model::Sha256::Offer,
    model::Sha256::Require,
];

/// Limits that a few clients reach.
struct Limits {
    per_user: u32,
    /// Failed proofs that one network is answered in a minute.
    failures: u32,
    total: u32,
    permissions: usize,
    channels: usize,
    connections: usize,
}

const TIGHT: Limits = Limits {
    per_user: 2,
    failures: 3,
    total: 4,
    permissions: 3,
    channels: 2,
    connections: 2,
};
