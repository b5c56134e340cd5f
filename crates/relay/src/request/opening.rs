//! The second half of Allocate: the sockets are opened, and only then the client is answered.
//! RFC 8656 §7.2, §7.3.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use wire::AddressFamily;
use wire::attributes::ReservationToken;

use super::allocate::take_port;
use super::try_alternate::rather_than_give_up;
use super::{Head, Outcome, Whose, report_refused};
use crate::allocation::{Allocation, NoRelay, Phase, RefusedFamily, Relay, RelaySocket};
use crate::effects::Effects;
use crate::mobility::{Mobile, Ticket, Tickets};
use crate::ports::Home;
use crate::timers::{FOREIGN_PORT, Timer};
use crate::{AllocationId, Effect, Families, OpenError, RelayAddress, RelayId, Report, Server};

/// Asks the shard for the sockets of an allocation.
pub(super) fn ask_for_all(server: &mut Server, id: AllocationId) {
    let Some(allocation) = server.allocations.get(id) else {
        return;
    };
    for relay in allocation.relays.iter() {
        ask_for(
            &mut server.effects,
            allocation.relay_id(relay.family()),
            relay,
            allocation.tcp.is_some(),
        );
    }
}

fn ask_for(effects: &mut Effects, id: RelayId, relay: &Relay, is_tcp: bool) {
    effects.push(request_for(id, relay, is_tcp));
}

/// The effect that asks for a socket.
pub(crate) const fn request_for(id: RelayId, relay: &Relay, is_tcp: bool) -> Effect {
    let (relay, local) = (id, relay.local);
    if is_tcp {
        Effect::OpenTcpRelay { relay, local }
    } else {
        Effect::OpenRelay { relay, local }
    }
}

/// Notes that a socket is bound.
pub(crate) fn opened(server: &mut Server, now: Instant, id: RelayId) {
    let Some(relay) = server.allocations.relay_mut(id) else {
        // The allocation ended while its socket was being opened.
        return server.effects.push(Effect::CloseRelay { relay: id });
    };
    relay.socket = RelaySocket::Bound;
    let local = relay.local;
    server.note_open(id, local);
    answer_if_decided(server, now, id.allocation);
}

impl Server {
    /// Notes that the port of a relay socket is bound.
    pub(crate) fn note_open(&self, id: RelayId, local: SocketAddr) {
        let ports = &self.shared.ports;
        let allocation = self.allocations.get(id.allocation);
        if allocation.is_some_and(|it| it.tcp.is_some()) {
            ports.listens(local.ip(), local.port());
        } else {
            ports.opened(local, Home::At(self.shard, id.allocation.slot));
        }
    }
}

/// Handles a socket that could not be bound: tries another port, or refuses this family.
pub(crate) fn not_opened(server: &mut Server, now: Instant, id: RelayId, why: OpenError) {
    let Some(&relay) = server.allocations.relay(id) else {
        return;
    };
    let RelaySocket::AskedFor { tries } = relay.socket else {
        return;
    };
    let ports = &server.shared.ports;
    if let Some(next) = relay.next() {
        ports.release(next.local.ip(), next.local.port());
    }
    let (ip, port) = (relay.local.ip(), relay.local.port());
    if why != OpenError::InUse {
        ports.release(ip, port);
        return refuse(server, now, id, NoRelay::CannotOpen(why));
    }
    ports.release_foreign(ip, port);
    let forget = now + FOREIGN_PORT;
    let local = Box::new(relay.local);
    server.timers.arm(forget, Timer::ForeignPort(local));
    match another(server, now, &relay, tries + 1) {
        Some(another) => {
            server.allocations.replace_relay(id, another);
            let allocation = server.allocations.get(id.allocation);
            let is_tcp = allocation.is_some_and(|it| it.tcp.is_some());
            ask_for(&mut server.effects, id, &another, is_tcp);
        }
        None => refuse(server, now, id, NoRelay::NoPort),
    }
}

/// The next port to try, if one other than the first will do.
fn another(server: &mut Server, now: Instant, relay: &Relay, tries: u32) -> Option<Relay> {
    let parity = relay.parity.filter(|_| tries <= MAX_TRIES)?;
    let address = RelayAddress {
        local: relay.local.ip(),
        external: relay.relayed.ip(),
    };
    let another = take_port(server, now, address, parity).ok()?;
    Some(Relay {
        socket: RelaySocket::AskedFor { tries },
        ..another
    })
}

/// Refuses a family whose socket could not be opened. Its port is given back already.
fn refuse(server: &mut Server, now: Instant, id: RelayId, why: NoRelay) {
    server.allocations.remove_relay(id);
    let Some(allocation) = server.allocations.get_mut(id.allocation) else {
        return;
    };
    let family = id.family;
    // If neither family can be had, the error is that of IPv4. RFC 8656 §7.2.
    if allocation.refused.is_none() || family == AddressFamily::V4 {
        allocation.refused = Some(Box::new(RefusedFamily { family, why }));
    }
    answer_if_decided(server, now, id.allocation);
}

/// Answers once the outcome of every socket is known.
fn answer_if_decided(server: &mut Server, now: Instant, id: AllocationId) {
    let Some(allocation) = server.allocations.get(id) else {
        return;
    };
    let Phase::Opening {
        fingerprint,
        ticket,
    } = allocation.phase
    else {
        return;
    };
    let relays = &allocation.relays;
    if relays
        .iter()
        .any(|relay| relay.socket != RelaySocket::Bound)
    {
        return;
    }
    if relays.is_empty() {
        give_up(server, now, id, fingerprint);
    } else {
        grant(server, now, id, (fingerprint, ticket));
    }
}

/// Opens the allocation and sends the success response.
fn grant(server: &mut Server, now: Instant, id: AllocationId, (fingerprint, ticket): (bool, bool)) {
    let token = reserve_next(server, now, id);
    let Some(allocation) = server.allocations.get_mut(id) else {
        return;
    };
    allocation.token = token;
    allocation.phase = Phase::Open;
    if ticket {
        let holder = allocation.holder();
        let number = server.shared.whereabouts.enter(server.shard, id, holder);
        allocation.mobile = Some(Box::new(Mobile::new(number)));
    }
    allocation.born = now;
    let deadline = now + Duration::from_secs(allocation.lifetime.into());
    for relay in allocation.relays.iter_mut() {
        relay.deadline = deadline;
        let id = RelayId {
            allocation: id,
            family: relay.family(),
        };
        server.timers.arm(deadline, Timer::Relay(id));
    }
    let families = Families::of(allocation.relays.iter().map(Relay::family));
    let transport = allocation.client.transport;
    server.counters.count_opening(transport, families);

    let head = head_of(allocation, fingerprint);
    let mut message = Vec::new();
    head.succeed(
        &mut message,
        &allocated(allocation, allocation.client.client, &server.tickets),
        &allocation.key,
    );
    let report = Report::Opened {
        allocation: id,
        client: allocation.client,
        realm: Arc::clone(server.rules.realms.name(allocation.realm)),
        user: Arc::clone(&allocation.account),
        credential: Arc::clone(&allocation.user),
        relayed: allocation.relays.relayed().collect(),
        lifetime: allocation.lifetime,
    };
    let (client, lifetime) = (allocation.client, allocation.lifetime);
    if server.traces.are_any() {
        server.trace_arrival(now, id, id);
        server.trace_answer(client, &message);
    }
    server.effects.answer(client, message);
    server.effects.push(Effect::Report(report));
    server.note_opening(now, id, lifetime);
}

/// Reserves the next port for the token, if EVEN-PORT asked for it.
fn reserve_next(server: &mut Server, now: Instant, id: AllocationId) -> Option<ReservationToken> {
    let allocation = server.allocations.get_mut(id)?;
    let next = allocation.relays.iter_mut().find_map(|relay| {
        let next = relay.next()?;
        // From now on the port belongs to the reservation, not to the allocation.
        relay.parity = None;
        Some(next)
    })?;
    let account = allocation.account();
    let mut token = [0; 8];
    server.rng.fill_bytes(&mut token);
    let token = ReservationToken(token);
    let kept = server.shared.reservations.keep(token, next, account, now);
    // Reservations end in the order in which they were made, so one reminder is enough.
    if !server.reservations_reminder {
        server.reservations_reminder = true;
        server.timers.arm(kept, Timer::Reservations);
    }
    Some(token)
}

/// Refuses and forgets an allocation without sockets; its ports are given back already.
fn give_up(server: &mut Server, now: Instant, id: AllocationId, fingerprint: bool) {
    let Some(mut allocation) = server.allocations.remove(id) else {
        return;
    };
    let account = allocation.account();
    server.shared.quotas.release(account);
    let refused = allocation.refused.take();
    let why = refused.map_or(NoRelay::NoPort, |refused| refused.why);
    let reject = rather_than_give_up(server, allocation.client, allocation.realm, why.into());
    let head = head_of(&allocation, fingerprint);
    let mut message = Vec::new();
    head.fail(&mut message, &reject, None, &allocation.key);
    server.trace_answer(allocation.client, &message);
    server.effects.answer(allocation.client, message);
    let whose = Whose {
        client: allocation.client,
        realm: allocation.realm,
        user: Some(&allocation.user),
        proven: false,
        signed: true,
    };
    report_refused(server, now, whose, &head, &reject);
}

/// The answer that the client got and gets again, wherever it is now.
pub(super) fn allocated(allocation: &Allocation, mapped: SocketAddr, tickets: &Tickets) -> Outcome {
    let refused = allocation.refused.as_ref();
    let mobile = allocation.mobile.as_ref();
    Outcome::Allocated {
        relayed: allocation.relays.relayed().collect(),
        refused: refused.map(|refused| (refused.family, refused.why.into())),
        mapped,
        lifetime: allocation.lifetime,
        token: allocation.token,
        ticket: mobile.map(|mobile| tickets.seal(Ticket::first(mobile.number))),
    }
}

const fn head_of(allocation: &Allocation, fingerprint: bool) -> Head {
    let transaction = allocation.transaction;
    Head {
        method: wire::Method::Allocate,
        transaction,
        fingerprint,
    }
}

/// Each port that another program has costs a system call. Such ports are remembered for a while,
/// so the next request goes on where this one gave up.
const MAX_TRIES: u32 = 64;
