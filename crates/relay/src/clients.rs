//! Which clients are served: by the networks that the operator names, and by what they failed to
//! prove.
//!
//! A request from elsewhere is dropped before it is read: silence costs least and tells a scanner
//! nothing. Data is not judged packet by packet. It needs an allocation, which a denied client cannot
//! open, and which ends when new rules deny its client.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use wire::attributes::MobilityTicket;
use wire::{Message, Method};

use crate::{
    AllocationId, ClientTuple, ConnectionId, DropReason, Effect, EndCause, Report, Server,
};

/// The rules on who is served. By default everybody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Clients in these networks only, unless it is empty.
    pub allow: Networks,
    /// None in these, allowed or not.
    pub deny: Networks,
    /// Whether those that keep failing are banned for a time.
    pub ban: Option<BanRule>,
}

/// When a source prefix is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanRule {
    /// After so many failed proofs of identity from addresses that were shown to be the senders' own.
    pub after: NonZeroU32,
    /// Within this time from the first of them.
    pub within: Duration,
    /// For so long.
    pub lasts: Duration,
}

impl Clients {
    /// Whether an address may be served, by the networks.
    pub fn admit(&self, ip: IpAddr) -> bool {
        (self.allow.is_empty() || self.allow.has(ip)) && !self.deny.has(ip)
    }

    fn are_limited(&self) -> bool {
        !(self.allow.is_empty() && self.deny.is_empty())
    }
}

/// Networks that do not overlap, in order: a list of ten thousand costs a request some 14
/// comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address lies in one of them. An IPv4-mapped address is the IPv4 address in it.
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let behind = self.0.partition_point(|network| network.network() <= ip);
        let last = behind.checked_sub(1).and_then(|at| self.0.get(at));
        last.is_some_and(|network| network.contains(&ip))
    }

    /// All of them; those that lay within others, or beside each other, are one.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().copied()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        let mut merged = IpNet::aggregate(&networks.into_iter().collect());
        merged.sort_unstable_by_key(IpNet::network);
        Self(merged)
    }
}

impl Server {
    /// Whether the host of a connection, or of a handshake, that begins is turned away before a byte
    /// of it is read; it is counted then. While there are allocations whose clients may come by
    /// another connection, only the requests on that of a banned host tell whether it is one of them.
    pub fn turns_away(&mut self, now: Instant, host: IpAddr) -> bool {
        let denied = self.denied(host);
        let banned = || self.banned(now, host).filter(|_| !self.may_return());
        let why = denied.or_else(banned);
        if let Some(why) = why {
            self.counters.count_drop(why);
            self.tell_of_denied(now, host, why);
        }
        why.is_some()
    }

    /// Has the operator hear of a client that is denied: of one in a second, whatever a flood does.
    #[cold]
    pub(crate) fn tell_of_denied(&mut self, now: Instant, client: IpAddr, why: DropReason) {
        if why == DropReason::ClientDenied && self.denied_quiet.is_none_or(|until| now >= until) {
            self.denied_quiet = Some(now + DENIED_QUIET);
            let report = Report::Denied { client };
            self.effects.push(Effect::Report(report));
        }
    }

    /// Why a request of this client is not answered, if so. A client with an allocation is served to
    /// the end of it, whatever its neighbours do.
    #[inline]
    pub(crate) fn turned_away(
        &self,
        now: Instant,
        client: ClientTuple,
        request: &[u8],
    ) -> Option<DropReason> {
        let ip = client.client.ip();
        self.denied(ip).or_else(|| {
            let is_served = || self.allocations.of(client).is_some() || self.goes_on(request);
            self.banned(now, ip).filter(|_| !is_served())
        })
    }

    /// Whether a request belongs to an allocation that there is, though it comes from elsewhere: it
    /// binds a connection that waits (RFC 6062 §5.4), or shows a ticket (RFC 8016 §3.2.2). Neither
    /// can be guessed, so that a guesser of passwords gains nothing by them.
    fn goes_on(&self, request: &[u8]) -> bool {
        let Ok(message) = Message::parse(request) else {
            return false;
        };
        if message.method() == Method::ConnectionBind {
            let connection = message.get::<ConnectionId>().ok().flatten();
            return connection.is_some_and(|id| self.shared.connections.waits(id));
        }
        let shown = message.get::<MobilityTicket<'_>>().ok().flatten();
        let ticket = shown
            .filter(|_| message.method() == Method::Refresh)
            .and_then(|MobilityTicket(ticket)| self.tickets.open(ticket));
        ticket.is_some_and(|ticket| self.shared.whereabouts.find(ticket.number).is_some())
    }

    /// Whether there is an allocation of which such a request may come.
    fn may_return(&self) -> bool {
        self.shared.connections.count() > 0 || self.shared.whereabouts.count() > 0
    }

    fn denied(&self, ip: IpAddr) -> Option<DropReason> {
        (!self.rules.clients.admit(ip)).then_some(DropReason::ClientDenied)
    }

    fn banned(&self, now: Instant, ip: IpAddr) -> Option<DropReason> {
        let is_banned = self.shared.bans.has(now, ip);
        is_banned.then_some(DropReason::ClientBanned)
    }

    /// Ends the allocations of all clients that the rules deny by now, also where a client is on its
    /// way to a denied address.
    pub(crate) fn end_denied(&mut self, now: Instant) {
        if self.rules.clients.are_limited() {
            let ids: Vec<AllocationId> = self.allocations.ids().collect();
            for id in ids {
                self.judge_client_of(now, id);
            }
        }
    }

    /// Ends an allocation if its client is denied.
    pub(crate) fn judge_client_of(&mut self, now: Instant, id: AllocationId) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let next = allocation.next().map(|path| path.client);
        let mut clients = [Some(allocation.seen_at()), next].into_iter().flatten();
        if clients.any(|client| self.denied(client.client.ip()).is_some()) {
            self.remove_allocation(now, id, EndCause::ClientDenied);
        }
    }
}

/// After the report of a client that is denied there is none of others for so long.
const DENIED_QUIET: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(all: &[&str]) -> Networks {
        all.iter()
            .map(|network| network.parse::<IpNet>().unwrap())
            .collect()
    }

    #[test]
    fn an_address_is_found_in_the_network_that_has_it() {
        let all = networks(&[
            "2001:db8::/32",
            "198.51.100.128/25",
            "192.0.2.0/24",
            "192.0.2.64/26",
            "203.0.113.7/32",
        ]);
        for (ip, is_in) in [
            ("192.0.2.0", true),
            ("192.0.2.200", true),
            ("::ffff:192.0.2.200", true),
            ("192.0.3.0", false),
            ("192.0.1.255", false),
            ("198.51.100.127", false),
            ("198.51.100.128", true),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("::", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(all.has(ip.parse().unwrap()), is_in, "{ip}");
        }
        assert_eq!(all.iter().count(), 4);
        assert!(!Networks::default().has("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn deny_is_stronger_than_allow_and_no_allow_is_everybody() {
        let mut clients = Clients {
            deny: networks(&["192.0.2.0/25"]),
            ..Clients::default()
        };
        let admits = |clients: &Clients, ip: &str| clients.admit(ip.parse().unwrap());
        assert!(admits(&clients, "198.51.100.1") && !admits(&clients, "192.0.2.1"));
        clients.allow = networks(&["192.0.2.0/24"]);
        assert!(!admits(&clients, "198.51.100.1"));
        assert!(!admits(&clients, "192.0.2.1"));
        assert!(admits(&clients, "192.0.2.129"));
    }
}
