//! Requests: one file each, in the order of the RFC's checks, refusals by `?`.

mod allocate;
mod answer;
mod binding;
mod channel_bind;
mod connect;
mod connection_bind;
mod create_permission;
mod dont_fragment;
pub(crate) mod opening;
mod refresh;
mod relocate;
pub(crate) mod send;
mod try_alternate;

pub(crate) use answer::{Challenge, Head, NextTry, Outcome};
pub(crate) use binding::{Origin, Success};

use std::sync::Arc;
use std::time::Instant;

use wire::attributes::{
    AccessToken, ChannelNumberAttribute, ConnectionId, Data, DontFragment, ErrorCode, EvenPort,
    Lifetime, MappedAddress, Nonce, PasswordAlgorithm, Realm, RequestedAddressFamily,
    RequestedTransport, ReservationToken, UnknownAttributes, UserHash, Username, XorMappedAddress,
    XorPeerAddress, XorRelayedAddress,
};
use wire::{Attribute, Message, Method};

use crate::auth::third_party::takes_token;
use crate::auth::{self, NotSigned, Refusal, Signed};
use crate::realms::RealmId;
use crate::{
    ClientTuple, DropReason, Effect, Event, Now, Outgoing, Reject, Report, Server, Transport,
    Verdict, nonce,
};

/// Handles any request.
pub(crate) fn handle<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'_>,
) -> Verdict<'s, 'static> {
    if server.traces.are_any() {
        server.trace_request(now, client, &message);
    }
    match message.method() {
        Method::Binding => binding::binding(server, now, client, &message),
        _ if message.transaction().is_rfc3489() => server.discard(DropReason::NoCookie),
        Method::Allocate => authenticated(server, now, client, message, allocate::allocate),
        Method::Refresh => authenticated(server, now, client, message, refresh::refresh),
        Method::CreatePermission => authenticated(
            server,
            now,
            client,
            message,
            create_permission::create_permission,
        ),
        Method::ChannelBind => {
            authenticated(server, now, client, message, channel_bind::channel_bind)
        }
        Method::Connect => authenticated(server, now, client, message, connect::connect),
        Method::ConnectionBind => authenticated(
            server,
            now,
            client,
            message,
            connection_bind::connection_bind,
        ),
        Method::Send | Method::Data | Method::ConnectionAttempt | Method::Other(_) => {
            server.discard(DropReason::UnknownMethod)
        }
    }
}

type Handler = fn(&mut Server, Now, &Signed<'_>) -> Result<Outcome, Reject>;

fn authenticated<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'_>,
    handler: Handler,
) -> Verdict<'s, 'static> {
    if !server.keyring.waiting.is_empty() && server.awaits_key(client) {
        return server.hold_for_key(client, message.as_bytes());
    }
    let head = Head::of(&message);
    let signed = match auth::verify(server, now, client, message) {
        Ok(signed) => signed,
        Err(NotSigned::KeyAwaited(name)) => {
            return server.await_key(now, client, name, message.as_bytes());
        }
        Err(NotSigned::KeyUnavailable) => {
            return leave_unanswered(server, client, &message, DropReason::KeyUnavailable);
        }
        Err(NotSigned::Refused(refused)) => {
            return not_signed(server, now, client, &message, refused);
        }
    };
    let budget = &server.shared.budget;
    budget.acquaint(now.mono, client.client.ip());
    match understood(&signed).and_then(|()| handler(server, now, &signed)) {
        Ok(Outcome::Later) => Verdict::Done,
        Ok(Outcome::Never(why)) => leave_unanswered(server, client, &message, why),
        Ok(Outcome::Elsewhere(host)) => {
            server.pass_to(host, client, message.as_bytes());
            Verdict::Done
        }
        Ok(outcome) => {
            head.succeed(&mut server.reply, &outcome, &signed.key);
            server.trace_reply(client);
            server.note_granted(now.mono, client, &message, outcome.lifetime());
            Verdict::Answer(Outgoing::answer(client, &server.reply))
        }
        Err(reject) => {
            let whose = Whose {
                client,
                realm: signed.realm,
                user: Some(&signed.user),
                proven: false,
                signed: true,
            };
            report_refused(server, now.mono, whose, &head, &reject);
            let next_try = try_alternate::next_try(server, now, &signed, &reject);
            let next_try = next_try.as_ref();
            head.fail(&mut server.reply, &reject, next_try, &signed.key);
            server.trace_reply(client);
            Verdict::Answer(Outgoing::answer(client, &server.reply))
        }
    }
}

/// Refuses a request that is not signed.
fn not_signed<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'_>,
    mut refused: Refusal,
) -> Verdict<'s, 'static> {
    let is_first =
        message.method() == Method::Allocate && matches!(refused.reject, Reject::Challenge);
    if is_first && !server.rules.redirects.is_empty() {
        let sent_on = try_alternate::stranger(server, client, message);
        refused = sent_on.map_or_else(Refusal::from, |()| refused);
    }
    if refused.reject.is_failed_proof() && !may_fail(server, now, client) {
        return leave_unanswered(server, client, message, DropReason::TooManyFailures);
    }
    let realm = auth::realm_told(server, client, message, &refused.reject);
    let draft = server.nonces.blank();
    write_refusal(server, &Head::of(message), &refused, realm, draft);
    let refused = Some((refused, realm));
    unauthenticated(server, now, client, client, message, refused)
}

fn write_refusal(server: &mut Server, head: &Head, refused: &Refusal, realm: RealmId, nonce: &str) {
    let challenge = Challenge {
        realm: server.rules.realms.name(realm),
        nonce,
        algorithms: server.offered.algorithms,
        third_party: server.rules.tokens.announced(),
        key: refused.key.as_deref(),
    };
    head.refuse(&mut server.reply, &refused.reject, Some(&challenge));
}

/// Counts a failed proof of identity; whether it is answered.
#[cold]
fn may_fail(server: &mut Server, now: Now, client: ClientTuple) -> bool {
    server.counters.failed += 1;
    let per_minute = server.rules.failures_per_minute;
    let failures = &server.shared.failures;
    failures.admit(per_minute, now.mono, client.client.ip())
}

/// Drops a request without an answer.
#[cold]
fn leave_unanswered(
    server: &mut Server,
    client: ClientTuple,
    request: &Message<'_>,
    why: DropReason,
) -> Verdict<'static, 'static> {
    server.note_unanswered(client, request, why);
    server.discard(why)
}

/// Counts a failed proof against its prefix, which is banned if that was one too many.
#[cold]
fn note_failure(server: &mut Server, now: Now, client: ClientTuple) {
    if let Some(rule) = server.rules.clients.ban {
        let bans = &server.shared.bans;
        let ban = bans.note(rule, now.mono, client.client.ip());
        let report = ban.map(|ban| Effect::Report(Report::Banned(ban)));
        report
            .into_iter()
            .for_each(|report| server.effects.push(report));
    }
}

/// The USERNAME of a request, signed or not.
pub(crate) fn named_user<'a>(request: &Message<'a>) -> Option<&'a str> {
    request.get().ok().flatten().map(|Username(user)| user)
}

/// Sends the answer in `server.reply` to a client that has not authenticated, as if it had asked on
/// the 5-tuple `via`. All such answers leave through here, so this is where the budget is kept, and
/// only answers that leave are counted. A challenge is written with a blank nonce first: making a
/// real one costs more than all the rest, so it is done only once the answer is sure to be sent.
fn unauthenticated<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    via: ClientTuple,
    request: &Message<'_>,
    refused: Option<(Refusal, RealmId)>,
) -> Verdict<'s, 'static> {
    let excess = server.reply.len().saturating_sub(request.as_bytes().len());
    if excess > 0 && !may_amplify(server, now, via, excess) {
        return leave_unanswered(server, client, request, DropReason::OverBudget);
    }
    match refused {
        Some((refused, realm)) => {
            let head = Head::of(request);
            if refused.reject.is_challenge() {
                let nonce = fresh_nonce(server, now, client);
                write_refusal(server, &head, &refused, realm, nonce.as_str());
            }
            let whose = Whose {
                client,
                realm,
                user: named_user(request),
                proven: refused.reject.is_failed_proof()
                    && auth::has_address(server, client, request),
                signed: false,
            };
            if whose.proven {
                note_failure(server, now, client);
            }
            report_refused(server, now.mono, whose, &head, &refused.reject);
        }
        None => {
            server.counters.bindings += 1;
            if server.traces.are_any() {
                let event = Event::granted(Method::Binding, None, None);
                server.trace_event(client, None, &event, None);
            }
        }
    }
    server.trace_reply(client);
    Verdict::Answer(Outgoing::answer(via, &server.reply))
}

/// A nonce that this client can sign with.
fn fresh_nonce(server: &mut Server, now: Now, client: ClientTuple) -> nonce::Nonce {
    server.nonces.issue(now.unix, client.client.ip())
}

/// Whether the client of a 5-tuple may be sent so many bytes more than came in its name.
pub(crate) fn may_amplify(server: &mut Server, now: Now, via: ClientTuple, excess: usize) -> bool {
    match via.transport {
        // A client that completed the handshake has the address that it claims.
        Transport::Tcp | Transport::Tls | Transport::Dtls => true,
        // A client with an allocation has authenticated.
        Transport::Udp => {
            if server.has_allocation(via) {
                return true;
            }
            server.may_amplify(now.mono, via.client.ip(), excess)
        }
    }
}

/// Refuses unknown comprehension-required attributes, after authentication. RFC 8489 §6.3.1.
fn understood(signed: &Signed<'_>) -> Result<(), Reject> {
    let message = signed.message();
    let understands_tokens = takes_token(message.method());
    let unknown = message.unknown_required(TURN_ATTRIBUTES);
    let unknown: Vec<u16> = unknown
        .filter(|kind| !(understands_tokens && *kind == AccessToken::TYPE))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reject::UnknownAttributes(unknown))
    }
}

/// The client and user whose request is refused, as far as they are known.
pub(crate) struct Whose<'a> {
    pub(crate) client: ClientTuple,
    pub(crate) realm: RealmId,
    pub(crate) user: Option<&'a str>,
    /// Whether a failed proof came from the address that it shows.
    pub(crate) proven: bool,
    /// Whether the request was signed by that user.
    pub(crate) signed: bool,
}

pub(crate) fn report_refused(
    server: &mut Server,
    now: Instant,
    whose: Whose<'_>,
    head: &Head,
    reject: &Reject,
) {
    server.counters.count_refusal(reject.refusal());
    server.note_refused(now, &whose, head.method, reject);
    if matches!(reject, Reject::Challenge | Reject::TryAlternate(_)) {
        return;
    }
    let realms = &server.rules.realms;
    let signer = whose
        .user
        .map(|it| realms.signer(it.into(), whose.realm, None));
    let realm = signer.as_ref().map_or(whose.realm, |it| it.realm);
    let credential = signer.as_ref().map(|it| it.user());
    let report = Report::Refused {
        allocation: server.open_allocation(whose.client),
        client: whose.client,
        realm: Arc::clone(realms.name(realm)),
        user: credential.map(|it| Box::from(realms.account(realm, it).name)),
        credential: credential.map(Box::from),
        method: head.method,
        proven: whose.proven,
        reject: reject.clone(),
    };
    server.effects.push(Effect::Report(report));
}

/// The comprehension-required attributes that TURN defines without any extension, and that of RFC
/// 6062. An attribute that
/// has no place in a message is ignored there: RFC 8489 §6.3.
pub(crate) const TURN_ATTRIBUTES: &[u16] = &[
    // The list is searched from the front, so the attributes of most Send indications and requests
    // are first.
    XorPeerAddress::TYPE,
    Data::TYPE,
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    Lifetime::TYPE,
    // The rest in the order of their names.
    ChannelNumberAttribute::TYPE,
    ConnectionId::TYPE,
    DontFragment::TYPE,
    ErrorCode::TYPE,
    EvenPort::TYPE,
    MappedAddress::TYPE,
    PasswordAlgorithm::TYPE,
    RequestedAddressFamily::TYPE,
    RequestedTransport::TYPE,
    ReservationToken::TYPE,
    UnknownAttributes::TYPE,
    UserHash::TYPE,
    XorMappedAddress::TYPE,
    XorRelayedAddress::TYPE,
];
