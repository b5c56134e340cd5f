//! Allocate. RFC 8656 §7.2; the checks are in its order.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use relay::{AddressFamily, ClientTuple, DropReason};
use wire::attributes::{
    AdditionalAddressFamily, DontFragment, DraftAdditionalAddressFamily, EvenPort, Lifetime,
    MobilityTicket, RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use wire::{Attribute, Message};

use super::credentials::Signer;
use super::expect::{Refusal, refuse};
use super::requests::{granted_lifetime, seconds};
use super::sockets::Parity;
use super::{Account, Allocation, Expect, Id, Model, Reply, Reserved, Terms, Token};

/// The state of one family that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The machine is still to be asked for a socket on such a port.
    ToAsk(Parity),
    /// The machine was asked.
    Asked(Parity, SocketAddr),
    /// There is a socket.
    Bound(Parity, SocketAddr),
    /// There is no socket for it.
    Refused(u16, &'static str),
}

impl Model {
    pub(super) fn allocate(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
        reply: Reply,
    ) -> Result<Expect, Refusal> {
        // Step 2, and the note on retransmissions.
        if let Some(existing) = self.of(from) {
            if (existing.head.transaction, &existing.user) != (reply.transaction, &signer.user) {
                return Err(refuse(437, "allocation-exists"));
            }
            if !existing.is_open() {
                return Ok(Expect::Lost(DropReason::AllocationOpening));
            }
            return Ok(Expect::Reply(existing.answer(&self.terms, from, reply)));
        }
        // §21.4: a packet could go back and forth between a tunnel's end and a relay.
        if is_tunnelled(from.client.ip()) {
            return Err(refuse(403, "tunnelled-client"));
        }
        // Step 3.
        let transport: Option<RequestedTransport> = message.get()?;
        match transport {
            None => return Err(refuse(400, "missing-attribute")),
            Some(RequestedTransport(17)) => {}
            Some(RequestedTransport(6)) => self.check_tcp(from, message)?,
            Some(_) => return Err(refuse(442, "unsupported-transport")),
        }
        // Step 4.
        if self.cannot_fragment(from, message)? {
            let unknown = vec![DontFragment::TYPE];
            return Err(Refusal {
                unknown,
                ..refuse(420, "unknown-attributes")
            });
        }
        let mobile = self.wants_ticket(message)?;
        let wanted = self.families(message)?;
        let lifetime: Option<Lifetime> = message.get()?;
        let lifetime = lifetime.map(|Lifetime(seconds)| seconds);
        let lifetime = granted_lifetime(lifetime, self.terms.max_lifetime);
        self.check_quota(&signer.user)?;
        let opening = self.find_ports(wanted, &signer.user)?;
        let passed = self.begin_passing(&signer.user);
        self.numbered += 1;
        let allocation = Allocation {
            client: from,
            is_lost: false,
            mobile,
            tcp: (transport == Some(RequestedTransport::TCP)).then(BTreeMap::new),
            user: signer.user.clone(),
            key: signer.key.clone(),
            head: reply,
            lifetime,
            opening,
            relays: BTreeMap::new(),
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            token: Token::Absent,
            address_error: None,
            born: self.now,
            opened_with: signer.nonce,
            knows_rfc8489: signer.knows_rfc8489,
            sends_empty: false,
            sent: (0, 0),
            received: (0, 0),
            passed,
        };
        self.allocations.insert(self.numbered, allocation);
        Ok(Expect::Later)
    }

    /// RFC 6062 §5.1.
    fn check_tcp(&self, from: ClientTuple, message: &Message<'_>) -> Result<(), Refusal> {
        if !self.terms.tcp {
            return Err(refuse(403, "tcp-forbidden"));
        }
        if !from.transport.is_stream() {
            return Err(refuse(400, "not-a-stream"));
        }
        let has = |kind: u16| message.attributes().any(|it| it.kind == kind);
        if has(DontFragment::TYPE) || has(EvenPort::TYPE) || has(ReservationToken::TYPE) {
            return Err(refuse(400, "not-for-tcp"));
        }
        if has(MobilityTicket::TYPE) {
            return Err(refuse(405, "tcp-cannot-move"));
        }
        Ok(())
    }

    /// Whether DONT-FRAGMENT is asked for where it cannot be done: sockets do not show whether DF
    /// was set in datagrams that they receive, and without that the attribute is unknown where IPv4
    /// is translated to IPv6 (§3.7).
    fn cannot_fragment(&self, from: ClientTuple, message: &Message<'_>) -> Result<bool, Refusal> {
        if message.get::<DontFragment>()?.is_none() {
            return Ok(false);
        }
        let v6 = Ok(AddressFamily::V6);
        let token: Option<ReservationToken> = message.get()?;
        let reserved = token.and_then(|token| self.reserved.get(&token));
        let wants_v6 = reserved.is_some_and(|kept| kept.local.is_ipv6())
            || message.get()? == Some(RequestedAddressFamily(v6))
            || message.get()? == Some(AdditionalAddressFamily(v6))
            || message.get()? == Some(DraftAdditionalAddressFamily(v6));
        Ok(wants_v6 && !from.transport.is_stream() && from.client.is_ipv4())
    }

    /// Steps 5 to 9: which attributes exclude each other, and which families are asked for.
    fn families(&self, message: &Message<'_>) -> Result<Asked, Refusal> {
        let token: Option<ReservationToken> = message.get()?;
        let even: Option<EvenPort> = message.get()?;
        let family: Option<RequestedAddressFamily> = message.get()?;
        let mut additional: Option<AdditionalAddressFamily> = message.get()?;
        if additional.is_none() {
            // Under the number of the drafts.
            let draft: Option<DraftAdditionalAddressFamily> = message.get()?;
            additional = draft.map(|draft| AdditionalAddressFamily(draft.0));
        }
        let contradiction = Err(refuse(400, "contradiction"));
        let parity = match even {
            None => Parity::Any,
            Some(even) if even.reserve_next => Parity::Pair,
            Some(_) => Parity::Even,
        };
        if let Some(token) = token {
            if even.is_some() || family.is_some() || additional.is_some() {
                return contradiction;
            }
            return Ok(Asked::Reserved(token));
        }
        if let Some(AdditionalAddressFamily(additional)) = additional {
            let excluded = family.is_some() || parity == Parity::Pair;
            if excluded || additional != Ok(AddressFamily::V6) {
                return contradiction;
            }
            return Ok(Asked::Both(parity));
        }
        let family = family.map_or(Ok(AddressFamily::V4), |RequestedAddressFamily(it)| it);
        match family {
            Ok(family) if self.terms.relays.contains_key(&family) => Ok(Asked::One(family, parity)),
            Ok(_) | Err(_) => Err(refuse(440, "unsupported-family")),
        }
    }

    /// Step 10.
    fn check_quota(&self, user: &Account) -> Result<(), Refusal> {
        let own = self.allocations.values().filter(|it| it.user == *user);
        if self.allocations.len() >= self.terms.total {
            return Err(refuse(508, "total-quota"));
        }
        if own.count() >= self.terms.per_user {
            return Err(refuse(486, "user-quota"));
        }
        Ok(())
    }

    /// Finds ports for the families that are asked for.
    fn find_ports(&mut self, asked: Asked, user: &Account) -> Result<Families, Refusal> {
        let find = |family| match self.terms.relays.get(&family) {
            None => Wanted::Refused(440, "unsupported-family"),
            Some(_) => Wanted::ToAsk(asked.parity()),
        };
        let mut wanted = match asked {
            Asked::One(family, _) => Families::from([(family, find(family))]),
            Asked::Both(_) => [AddressFamily::V4, AddressFamily::V6]
                .map(|family| (family, find(family)))
                .into(),
            Asked::Reserved(token) => {
                let kept = self
                    .reserved
                    .get(&token)
                    .filter(|kept| kept.account == *user);
                let Some(Reserved { local, .. }) = kept else {
                    return Err(refuse(508, "no-reservation"));
                };
                let wanted = (
                    AddressFamily::of(local.ip()),
                    Wanted::ToAsk(Parity::This(*local)),
                );
                self.reserved.remove(&token);
                Families::from([wanted])
            }
        };
        for (family, wanted) in &mut wanted {
            if let Wanted::ToAsk(parity) = *wanted
                && !self.has_port(*family, parity)
            {
                *wanted = Wanted::Refused(508, "no-port");
            }
        }
        match refusal(&wanted) {
            Some(refusal) => Err(refusal),
            None => Ok(wanted),
        }
    }

    /// Answers the client once the outcome of every socket is known.
    pub(super) fn answer_when_decided(&mut self, id: Id) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let undecided = |wanted: &Wanted| matches!(wanted, Wanted::ToAsk(_) | Wanted::Asked(..));
        if allocation.opening.values().any(undecided) {
            return;
        }
        let opening = std::mem::take(&mut allocation.opening);
        let reply = allocation.head.clone();
        if let Some(refusal) = refusal(&opening) {
            let client = allocation.client;
            self.allocations.remove(&id);
            self.answers.push((client, reply.refused(refusal)));
            return;
        }
        let until = self.now + seconds(allocation.lifetime);
        allocation.born = self.now;
        for (family, wanted) in opening {
            match wanted {
                Wanted::Bound(parity, local) => {
                    allocation.relays.insert(family, (local, until));
                    if parity == Parity::Pair {
                        allocation.token = Token::New;
                    }
                }
                Wanted::Refused(code, _) => allocation.address_error = Some((family, code)),
                Wanted::ToAsk(_) | Wanted::Asked(..) => {}
            }
        }
        let client = allocation.client;
        let reply = allocation.answer(&self.terms, client, reply);
        self.answers.push((client, reply));
    }

    /// Notes the token of a pair's second port: the port is reserved for it.
    pub(crate) fn heard_token(&mut self, client: ClientTuple, token: ReservationToken) {
        let now = self.now;
        let Some(allocation) = self.of_mut(client) else {
            return;
        };
        if allocation.token != Token::New {
            return;
        }
        allocation.token = Token::Known(token);
        let mut relays = allocation.relays.values();
        if let Some((local, _)) = relays.next() {
            let reserved = Reserved {
                local: SocketAddr::new(local.ip(), local.port() + 1),
                account: allocation.user.clone(),
                until: now + RESERVATION_LIFETIME,
            };
            self.reserved.insert(token, reserved);
        }
    }
}

impl Allocation {
    /// The success response, to a request from this 5-tuple.
    fn answer(&self, terms: &Terms, client: ClientTuple, mut reply: Reply) -> Reply {
        let relays = self.relays.values();
        reply.relayed = relays.map(|(local, _)| terms.outward(*local)).collect();
        reply.lifetime = Some(self.lifetime);
        reply.mapped = Some(client.client);
        reply.token = self.token;
        reply.address_error = self.address_error;
        reply.ticket = self.mobile.as_ref().map(|mobile| mobile.first.clone());
        reply
    }
}

type Families = BTreeMap<AddressFamily, Wanted>;

/// The relayed transport addresses that a request asks for.
#[derive(Clone, Copy)]
enum Asked {
    One(AddressFamily, Parity),
    Both(Parity),
    Reserved(ReservationToken),
}

impl Asked {
    const fn parity(self) -> Parity {
        match self {
            Self::One(_, parity) | Self::Both(parity) => parity,
            Self::Reserved(_) => Parity::Any,
        }
    }
}

/// The refusal if no family is available: that of IPv4 first.
fn refusal(wanted: &Families) -> Option<Refusal> {
    let mut first = None;
    for wanted in wanted.values() {
        match *wanted {
            Wanted::Refused(code, cause) => first = first.or(Some(refuse(code, cause))),
            Wanted::ToAsk(_) | Wanted::Asked(..) | Wanted::Bound(..) => return None,
        }
    }
    first
}

/// 6to4 (RFC 3056) and Teredo (RFC 4380), the only tunnels that clients of a trial come from.
pub(super) fn is_tunnelled(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => matches!(ip.segments(), [0x2002, ..] | [0x2001, 0, ..]),
    }
}

/// RFC 8656 §7.2: at least 30 seconds.
const RESERVATION_LIFETIME: std::time::Duration = seconds(30);
