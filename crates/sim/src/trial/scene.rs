//! The scene of a trial: an operator's configuration, and the clients.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use relay::policy::{Mode, Own, Policy};
use relay::{
    AddressFamily, Allowance, ClientTuple, Config, IcmpTold, Keys, PortRange, RelayAddress,
    Transport,
};

use crate::choices::Choices;
use crate::model::{self, Terms};
use crate::{EXTERNAL, LISTENER, LOCAL, LOCAL_V6, REALM, World, password};

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
    /// Whether strangers use the amplification budget up.
    pub(crate) rationed: bool,
    /// Whether clients may move.
    mobility: bool,
    /// Whether old clients, too, are told of ICMP errors.
    icmp_for_all: bool,
    /// Whether packets are lost, late and doubled.
    pub(crate) rough: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Both,
    V4,
    V6,
}

impl Scene {
    pub(crate) fn choose(choices: &mut Choices<'_>) -> Self {
        let first = 50_000 + u16::from(choices.flag());
        let count = choices.pick(&[1, 3, 4, 8, 40]);
        Self {
            shards: choices.pick(&[1, 2, 2, 3]),
            remote: choices.rarely(4),
            sha256: choices.pick(&[
                model::Sha256::Off,
                model::Sha256::Offer,
                model::Sha256::Offer,
                model::Sha256::Require,
            ]),
            ports: (first, first + count),
            families: choices.weighted(&[
                (6, Families::Both),
                (1, Families::V4),
                (1, Families::V6),
            ]),
            nat: choices.rarely(3),
            tight: choices.flag(),
            rationed: choices.rarely(8),
            mobility: !choices.rarely(4),
            icmp_for_all: choices.rarely(3),
            rough: choices.flag(),
        }
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
        rules.sha256 = match self.sha256 {
            model::Sha256::Off => relay::Sha256::Off,
            model::Sha256::Offer => relay::Sha256::Offer,
            model::Sha256::Require => relay::Sha256::Require,
        };
        if self.remote {
            rules.realms = Keys::remote(REALM).into();
        }
        rules.mobility = self.mobility;
        if self.icmp_for_all {
            rules.icmp = IcmpTold::Always;
        }
        rules.policy = self.policy();
        if self.tight {
            rules.limits.per_user = Some(TIGHT.per_user);
            rules.limits.total = Some(TIGHT.total);
            rules.limits.permissions = TIGHT.permissions;
            rules.limits.channels = TIGHT.channels;
        }
        if !self.rationed {
            rules.unauthenticated = Allowance {
                per_prefix: None,
                total: None,
            };
        } else {
            rules.unauthenticated.per_prefix = std::num::NonZeroU64::new(100);
        }
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
        Policy::new(Mode::Closed, vec![], vec![], own)
    }

    /// The same for the model. Numbers that the scene does not change are the RFC's.
    pub(crate) fn terms(&self) -> Terms {
        let limit = |tight: usize, loose| if self.tight { tight } else { loose };
        Terms {
            realm: REALM.to_owned(),
            users: ["alice", "bob", "carol"]
                .map(|user| (user.to_owned(), password(user)))
                .into(),
            remote: self.remote,
            sha256: self.sha256,
            nonce_lifetime: 600,
            relays: self.relays().into_iter().collect(),
            ports: self.ports.0..=self.ports.1,
            max_lifetime: 3600,
            per_user: limit(TIGHT.per_user as usize, usize::MAX),
            total: limit(TIGHT.total as usize, usize::MAX),
            permissions: limit(TIGHT.permissions, 256),
            channels: limit(TIGHT.channels, 256),
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
            // From a 6to4 tunnel.
            ("bob", tuple(Transport::Udp, (tunnelled, 5000).into()), 0),
            // A user that the server does not know.
            ("mallory", tuple(Transport::Udp, v4(5, 5000)), 0),
        ]
    }
}

/// Limits that a few clients reach.
struct Limits {
    per_user: u32,
    total: u32,
    permissions: usize,
    channels: usize,
}

const TIGHT: Limits = Limits {
    per_user: 2,
    total: 4,
    permissions: 3,
    channels: 2,
};
