//! Servers for the unit tests of this crate.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use relay::policy::{Mode, Network, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Rules, ShardId, Shared};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::listeners::{Listener, Listeners};
use crate::published::Published;
use crate::shard::Blueprint;
use crate::{Offload, SOCKET_BUFFER, StreamLimits, WebOptions, inbox};

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A request of 20 bytes that everybody is answered.
pub(crate) const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42twelve bytes";

/// A server without users, at these relay addresses.
pub(crate) fn config(relays: Vec<RelayAddress>) -> Config {
    let ports = PortRange::new(20_000, 20_999).unwrap();
    Config::new(ProcessSecret([7; 32]), relays, ports, rules("hairpin.test"))
}

pub(crate) fn rules(realm: &str) -> Rules {
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: vec![],
        relay_ports: 20_000..=20_999,
    };
    let policy = Policy::new(Mode::Closed, vec![], vec![], own);
    Rules::new(Keys::new(realm), policy)
}

/// Rules by which `alice` relays to peers of these networks, at [`LOCAL`] and these ports.
pub(crate) fn alices_rules(ports: PortRange, peers: Vec<Network>) -> Rules {
    let mut keys = Keys::new("hairpin.test");
    keys.add_user("alice", "wonderland").unwrap();
    let own = Own {
        listeners: vec![],
        addresses: vec![LOCAL.into()],
        relays: vec![LOCAL],
        relay_ports: ports.first()..=ports.last(),
    };
    Rules::new(keys, Policy::new(Mode::Closed, peers, vec![], own))
}

/// A server with these rules, whose only relay address is [`LOCAL`].
pub(crate) fn relaying_at_local(ports: PortRange, rules: Rules) -> Config {
    let relay = RelayAddress {
        local: LOCAL,
        external: LOCAL,
    };
    Config::new(ProcessSecret([7; 32]), vec![relay], ports, rules)
}

/// The parts of the only shard of a server with these listeners and nothing else.
pub(crate) fn blueprint(listeners: Vec<Listener>, config: Config) -> Blueprint {
    let (post, mut inboxes) = inbox::open(1);
    let admission = || Arc::new(Admission::new(&StreamLimits::default()));
    Blueprint {
        number: ShardId(0),
        post,
        inbox: Arc::new(inboxes.remove(0)),
        listeners: Arc::new(Listeners::new(listeners, 1, Offload::Auto.find())),
        partners: Arc::default(),
        together: Offload::Auto.find(),
        relay_buffer: Arc::new(SOCKET_BUFFER.into()),
        rules: watch::channel(Arc::clone(&config.rules)).1,
        shared: Arc::new(Shared::new(&config)),
        config: Arc::new(config),
        streams: StreamLimits::default(),
        admission: admission(),
        tls: None,
        proxies: Arc::default(),
        web: WebOptions::default(),
        browsers: None,
        flows: admission(),
        report: Arc::new(|_| ()),
        keys: None,
        stop: watch::channel(false).1,
        published: Arc::new(Published::new()),
        heartbeat: Arc::default(),
        ready: std::sync::mpsc::channel().0,
    }
}
