//! From answers to behaviours. A behaviour that the answers do not prove stays unknown.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Behaviour, DoubleNat, Findings, Lifetime, Mapping, Outcome, Ports, Unknown};
use crate::discovery::{Config, UNFRAGMENTED};
use crate::inquiry::{BindingAnswer, Reply};
use crate::notes::Notes;

impl Findings {
    pub(crate) fn conclude(
        config: &Config,
        local: SocketAddr,
        helper: Option<(SocketAddr, SocketAddr)>,
        notes: &Notes,
    ) -> Self {
        let first = notes.reached().next().map(|(_, answer)| answer);
        let mapping = mapping(config, local, helper, notes);
        let is_nat = mapping != Ok(Mapping::NoNat);
        let helper = helper.ok_or(match first {
            Some(_) => Unknown::NoDiscovery,
            None => Unknown::NoAnswer,
        });
        let largest = helper.and_then(|_| largest_payload(notes));
        let routers = notes.hops.iter();
        Self {
            local,
            servers: notes.reach.iter().flatten().map(outcome).collect(),
            mapped: first.map(|answer| answer.mapped),
            mapping,
            filtering: helper.and_then(|(server, _)| filtering(server, notes)),
            hairpinning: hairpinning(first.is_some(), is_nat, notes),
            ports: ports(first.is_some(), is_nat, notes),
            fragments: largest.map(|largest| largest > UNFRAGMENTED),
            largest_payload: largest,
            lifetime: match config.lifetime {
                Some(_) => helper.and_then(|_| lifetime(notes)),
                None => Err(Unknown::NotAsked),
            },
            double_nat: double_nat(local.ip(), first, notes),
            hops: routers
                .map(|(distance, router)| (*distance, *router))
                .collect(),
            strays: notes.stray.map(|from| (notes.strays, from)),
        }
    }
}

fn outcome(reply: &Reply) -> Outcome {
    match reply {
        Reply::Answered(answer) => Outcome::Answered {
            mapped: answer.mapped,
            round_trip: answer.took,
            behaviour_discovery: answer.other.is_some(),
        },
        Reply::Refused(code) => Outcome::Refused(*code),
        Reply::Senseless => Outcome::Senseless,
        Reply::Silent | Reply::Returned => Outcome::Silent,
    }
}

/// RFC 5780 §4.3; without a server that speaks it, by the mappings of one socket that several
/// servers saw.
fn mapping(
    config: &Config,
    local: SocketAddr,
    helper: Option<(SocketAddr, SocketAddr)>,
    notes: &Notes,
) -> Result<Mapping, Unknown> {
    let mut seen: Vec<(SocketAddr, SocketAddr)> = notes
        .reached()
        .map(|(server, answer)| (config.servers[server], answer.mapped))
        .collect();
    if seen.is_empty() {
        return Err(Unknown::NoAnswer);
    }
    if let Some((server, other)) = helper {
        let at = |reply: Option<Reply>| Some(reply?.answer()?.mapped);
        let other_address = SocketAddr::new(other.ip(), server.port());
        seen.extend(at(notes.map_address).map(|mapped| (other_address, mapped)));
        seen.extend(at(notes.map_port).map(|mapped| (other, mapped)));
    }
    if seen.iter().all(|(_, mapped)| *mapped == local) {
        return Ok(Mapping::NoNat);
    }
    dependence(&seen)
}

/// The mapping behaviour, by all pairs of a destination and the mapping that it saw.
fn dependence(seen: &[(SocketAddr, SocketAddr)]) -> Result<Mapping, Unknown> {
    let pairs = || {
        let each = seen.iter().enumerate();
        each.flat_map(|(index, one)| seen[index + 1..].iter().map(move |two| (one, two)))
    };
    let same_address = |(one, two): &(&(SocketAddr, _), &(SocketAddr, _))| one.0.ip() == two.0.ip();
    let differs = |(one, two): (&(_, SocketAddr), &(_, SocketAddr))| one.1 != two.1;
    let by_port = pairs().filter(same_address).any(differs);
    let by_address = pairs().filter(|pair| !same_address(pair)).any(differs);
    let saw_ports = pairs().any(|pair| same_address(&pair) && pair.0.0 != pair.1.0);
    let saw_addresses = pairs().any(|pair| !same_address(&pair));
    match (by_address, by_port) {
        (_, true) => Ok(Mapping::Nat(Behaviour::AddressAndPortDependent)),
        (true, false) if saw_ports => Ok(Mapping::Nat(Behaviour::AddressDependent)),
        (true, false) => Ok(Mapping::Dependent),
        (false, false) if saw_addresses => Ok(Mapping::Nat(Behaviour::EndpointIndependent)),
        (false, false) => Err(Unknown::OneServer),
    }
}

/// RFC 5780 §4.4. Silence means a filter only if the silent address answers a request of its own.
fn filtering(server: SocketAddr, notes: &Notes) -> Result<Behaviour, Unknown> {
    match notes.filter_both {
        Some(Reply::Answered(answer)) if answer.from.ip() == server.ip() => {
            return Err(Unknown::SameSource);
        }
        Some(Reply::Answered(_)) => return Ok(Behaviour::EndpointIndependent),
        Some(Reply::Refused(code)) => return Err(Unknown::Refused(code)),
        Some(Reply::Senseless) => return Err(Unknown::Senseless),
        Some(Reply::Silent | Reply::Returned) | None => {}
    }
    if notes.map_port.and_then(|reply| reply.answer()).is_none() {
        return Err(Unknown::DeadAlternate);
    }
    match notes.filter_port {
        Some(Reply::Answered(answer)) if answer.from == server => Err(Unknown::SameSource),
        Some(Reply::Answered(_)) => Ok(Behaviour::AddressDependent),
        Some(Reply::Refused(code)) => Err(Unknown::Refused(code)),
        Some(Reply::Senseless) => Err(Unknown::Senseless),
        Some(Reply::Silent | Reply::Returned) | None => {
            match notes.check_port.and_then(|reply| reply.answer()) {
                Some(_) => Ok(Behaviour::AddressAndPortDependent),
                None => Err(Unknown::DeadAlternate),
            }
        }
    }
}

fn hairpinning(is_reached: bool, is_nat: bool, notes: &Notes) -> Result<bool, Unknown> {
    match notes.hairpin {
        _ if !is_reached => Err(Unknown::NoAnswer),
        _ if !is_nat => Err(Unknown::NoNat),
        Some(Reply::Returned) => Ok(true),
        Some(Reply::Silent) => Ok(false),
        // Another host has our mapped address.
        Some(Reply::Answered(_) | Reply::Refused(_) | Reply::Senseless) => Err(Unknown::Senseless),
        None => Err(Unknown::NoAnswer),
    }
}

/// The ports of all sockets that were told their mapped address.
fn ports(is_reached: bool, is_nat: bool, notes: &Notes) -> Result<Ports, Unknown> {
    if !is_reached {
        return Err(Unknown::NoAnswer);
    }
    if !is_nat {
        return Err(Unknown::NoNat);
    }
    let mut ports = Ports::default();
    for (local, mapped) in notes.ports.values() {
        ports.seen += 1;
        ports.preserved += usize::from(local == mapped);
        ports.parity_kept += usize::from(local % 2 == mapped % 2);
    }
    Ok(ports)
}

fn largest_payload(notes: &Notes) -> Result<usize, Unknown> {
    let answered = |reply: &Reply| reply.answer().is_some();
    let mut padding = notes.padding.iter();
    if let Some((length, _)) = padding.rfind(|(_, reply)| answered(reply)) {
        return Ok(*length);
    }
    match notes.padding.values().next() {
        Some(Reply::Refused(code)) => Err(Unknown::Refused(*code)),
        Some(Reply::Senseless) => Err(Unknown::Senseless),
        Some(Reply::Silent | Reply::Returned | Reply::Answered(_)) | None => {
            Err(Unknown::NoPaddedAnswer)
        }
    }
}

fn lifetime(notes: &Notes) -> Result<Lifetime, Unknown> {
    match notes.no_lifetime {
        None => {}
        Some(Reply::Refused(code)) => return Err(Unknown::Refused(code)),
        Some(Reply::Answered(_)) => return Err(Unknown::SeveralAddresses),
        Some(Reply::Silent | Reply::Returned) => return Err(Unknown::NoAnswer),
        Some(Reply::Senseless) => return Err(Unknown::Senseless),
    }
    let died = notes.silences.iter().find(|(_, lived)| !**lived);
    let below = died.map(|(silence, _)| *silence);
    let survived = notes.silences.iter().filter(|(_, lived)| **lived);
    let shorter = survived.filter(|(silence, _)| below.is_none_or(|below| **silence < below));
    let at_least = shorter.map(|(silence, _)| *silence).max();
    Ok(Lifetime {
        at_least: at_least.unwrap_or(Duration::ZERO),
        below,
    })
}

/// The evidence for a second NAT. That there is none proves nothing.
fn double_nat(local: IpAddr, first: Option<BindingAnswer>, notes: &Notes) -> Option<DoubleNat> {
    let mapped = first?.mapped;
    if mapped.ip() == local {
        return None;
    }
    if is_behind_nat(mapped.ip()) {
        return Some(DoubleNat::PrivateMapping(mapped));
    }
    let mut beyond = notes.hops.iter().filter(|(distance, _)| **distance > 1);
    let carrier = beyond.find(|(_, router)| is_carrier(**router) && !is_carrier(local))?;
    Some(DoubleNat::CarrierRouter {
        distance: *carrier.0,
        address: *carrier.1,
    })
}

/// Addresses that no host on the Internet has: RFC 1918, RFC 6598, RFC 4193.
pub(crate) fn is_behind_nat(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || is_carrier(IpAddr::V4(ip)),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// 100.64.0.0/10. RFC 6598.
fn is_carrier(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64,
        IpAddr::V6(_) => false,
    }
}
