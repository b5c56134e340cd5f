//! Requests: one file each, in the order of the RFC's checks, refusals by `?`.

mod allocate;
mod answer;
mod binding;
mod channel_bind;
mod create_permission;
mod dont_fragment;
pub(crate) mod opening;
mod refresh;
mod relocate;
pub(crate) mod send;
mod try_alternate;

pub(crate) use answer::{Answer, Challenge, Head, NextTry};
pub(crate) use binding::{Origin, Success};

use std::sync::Arc;

use rand::Rng;
use wire::attributes::{
    AccessToken, ChannelNumberAttribute, Data, DontFragment, ErrorCode, EvenPort, Lifetime,
    MappedAddress, Nonce, PasswordAlgorithm, Realm, RequestedAddressFamily, RequestedTransport,
    ReservationToken, UnknownAttributes, UserHash, Username, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
use wire::{Attribute, Message, Method};

use crate::auth::third_party::takes_token;
use crate::auth::{self, Refused, Signed};
use crate::realms::RealmId;
use crate::{
    ClientTuple, DropReason, Effect, Now, Outgoing, Reject, Report, Server, Transport, Verdict,
    nonce,
};

/// Every request there is.
pub(crate) fn handle<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'_>,
) -> Verdict<'s, 'static> {
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
        Method::Send | Method::Data | Method::Other(_) => server.discard(DropReason::UnknownMethod),
    }
}

type Handler = fn(&mut Server, Now, &Signed<'_>) -> Result<Answer, Reject>;

fn authenticated<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'_>,
    handler: Handler,
) -> Verdict<'s, 'static> {
    let head = Head::of(&message);
    let signed = match auth::verify(server, now, client, message) {
        Ok(signed) => signed,
        Err(mut refused) => {
            let is_first =
                message.method() == Method::Allocate && matches!(refused.reject, Reject::Challenge);
            if is_first && !server.rules.redirects.is_empty() {
                let sent_on = try_alternate::stranger(server, client, &message);
                refused = sent_on.map_or_else(Refused::from, |()| refused);
            }
            let realm = auth::realm_told(server, client, &message, &refused.reject);
            let draft = server.nonces.blank();
            write_refusal(server, &head, &refused, realm, draft);
            let refused = Some((refused, realm));
            return unauthenticated(server, now, client, client, &message, refused);
        }
    };
    match understood(&signed).and_then(|()| handler(server, now, &signed)) {
        Ok(Answer::Later) => Verdict::Done,
        Ok(Answer::Never(why)) => server.discard(why),
        Ok(Answer::Elsewhere(host)) => {
            server.pass_to(host, client, message.as_bytes());
            Verdict::Done
        }
        Ok(answer) => {
            let contents = head.succeed(&mut server.reply, &answer, &signed.key);
            Verdict::Answer(Outgoing::answer(client, contents))
        }
        Err(reject) => {
            let whose = Whose {
                client,
                realm: signed.realm,
                user: Some(&signed.user),
            };
            report_refused(server, whose, &head, &reject);
            let next_try = try_alternate::next_try(server, now, &signed, &reject);
            let next_try = next_try.as_ref();
            let contents = head.fail(&mut server.reply, &reject, next_try, &signed.key);
            Verdict::Answer(Outgoing::answer(client, contents))
        }
    }
}

fn write_refusal(server: &mut Server, head: &Head, refused: &Refused, realm: RealmId, nonce: &str) {
    let challenge = Challenge {
        realm: server.rules.realms.name(realm),
        nonce,
        algorithms: server.offered.algorithms,
        third_party: server.rules.tokens.announced(),
        key: refused.key.as_deref(),
    };
    head.refuse(&mut server.reply, &refused.reject, Some(&challenge));
}

/// Who a client says it is, signed or not.
fn claim<'a>(request: &Message<'a>) -> Option<&'a str> {
    request.get().ok().flatten().map(|Username(user)| user)
}

/// Sends what stands in `server.reply` to someone who has not authenticated, as if it had asked on
/// the 5-tuple `via`. No such answer leaves in another way, so this is where the budget holds, and
/// only what leaves is counted. A challenge stands there with a blank nonce: a real one costs more
/// than all the rest, and is made for those only who hear it.
fn unauthenticated<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    via: ClientTuple,
    request: &Message<'_>,
    refused: Option<(Refused, RealmId)>,
) -> Verdict<'s, 'static> {
    let excess = server.reply.len().saturating_sub(request.as_bytes().len());
    if excess > 0 && !may_amplify(server, now, via, excess) {
        return server.discard(DropReason::OverBudget);
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
                user: claim(request),
            };
            report_refused(server, whose, &head, &refused.reject);
        }
        None => server.counters.bindings += 1,
    }
    Verdict::Answer(Outgoing::answer(via, &server.reply))
}

/// A nonce that this client can sign under.
fn fresh_nonce(server: &mut Server, now: Now, client: ClientTuple) -> nonce::Nonce {
    server.nonces.issue(now.unix, client.client.ip())
}

/// Whether who is at the other end of a 5-tuple may hear so many bytes more than were sent.
pub(crate) fn may_amplify(server: &mut Server, now: Now, via: ClientTuple, excess: usize) -> bool {
    match via.transport {
        // Who completes a handshake is where it says to be.
        Transport::Tcp => true,
        // Who has an allocation has authenticated.
        Transport::Udp => {
            if server.has_allocation(via) {
                return true;
            }
            let (to, chance) = (via.client.ip(), server.rng.next_u32());
            let allowance = server.rules.unauthenticated;
            server
                .shared
                .budget
                .admit(allowance, now.mono, to, excess, chance)
        }
    }
}

/// RFC 8489 §6.3.1, after authentication.
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

/// Whose request is refused, as far as that is known.
pub(crate) struct Whose<'a> {
    pub(crate) client: ClientTuple,
    pub(crate) realm: RealmId,
    pub(crate) user: Option<&'a str>,
}

pub(crate) fn report_refused(server: &mut Server, whose: Whose<'_>, head: &Head, reject: &Reject) {
    if matches!(reject, Reject::Challenge) {
        server.counters.challenges += 1;
        return;
    }
    if let Reject::TryAlternate(_) = reject {
        server.counters.redirected += 1;
        return;
    }
    server.counters.refused += 1;
    let report = Report::Refused {
        client: whose.client,
        realm: Arc::clone(server.rules.realms.name(whose.realm)),
        user: whose.user.map(Box::from),
        method: head.method,
        reject: reject.clone(),
    };
    server.effects.push(Effect::Report(report));
}

/// The comprehension-required attributes that TURN knows without being told more of a server. One
/// that has no place in a message is ignored there: RFC 8489 §6.3.
pub(crate) const TURN_ATTRIBUTES: &[u16] = &[
    // The list is searched from here: first what most Send indications and requests have.
    XorPeerAddress::TYPE,
    Data::TYPE,
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    Lifetime::TYPE,
    // The rest by name.
    ChannelNumberAttribute::TYPE,
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
