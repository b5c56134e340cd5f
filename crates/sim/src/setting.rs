//! The scene: addresses, users and a configuration to begin with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use relay::keys::TokenKeys;
use relay::policy::{Mode, Own, Policy};
use relay::{
    Allowance, Config, IcmpTold, Keys, Limits, PortRange, ProcessSecret, RelayAddress, Sha256,
};

use crate::minutes;

/// The realm of the server.
pub const REALM: &str = "example.org";
/// The name of the server to authorization servers. There are none at first.
pub const SERVER_NAME: &str = "turn.example.org";
/// Where clients send to.
pub const LISTENER: SocketAddr = SocketAddr::new(LOCAL, 3478);
/// The IPv4 address that relay sockets are bound to. Public: the policy denies documentation's.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 5));
/// The IPv6 address that relay sockets are bound to.
pub const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 5));
/// A public address for worlds where [`LOCAL`] stands behind a 1:1 NAT.
pub const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(193, 0, 14, 7));

/// The users that every world knows.
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The password of a user.
pub fn password(user: &str) -> String {
    format!("the password of {user}")
}

/// The configuration that [`crate::World::new`] begins with: the defaults of the core, both
/// families, no 1:1 NAT, and the users alice, bob and carol.
pub fn config() -> Config {
    let mut keys = Keys::new(REALM);
    for user in USERS {
        keys.add_user(user, &password(user))
            .expect("name and password are plain ASCII");
    }
    let ports = PortRange::new(49_152, 65_535).expect("the default range is one");
    let here = |local| RelayAddress {
        local,
        external: local,
    };
    Config {
        realms: keys.into(),
        tokens: TokenKeys::new(SERVER_NAME.to_owned()),
        sha256: Sha256::Off,
        secret: ProcessSecret([7; 32]),
        nonce_secret: None,
        nonce_lifetime: minutes(10),
        relays: vec![here(LOCAL), here(LOCAL_V6)],
        ports,
        policy: Policy::new(Mode::Closed, vec![], vec![], own(ports)),
        limits: Limits::default(),
        mobility: true,
        icmp: IcmpTold::Rfc8489,
        unauthenticated: Allowance::default(),
        redirects: vec![],
        nat_discovery: vec![],
    }
}

/// What the host is to its peers.
pub(crate) fn own(ports: PortRange) -> Own {
    Own {
        listeners: vec![LISTENER],
        addresses: vec![LOCAL, LOCAL_V6],
        relays: vec![LOCAL, LOCAL_V6, EXTERNAL],
        relay_ports: ports.first()..=ports.last(),
    }
}
