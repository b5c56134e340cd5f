//! Allocate. RFC 8656 §7.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use wire::AddressFamily;
use wire::attributes::{EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport};

use super::{Answer, Head};
use crate::allocation::{Allocation, Phase, Relay};
use crate::auth::Signed;
use crate::permissions::Permissions;
use crate::ports::Parity;
use crate::timers::{FOREIGN_PORT, Timer};
use crate::{
    AllocationId, DropReason, Effect, Now, OpenError, Reject, RelayAddress, RelayId, Report,
    Server, Traffic,
};

/// Begins an allocation: the answer comes when its socket is bound. RFC 8656 §7.2, whose order
/// these checks keep.
pub(super) fn allocate(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Answer, Reject> {
    let head = Head::of(request.message());
    if let Some(existing) = server.allocations.of(request.client) {
        return repeat(existing, request, &head);
    }
    let transport: RequestedTransport = request.require()?;
    if transport != RequestedTransport::UDP {
        return Err(Reject::UnsupportedTransport(transport.0));
    }
    let address = relay_address(server, request.get()?)?;
    let parity = parity(request.get()?)?;
    let lifetime = request.get::<Lifetime>()?.map(|lifetime| lifetime.0);
    let lifetime = server.config.limits.lifetime(lifetime);

    let account = server.config.keys.account(&request.user);
    server.shared.quotas.admit(account, &server.config.limits)?;
    let Some(relay) = take_port(server, address, parity) else {
        server.shared.quotas.release(account);
        return Err(Reject::NoPort);
    };
    let phase = Phase::Opening {
        fingerprint: head.fingerprint,
        tries: 0,
    };
    let id = server.allocations.insert(|id| Allocation {
        id,
        client: request.client,
        user: Arc::from(&*request.user),
        key: request.key.clone(),
        transaction: head.transaction,
        lifetime,
        born: now.mono,
        deadline: now.mono,
        relay,
        phase,
        permissions: Permissions::default(),
        channels: Vec::new(),
        sent: Traffic::default(),
        received: Traffic::default(),
    });
    open(server, id, relay);
    Ok(Answer::Later)
}

/// A retransmission hears what the first heard; anything else is a mismatch. RFC 8656 §7.2 step 2.
fn repeat(existing: &Allocation, request: &Signed<'_>, head: &Head) -> Result<Answer, Reject> {
    if existing.transaction != head.transaction || *existing.user != *request.user {
        return Err(Reject::AllocationExists);
    }
    if !existing.is_open() {
        return Ok(Answer::Never(DropReason::AllocationOpening));
    }
    Ok(allocated(existing))
}

/// RFC 8656 §7.2: IPv4 unless asked otherwise, whatever the client's own family is.
fn relay_address(
    server: &Server,
    requested: Option<RequestedAddressFamily>,
) -> Result<RelayAddress, Reject> {
    let family = requested.map_or(Ok(AddressFamily::V4), |requested| requested.0);
    let family = family.map_err(|_| Reject::UnsupportedFamily)?;
    server.config.relay(family).ok_or(Reject::UnsupportedFamily)
}

/// RFC 8656 §7.2: who asks for a reservation that cannot be made hears 508.
fn parity(requested: Option<EvenPort>) -> Result<Parity, Reject> {
    match requested {
        None => Ok(Parity::Any),
        Some(EvenPort {
            reserve_next: false,
        }) => Ok(Parity::Even),
        Some(EvenPort { reserve_next: true }) => Err(Reject::NoReservation),
    }
}

fn take_port(server: &mut Server, address: RelayAddress, parity: Parity) -> Option<Relay> {
    let port = server
        .shared
        .ports
        .take(address.local, parity, server.rng.next_u32())?;
    Some(Relay {
        parity,
        local: SocketAddr::new(address.local, port),
        relayed: SocketAddr::new(address.external, port),
    })
}

fn open(server: &mut Server, id: AllocationId, relay: Relay) {
    let relay_id = RelayId {
        allocation: id,
        family: AddressFamily::of(relay.local.ip()),
    };
    server.effects.push(Effect::OpenRelay {
        relay: relay_id,
        local: relay.local,
    });
}

/// The socket is bound: the client hears success.
pub(crate) fn opened(server: &mut Server, now: Instant, relay: RelayId) {
    let Some(allocation) = server.allocations.get_mut(relay.allocation) else {
        // It ended while its socket was being opened.
        return server.effects.push(Effect::CloseRelay { relay });
    };
    let id = allocation.id;
    let Phase::Opening { fingerprint, .. } = allocation.phase else {
        return;
    };
    allocation.phase = Phase::Open;
    let local = allocation.relay.local;
    server.shared.ports.opened(local.ip(), local.port());
    allocation.born = now;
    allocation.deadline = now + Duration::from_secs(allocation.lifetime.into());
    server
        .timers
        .arm(allocation.deadline, Timer::Allocation(id));
    server.counters.opened += 1;

    let head = head_of(allocation, fingerprint);
    let mut message = Vec::new();
    head.succeed(&mut message, &allocated(allocation), &allocation.key);
    let report = Report::Opened {
        allocation: id,
        client: allocation.client,
        user: Arc::clone(&allocation.user),
        relayed: allocation.relay.relayed,
        lifetime: allocation.lifetime,
    };
    server.effects.push(Effect::Send {
        to: allocation.client,
        message,
    });
    server.effects.push(Effect::Report(report));
}

/// The socket could not be bound: another port, or the client hears 508.
pub(crate) fn not_opened(server: &mut Server, now: Instant, id: AllocationId, why: OpenError) {
    let Some(allocation) = server.allocations.get(id) else {
        return;
    };
    let Phase::Opening { fingerprint, tries } = allocation.phase else {
        return;
    };
    let relay = allocation.relay;
    let (ip, port) = (relay.local.ip(), relay.local.port());
    if why != OpenError::InUse {
        server.shared.ports.release(ip, port);
        return give_up(server, id, fingerprint, Reject::CannotOpen(why));
    }
    server.shared.ports.release_foreign(ip, port);
    server
        .timers
        .arm(now + FOREIGN_PORT, Timer::ForeignPort(relay.local));
    let another = (tries < MAX_TRIES)
        .then(|| another_port(server, relay))
        .flatten();
    let Some(another) = another else {
        return give_up(server, id, fingerprint, Reject::NoPort);
    };
    server.allocations.replace_relay(id, another);
    if let Some(allocation) = server.allocations.get_mut(id) {
        allocation.phase = Phase::Opening {
            fingerprint,
            tries: tries + 1,
        };
    }
    open(server, id, another);
}

fn another_port(server: &mut Server, relay: Relay) -> Option<Relay> {
    let external: IpAddr = relay.relayed.ip();
    take_port(
        server,
        RelayAddress {
            local: relay.local.ip(),
            external,
        },
        relay.parity,
    )
}

/// Forgets an allocation that never was; its port is given back already.
fn give_up(server: &mut Server, id: AllocationId, fingerprint: bool, reject: Reject) {
    let Some(allocation) = server.allocations.remove(id) else {
        return;
    };
    server
        .shared
        .quotas
        .release(server.config.keys.account(&allocation.user));
    let head = head_of(&allocation, fingerprint);
    let mut message = Vec::new();
    head.fail(&mut message, &reject, &allocation.key);
    server.effects.push(Effect::Send {
        to: allocation.client,
        message,
    });
    super::report_refused(
        server,
        allocation.client,
        Some(&allocation.user),
        &head,
        &reject,
    );
}

const fn allocated(allocation: &Allocation) -> Answer {
    Answer::Allocated {
        relayed: allocation.relay.relayed,
        mapped: allocation.client.client,
        lifetime: allocation.lifetime,
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

/// A port that another program has costs a system call to find out; what is found is remembered
/// for a while, so the next request goes on where this one gave up.
const MAX_TRIES: u32 = 64;
