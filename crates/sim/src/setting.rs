//! The setting of a world: addresses, users and a configuration to begin with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use relay::keys::TokenKeys;
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Rules, Sha256};

use crate::minutes;

/// The realm of the server.
pub const REALM: &str = "example.org";
/// The name by which authorization servers know the server. There are none at first.
pub const SERVER_NAME: &str = "turn.example.org";
/// The address that clients send to.
pub const LISTENER: SocketAddr = SocketAddr::new(LOCAL, 3478);
/// The IPv4 address that relay sockets are bound to. Public: the policy denies documentation's.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 5));
/// The IPv6 address that relay sockets are bound to.
pub const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 5));
/// A public address for worlds where [`LOCAL`] stands behind a 1:1 NAT.
pub const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(193, 0, 14, 7));

/// The users that every world knows.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The password of a user.
pub fn password(user: &str) -> String {
    format!("the password of {user}")
}

/// The configuration that [`crate::World::new`] begins with: the defaults of the core, mobility,
/// both families, no 1:1 NAT, and the users alice, bob and carol.
pub fn config() -> Config {
    let mut keys = Keys::new(REALM);
    for user in USERS {
        keys.add_user(user, &password(user))
            .expect("name and password are plain ASCII");
    }
    let ports = ports();
    let here = |local| RelayAddress {
        local,
        external: local,
    };
    let mut rules = Rules::new(keys, policy());
    rules.tokens = TokenKeys::new(SERVER_NAME.to_owned());
    rules.sha256 = Sha256::Off;
    rules.mobility = true;
    // Short, so that it is met.
    rules.nonce_lifetime = minutes(10);
    let relays = vec![here(LOCAL), here(LOCAL_V6)];
    Config::new(ProcessSecret([7; 32]), relays, ports, rules)
}

fn ports() -> PortRange {
    PortRange::new(49_152, 65_535).expect("the default range is one")
}

/// The policy that [`crate::World::new`] begins with: closed.
pub fn policy() -> Policy {
    Policy::new(Mode::Closed, vec![], vec![], own_addresses())
}

/// The addresses and ports of the machine of [`crate::World::new`], as the policy sees them.
pub fn own_addresses() -> Own {
    own(ports())
}

/// The same with these ports of relayed transport addresses.
pub(crate) fn own(ports: PortRange) -> Own {
    Own {
        listeners: vec![LISTENER],
        addresses: vec![LOCAL.into(), LOCAL_V6.into()],
        relays: vec![LOCAL, LOCAL_V6, EXTERNAL],
        relay_ports: ports.first()..=ports.last(),
    }
}
