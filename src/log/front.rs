//! Whether something in front of the server hides its clients: a bridge of containers, or a load
//! balancer. Then every client is told an address at which no peer finds it, and limits per network
//! count all clients together.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use relay::policy::block;
use tracing::warn;

use crate::config::{Config, Machine};

/// Watches from where allocations are opened, and warns once.
pub(super) struct Front {
    /// The addresses through which this host sends to others.
    gateways: Vec<IpAddr>,
    /// The addresses of this host, from which it is only examined.
    own: Vec<IpAddr>,
    /// `None` where there is nothing to warn of, for now or any more.
    seen: Mutex<Option<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Allocations from a gateway.
    from_gateway: u32,
    /// The only other address from which allocations came, and how many; `None` if there were two.
    sole: Option<(Option<IpAddr>, u32)>,
}

/// The host that hides clients.
#[derive(Debug, PartialEq, Eq)]
enum Hidden {
    BehindGateway(IpAddr),
    BehindOne(IpAddr),
}

impl Front {
    /// A server that relays from no public address is in a network of its own, as its clients are.
    pub(super) fn of(config: &Config, host: &Machine) -> Self {
        let mut relays = config.relay.addresses.iter();
        let is_public = relays.any(|relay| block(relay.external).is_none());
        let seen = || Seen {
            sole: Some((None, 0)),
            ..Seen::default()
        };
        Self {
            gateways: host.gateways.clone(),
            own: host.addresses.clone(),
            seen: Mutex::new(is_public.then(seen)),
        }
    }

    /// An allocation was opened from this address, which is a client's own where none is hidden.
    pub(super) fn opened(&self, client: IpAddr, may_show: bool) {
        let (address, words) = match self.hidden(client.to_canonical()) {
            Some(Hidden::BehindGateway(gateway)) => (Some(gateway), "the gateway of this host"),
            Some(Hidden::BehindOne(client)) => (may_show.then_some(client), "one private address"),
            None => return,
        };
        warn!(
            address = address.map(display),
            "clients.hidden: many clients come from {words}, as behind a bridge of containers or \
             a load balancer: peers cannot reach them at the address that STUN tells them, and \
             limits count them as one network. Run the server in the network of its host (docker run \
             --network host), or in front of the balancer"
        );
    }

    fn hidden(&self, client: IpAddr) -> Option<Hidden> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = seen.as_mut()?;
        let is_loopback = client.is_loopback();
        if self.own.contains(&client) && !is_loopback {
            return None;
        }
        let mut hidden = None;
        if self.gateways.contains(&client) {
            watched.from_gateway += 1;
            hidden = (watched.from_gateway >= MANY).then_some(Hidden::BehindGateway(client));
        } else if let Some((sole, count)) = &mut watched.sole {
            let is_same = *sole.get_or_insert(client) == client;
            if is_same && block(client).is_some() {
                *count += 1;
                hidden = (*count >= MANY).then_some(Hidden::BehindOne(client));
            } else {
                watched.sole = None;
            }
        }
        let is_over = watched.sole.is_none() && self.gateways.is_empty();
        if hidden.is_some() || is_over {
            *seen = None;
        }
        hidden
    }
}

/// So many allocations are no longer one person who tries the server from nearby, nor the doctor.
const MANY: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use relay::RelayAddress;

    /// The answers of a host with a public address to allocations from these addresses.
    fn told(relay: &str, clients: &[(&str, u32)]) -> Vec<Hidden> {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let host = Machine {
            gateways: vec![ip("172.17.0.1")],
            addresses: vec![ip("127.0.0.1"), ip("172.17.0.2")],
            ..Machine::anywhere()
        };
        let mut config = Config::defaults(&host);
        config.relay.addresses = vec![RelayAddress {
            local: ip("172.17.0.2"),
            external: ip(relay),
        }];
        let front = Front::of(&config, &host);
        let all = clients
            .iter()
            .flat_map(|&(client, count)| (0..count).map(move |_| ip(client)));
        all.filter_map(|client| front.hidden(client)).collect()
    }

    #[test]
    fn clients_from_the_gateway_or_from_one_private_address_are_warned_of_once() {
        let gateway = || Hidden::BehindGateway("172.17.0.1".parse().unwrap());
        assert_eq!(told("9.9.9.9", &[("172.17.0.1", 500)]), [gateway()]);
        // A proxy of Docker hides the clients of one family only.
        let others = [("8.8.8.8", 40), ("8.8.4.4", 1), ("172.17.0.1", 40)];
        assert_eq!(told("9.9.9.9", &others), [gateway()]);
        for balancer in ["10.0.0.9", "127.0.0.1", "100.64.0.1", "fd00::9"] {
            let one = Hidden::BehindOne(balancer.parse().unwrap());
            assert_eq!(told("9.9.9.9", &[(balancer, 500)]), [one]);
        }
    }

    #[test]
    fn few_clients_nearby_several_addresses_and_a_server_of_its_own_network_are_no_front() {
        for clients in [
            &[("10.0.0.9", 31)][..],
            &[("10.0.0.9", 20), ("10.0.0.8", 500)],
            &[("8.8.8.8", 1), ("10.0.0.9", 500)],
            &[("10.0.0.9", 1), ("8.8.8.8", 1), ("10.0.0.9", 500)],
            &[("8.8.8.8", 500)],
            &[("172.17.0.2", 500)],
            &[("172.17.0.1", 31)],
        ] {
            assert_eq!(told("9.9.9.9", clients), [], "{clients:?}");
        }
        assert_eq!(told("10.0.0.7", &[("10.0.0.9", 500)]), []);
    }
}
