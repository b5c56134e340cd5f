//! From a URI to transport addresses. RFC 8489 §8, RFC 5928.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use crate::escape::escaped;
use crate::uri::{Service, Transport, Uri, UriHost};

/// The resolvers of this host.
#[derive(Debug)]
pub struct Resolver {
    /// The names of /etc/hosts.
    hosts: Hosts,
    dns: Option<TokioResolver>,
}

/// A server of a URI: address and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Its transport.
    pub transport: Transport,
}

/// Why a URI has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The host names no resolver.
    #[error("this host has no DNS resolver configured, so names cannot be looked up")]
    NoResolver,
    /// There is no such name, or it has no address.
    #[error("the name {0} has no address in DNS")]
    NoAddress(String),
    /// DNS did not answer in time.
    #[error("DNS does not answer within {} seconds, so {name} cannot be looked up", LIMIT.as_secs())]
    Silent {
        /// The name that was looked up.
        name: String,
    },
    /// DNS answered with a failure, or cannot be reached.
    #[error("cannot look up {name}: {why}")]
    Failed {
        /// The name that was looked up.
        name: String,
        /// The resolver's error.
        why: String,
    },
}

impl Resolver {
    /// /etc/hosts, and the resolvers that the host is configured with.
    pub fn of_host() -> Self {
        let builder = TokioResolver::builder_tokio().ok();
        let dns = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = TIMEOUT;
            options.attempts = 2;
            builder.build().ok()
        });
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            dns,
        }
    }

    /// The servers of a URI, the preferred ones first and only a few, since otherwise the author of
    /// the records decides how many hosts are asked. `transport` is what the caller wants where the
    /// URI leaves it open.
    ///
    /// # Errors
    /// [`Unresolved`], if there are none.
    pub async fn resolve(
        &self,
        uri: &Uri,
        transport: Transport,
    ) -> Result<Vec<Target>, Unresolved> {
        let transport = uri.transport.unwrap_or(transport);
        let at = |ip, port| Target {
            address: SocketAddr::new(ip, port),
            transport,
        };
        let name = match &uri.host {
            UriHost::Address(ip) => return Ok(vec![at(*ip, uri.port_or_default())]),
            UriHost::Name(name) => name,
        };
        // DNS is not asked for a name that /etc/hosts has, as other programs do not: its resolvers may be
        // silent, and each record that they are asked for costs the time until that is clear.
        let written = addresses_in(&self.hosts, name);
        if !written.is_empty() {
            let port = uri.port_or_default();
            return Ok(few(written.into_iter().map(|ip| at(ip, port)).collect()));
        }
        let resolver = self.dns.as_ref().ok_or(Unresolved::NoResolver)?;
        let located = async {
            // A port in the URI means that very host. RFC 8489 §8, RFC 5928 §3.
            let services = match uri.port {
                Some(_) => vec![],
                None => services(resolver, uri, name, transport).await,
            };
            let mut targets = Vec::new();
            for service in services.into_iter().take(MANY) {
                let found = addresses(resolver, &service.name).await.unwrap_or_default();
                targets.extend(found.into_iter().map(|ip| Target {
                    address: SocketAddr::new(ip, service.port),
                    transport: service.transport,
                }));
            }
            targets
        };
        // Both at once, so that resolvers that are silent about one kind of record cost it alone.
        let (targets, found) = tokio::join!(
            tokio::time::timeout(LIMIT, located),
            tokio::time::timeout(LIMIT, addresses(resolver, name)),
        );
        let mut targets = targets.unwrap_or_default();
        if targets.is_empty() {
            let found = found.map_err(|_| Unresolved::Silent { name: name.clone() })??;
            let port = uri.port_or_default();
            targets = found.into_iter().map(|ip| at(ip, port)).collect();
        }
        Ok(few(targets))
    }
}

/// Only as many of each address family and transport as are of use.
fn few(mut targets: Vec<Target>) -> Vec<Target> {
    let mut left = [[MANY; 2]; 2];
    targets.retain(|target| {
        let is_tcp = target.transport == Transport::Tcp;
        let left = &mut left[usize::from(target.address.is_ipv6())][usize::from(is_tcp)];
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    });
    targets
}

/// A host and port that DNS names for a service.
struct Named {
    name: String,
    port: u16,
    transport: Transport,
}

/// The servers in NAPTR and SRV records, the preferred first. If there are no records the name
/// itself is the last resort.
async fn services(
    resolver: &TokioResolver,
    uri: &Uri,
    name: &str,
    transport: Transport,
) -> Vec<Named> {
    let mut services = Vec::new();
    if uri.service == Service::Turn && uri.transport.is_none() {
        services = pointers(resolver, uri, name).await;
    }
    if services.is_empty() {
        for &transport in transports(uri, transport) {
            for service in service_names(uri, transport) {
                services.extend(located(resolver, &format!("{service}.{name}"), transport).await);
            }
        }
    }
    services
}

/// The transports to ask DNS for: a TURN URI that names none leaves the choice to the records.
/// RFC 5928 §3.
fn transports(uri: &Uri, usual: Transport) -> &'static [Transport] {
    match (uri.service, uri.transport, uri.is_secure, usual) {
        (Service::Turn, None, false, _) => &[Transport::Udp, Transport::Tcp],
        (Service::Turn, None, true, _) => &[Transport::Tcp, Transport::Udp],
        (Service::Turn, Some(_), _, Transport::Udp) | (Service::Stun, _, _, Transport::Udp) => {
            &[Transport::Udp]
        }
        (Service::Turn, Some(_), _, Transport::Tcp) | (Service::Stun, _, _, Transport::Tcp) => {
            &[Transport::Tcp]
        }
    }
}

/// The SRV services of a URI. RFC 8489 §8, RFC 5780 §5.1, RFC 5928 §5.
fn service_names(uri: &Uri, transport: Transport) -> &'static [&'static str] {
    match (uri.service, uri.is_secure, transport) {
        (Service::Stun, false, Transport::Udp) => &["_stun-behavior._udp", "_stun._udp"],
        (Service::Stun, false, Transport::Tcp) => &["_stun-behavior._tcp", "_stun._tcp"],
        (Service::Stun, true, Transport::Udp) => &["_stuns._udp"],
        (Service::Stun, true, Transport::Tcp) => &["_stun-behaviors._tcp", "_stuns._tcp"],
        (Service::Turn, false, Transport::Udp) => &["_turn._udp"],
        (Service::Turn, false, Transport::Tcp) => &["_turn._tcp"],
        (Service::Turn, true, Transport::Udp) => &["_turns._udp"],
        (Service::Turn, true, Transport::Tcp) => &["_turns._tcp"],
    }
}

/// SRV records, by priority, and within one at random. RFC 2782.
async fn located(resolver: &TokioResolver, service: &str, transport: Transport) -> Vec<Named> {
    let Ok(answer) = resolver.srv_lookup(service).await else {
        return vec![];
    };
    let mut records = Vec::new();
    for record in answer.answers() {
        if let RData::SRV(record) = &record.data {
            records.push(record);
        }
    }
    records.sort_by_cached_key(|record| (record.priority, turn(record.weight, rand::random())));
    // "." means that the service does not exist there.
    records.retain(|record| !record.target.is_root());
    let named = |record: &&hickory_resolver::proto::rr::rdata::SRV| Named {
        name: record.target.to_ascii(),
        port: record.port,
        transport,
    };
    records.iter().map(named).collect()
}

/// Sorts records of one priority so that each comes first in proportion to its weight: the times of
/// arrival of processes with these rates. `chance` is from 0 to 1.
fn turn(weight: u16, chance: f64) -> u64 {
    // Records of weight 0 are hardly ever to come before others.
    let rate = f64::from(weight).max(0.01);
    (-(1.0 - chance).ln() / rate * 1e12) as u64
}

/// NAPTR records of the relay service, each followed to its end. RFC 5928 §3.
async fn pointers(resolver: &TokioResolver, uri: &Uri, name: &str) -> Vec<Named> {
    let Ok(answer) = resolver.lookup(name, RecordType::NAPTR).await else {
        return vec![];
    };
    let mut records = Vec::new();
    for record in answer.answers() {
        if let RData::NAPTR(record) = &record.data {
            records.push(record);
        }
    }
    records.sort_by_key(|record| (record.order, record.preference));
    let mut named = Vec::new();
    let mut relays: Vec<_> = records
        .into_iter()
        .map(|record| {
            let services = String::from_utf8_lossy(&record.services);
            (record, services.to_ascii_lowercase())
        })
        .filter(|(_, services)| services.split(':').next() == Some("relay"))
        .collect();
    relays.truncate(MANY);
    for (record, services) in relays {
        let transports = services.split(':').skip(1);
        let transports = transports.filter_map(|part| protocol(part, uri.is_secure));
        for transport in transports.take(MANY) {
            let target = record.replacement.to_ascii();
            match &record.flags[..] {
                b"s" | b"S" => named.extend(located(resolver, &target, transport).await),
                b"a" | b"A" => named.push(Named {
                    name: target,
                    port: uri.port_or_default(),
                    transport,
                }),
                // Another NAPTR could be followed without end.
                _ => {}
            }
        }
    }
    named
}

/// RFC 5928 §6: the application protocol tags of the relay service.
fn protocol(tag: &str, is_secure: bool) -> Option<Transport> {
    match (tag, is_secure) {
        ("turn.udp", false) => Some(Transport::Udp),
        ("turn.tcp", false) | ("turn.tls", true) => Some(Transport::Tcp),
        ("turn.dtls", true) => Some(Transport::Udp),
        _ => None,
    }
}

/// The addresses that a file of hosts has for a name, those of IPv4 first as DNS gives them.
fn addresses_in(hosts: &Hosts, name: &str) -> Vec<IpAddr> {
    let Ok(name) = name.parse::<Name>() else {
        return vec![];
    };
    let kinds = [RecordType::A, RecordType::AAAA];
    let found = kinds.map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    let found: Vec<_> = found.into_iter().flatten().collect();
    let records = found.iter().flat_map(|found| found.answers());
    records.filter_map(|record| record.data.ip_addr()).collect()
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
            Err(Unresolved::NoAddress(name.to_owned()))
        }
        Err(error) => Err(Unresolved::Failed {
            name: name.to_owned(),
            why: escaped(&error.to_string()),
        }),
    }
}

/// The longest time of all lookups for one URI.
const LIMIT: Duration = Duration::from_secs(5);

/// For each of two tries.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Records of a kind that are followed, and addresses of a family that are asked.
const MANY: usize = 8;

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha12Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn who_names_a_thousand_addresses_has_a_few_of_each_kind_asked() {
        let target = |ip: IpAddr, transport| Target {
            address: SocketAddr::new(ip, 3478),
            transport,
        };
        let each = [Transport::Udp, Transport::Tcp].map(|transport| {
            let v4 = (0..1_000u32).map(|number| target(IpAddr::V4(number.into()), transport));
            let v6 = (0..1_000u128).map(|number| target(IpAddr::V6(number.into()), transport));
            [v4.collect::<Vec<_>>(), v6.collect()].concat()
        });
        let all = each.concat();
        let preferred: Vec<_> = all.chunks(1_000).flat_map(|kind| &kind[..MANY]).collect();
        let asked = few(all.clone());
        assert_eq!(asked.iter().collect::<Vec<_>>(), preferred);
        assert_eq!(few(asked.clone()), asked);
    }

    #[test]
    fn a_file_of_hosts_gives_the_addresses_of_both_families_in_any_spelling_of_the_name() {
        let mut hosts = Hosts::default();
        let text = "127.0.0.1 localhost\n2001:db8::7 turn.example.org\n192.0.2.7 turn.example.org turn # x\n";
        hosts.read_hosts_conf(text.as_bytes()).unwrap();
        let both: Vec<IpAddr> = ["192.0.2.7", "2001:db8::7"]
            .map(|ip| ip.parse().unwrap())
            .into();
        for name in ["turn.example.org", "turn.example.org.", "TURN.Example.org"] {
            assert_eq!(addresses_in(&hosts, name), both, "{name}");
        }
        assert_eq!(addresses_in(&hosts, "turn"), both[..1]);
        assert!(addresses_in(&hosts, "stun.example.org").is_empty());
        assert!(addresses_in(&hosts, "").is_empty());
    }

    #[test]
    fn of_two_records_the_heavier_comes_first_as_often_as_its_weight_says() {
        let mut rng = ChaCha12Rng::from_seed([5; 32]);
        let mut first = |heavy, light| {
            let draws = (0..10_000).filter(|_| {
                let (one, two) = (rng.random(), rng.random());
                turn(heavy, one) < turn(light, two)
            });
            draws.count()
        };
        assert!((8_800..9_200).contains(&first(90, 10)));
        assert!((4_800..5_200).contains(&first(7, 7)));
        assert!(first(10, 0) > 9_900);
        assert!((4_800..5_200).contains(&first(0, 0)));
    }
}
