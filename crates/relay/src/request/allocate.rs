//! Allocate: what is asked for, and the ports for it. RFC 8656 §7.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::Rng;
use wire::attributes::{
    AdditionalAddressFamily, DontFragment, DraftAdditionalAddressFamily, EvenPort, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use wire::{AddressFamily, Attribute};

use super::opening::{self, allocated};
use super::{Head, Outcome, dont_fragment, try_alternate};
use crate::allocation::{Allocation, NoRelay, Phase, RefusedFamily, Relay, RelaySocket, Relays};
use crate::auth::Signed;
use crate::permissions::Permissions;
use crate::policy::is_tunnelled;
use crate::ports::Parity;
use crate::realms::Account;
use crate::story::Story;
use crate::tcp::Tcp;
use crate::{DropReason, Now, Reject, RelayAddress, Server, Traffic};

/// Begins an allocation: the answer comes when its sockets are bound. RFC 8656 §7.2, whose order
/// these checks keep.
pub(super) fn allocate(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    let head = Head::of(request.message());
    if let Some(existing) = server.allocations.of(request.client) {
        return repeat(server, existing, request, &head);
    }
    check_client(server, request.client.client)?;
    let tcp = match request.require()? {
        RequestedTransport::UDP => None,
        RequestedTransport::TCP => {
            check_tcp(server, request)?;
            Some(Box::default())
        }
        RequestedTransport(other) => return Err(Reject::UnsupportedTransport(other)),
    };
    dont_fragment::check(server, now, request)?;
    let ticket = wants_ticket(server, request)?;
    let wanted = Wanted::read(server, request)?;
    let rules = Arc::clone(&server.rules);
    // RFC 8656 §7.2 step 11, which may come at any point: here the request is known to be one that
    // a server could grant. A port that was reserved here is to be had nowhere else.
    let elsewhere = match wanted {
        Wanted::Reserved(_) => None,
        Wanted::One(..) | Wanted::Both(_) => try_alternate::known(server, request)?,
    };
    if rules.retire(request.client) {
        return Err(try_alternate::rather(elsewhere, Reject::ListenerRetires));
    }
    let lifetime = request.lifetime(request.requested_lifetime()?, &rules.limits, now)?;
    let account = request.account(&rules.realms);
    let taken = take_room(server, now, wanted, account);
    let (relays, refused) = taken.map_err(|reject| try_alternate::rather(elsewhere, reject))?;
    let mut meter = server.new_meter(now.mono, account);
    if let Some(Tcp { passage, .. }) = tcp.as_deref() {
        passage.limit(meter.take());
    }
    let phase = Phase::Opening {
        fingerprint: head.fingerprint,
        ticket,
    };
    let user: Arc<str> = Arc::from(&*request.user);
    // Mostly the same, and then kept once.
    let account = if *user == *account.name {
        Arc::clone(&user)
    } else {
        Arc::from(account.name)
    };
    let id = server.allocations.insert(|id| Allocation {
        id,
        client: request.client,
        realm: request.realm,
        user,
        account,
        key: request.key.clone(),
        opened_with: request.nonce,
        grant: request.grant.clone(),
        transaction: head.transaction,
        lifetime,
        born: now.mono,
        relays,
        refused: refused.map(Box::new),
        token: None,
        phase,
        permissions: Permissions::default(),
        channels: Vec::new(),
        knows_rfc8489: request.knows_rfc8489(),
        sends_empty: false,
        tally: None,
        sent: Traffic::default(),
        received: Traffic::default(),
        meter,
        mobile: None,
        tcp,
        story: Story::default(),
    });
    opening::ask_for_all(server, id);
    Ok(Outcome::Later)
}

/// RFC 6062 §5.1, whose order these checks keep.
fn check_tcp(server: &Server, request: &Signed<'_>) -> Result<(), Reject> {
    if !server.rules.tcp {
        return Err(Reject::TcpForbidden);
    }
    if !request.client.transport.is_stream() {
        return Err(Reject::NotAStream);
    }
    let has_no_place =
        |kind: &u16| [DontFragment::TYPE, EvenPort::TYPE, ReservationToken::TYPE].contains(kind);
    let mut kinds = request.message().attributes().map(|it| it.kind);
    if let Some(kind) = kinds.find(has_no_place) {
        return Err(Reject::NotForTcp(kind));
    }
    if request.get::<MobilityTicket<'_>>()?.is_some() {
        return Err(Reject::TcpCannotMove);
    }
    Ok(())
}

/// Refuses a client from which a packet could come back for ever: one behind a tunnel, whose end and
/// a relay would send it to each other, and this server itself. RFC 8656 §21.4.
pub(super) fn check_client(server: &Server, client: SocketAddr) -> Result<(), Reject> {
    if is_tunnelled(client.ip()) {
        return Err(Reject::TunnelledClient);
    }
    let ports = &server.shared.ports;
    let relay = server.rules.relay_at(client.ip());
    let is_relayed = relay.is_some_and(|relay| {
        let (ip, port) = (relay.local, client.port());
        ports.is_open(SocketAddr::new(ip, port)) || ports.is_listening(ip, port)
    });
    if is_relayed || server.rules.policy.is_listener(client) {
        return Err(Reject::ClientIsServer);
    }
    Ok(())
}

/// A retransmission gets the answer of the first request; any other Allocate is a mismatch.
/// RFC 8656 §7.2 step 2.
fn repeat(
    server: &Server,
    existing: &Allocation,
    request: &Signed<'_>,
    head: &Head,
) -> Result<Outcome, Reject> {
    if existing.transaction != head.transaction || !existing.belongs_to(request) {
        return Err(Reject::AllocationExists);
    }
    if !existing.is_open() {
        return Ok(Outcome::Never(DropReason::AllocationOpening));
    }
    Ok(allocated(existing, request.client.client, &server.tickets))
}

/// Whether the client wants a ticket, so that it can move its allocation. RFC 8016 §3.1.2.
fn wants_ticket(server: &Server, request: &Signed<'_>) -> Result<bool, Reject> {
    match request.get::<MobilityTicket<'_>>()? {
        None => Ok(false),
        Some(MobilityTicket([])) if server.rules.mobility => Ok(true),
        Some(MobilityTicket([])) => Err(Reject::MobilityForbidden),
        Some(_) => Err(Reject::TicketInAllocate),
    }
}

/// The relayed transport addresses that an Allocate asks for.
enum Wanted {
    /// One.
    One(RelayAddress, Parity),
    /// One of each family: a dual allocation.
    Both(Parity),
    /// The one that was reserved with an earlier allocation.
    Reserved(ReservationToken),
}

impl Wanted {
    /// RFC 8656 §7.2 says which attributes exclude each other.
    fn read(server: &Server, request: &Signed<'_>) -> Result<Self, Reject> {
        let token = request.get::<ReservationToken>()?;
        let even_port = request.get::<EvenPort>()?;
        let family = request.get::<RequestedAddressFamily>()?;
        let additional = additional_family(request)?;
        let parity = match even_port {
            None => Parity::Any,
            Some(EvenPort {
                reserve_next: false,
            }) => Parity::Even,
            Some(EvenPort { reserve_next: true }) => Parity::EvenAndNext,
        };
        match (token, additional) {
            (Some(token), None) if even_port.is_none() && family.is_none() => {
                Ok(Self::Reserved(token))
            }
            (None, Some(Ok(AddressFamily::V6)))
                if family.is_none() && parity != Parity::EvenAndNext =>
            {
                Ok(Self::Both(parity))
            }
            (None, None) => Ok(Self::One(relay_address(server, family)?, parity)),
            (Some(_), _) | (None, Some(_)) => Err(Reject::Contradiction),
        }
    }
}

/// The family that is wanted beside IPv4, under the number of the RFC or of its drafts.
fn additional_family(request: &Signed<'_>) -> Result<Option<Result<AddressFamily, u8>>, Reject> {
    if let Some(AdditionalAddressFamily(family)) = request.get()? {
        return Ok(Some(family));
    }
    let draft = request.get::<DraftAdditionalAddressFamily>()?;
    Ok(draft.map(|DraftAdditionalAddressFamily(family)| family))
}

/// RFC 8656 §7.2: IPv4 unless asked otherwise, whatever the client's own family is.
fn relay_address(
    server: &Server,
    requested: Option<RequestedAddressFamily>,
) -> Result<RelayAddress, Reject> {
    let family = requested.map_or(Ok(AddressFamily::V4), |requested| requested.0);
    let family = family.map_err(|_| Reject::UnsupportedFamily)?;
    server.rules.relay(family).ok_or(Reject::UnsupportedFamily)
}

/// A count in the quotas and ports, both or neither.
fn take_room(
    server: &mut Server,
    now: Now,
    wanted: Wanted,
    account: Account<'_>,
) -> Result<(Relays, Option<RefusedFamily>), Reject> {
    let quota = server
        .rules
        .realms
        .quota(account.realm, &server.rules.limits, server.config.ports);
    server.check_cap(account)?;
    server.shared.quotas.admit(account, &quota)?;
    let taken = take_ports(server, now, wanted, account);
    taken.inspect_err(|_| server.shared.quotas.release(account))
}

/// Ports for the addresses that are wanted, and the refusal of one that is not available.
fn take_ports(
    server: &mut Server,
    now: Now,
    wanted: Wanted,
    account: Account<'_>,
) -> Result<(Relays, Option<RefusedFamily>), Reject> {
    match wanted {
        Wanted::One(address, parity) => {
            if parity == Parity::EvenAndNext && !server.shared.reservations.have_room(account) {
                return Err(Reject::TooManyReservations);
            }
            let relay = take_port(server, now.mono, address, parity)?;
            Ok((Relays::new([relay]), None))
        }
        Wanted::Both(parity) => take_both(server, now, parity),
        Wanted::Reserved(token) => {
            let reservations = &server.shared.reservations;
            let relay = reservations.redeem(token, account, now.mono);
            let relay = relay.ok_or(Reject::NoReservation)?;
            Ok((Relays::new([relay]), None))
        }
    }
}

/// RFC 8656 §7.2: if one family is not available the other is granted; if neither is, the error is
/// that of IPv4.
fn take_both(
    server: &mut Server,
    now: Now,
    parity: Parity,
) -> Result<(Relays, Option<RefusedFamily>), Reject> {
    let mut take = |family| {
        let address = server.rules.relay(family);
        address
            .ok_or(NoRelay::UnsupportedFamily)
            .and_then(|address| take_port(server, now.mono, address, parity))
            .map_err(|why| RefusedFamily { family, why })
    };
    let (v4, v6) = (take(AddressFamily::V4), take(AddressFamily::V6));
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok((Relays::new([v4, v6]), None)),
        (Ok(relay), Err(refused)) | (Err(refused), Ok(relay)) => {
            Ok((Relays::new([relay]), Some(refused)))
        }
        (Err(v4), Err(_)) => Err(v4.why.into()),
    }
}

/// Takes a port that fits, for a socket that is still to be opened.
pub(super) fn take_port(
    server: &mut Server,
    now: Instant,
    address: RelayAddress,
    parity: Parity,
) -> Result<Relay, NoRelay> {
    let random = server.rng.next_u32();
    let port = server.shared.ports.take(address.local, parity, random);
    let port = port.ok_or(NoRelay::NoPort)?;
    Ok(Relay {
        parity: Some(parity),
        local: SocketAddr::new(address.local, port),
        relayed: SocketAddr::new(address.external, port),
        socket: RelaySocket::AskedFor { tries: 0 },
        deadline: now,
    })
}
