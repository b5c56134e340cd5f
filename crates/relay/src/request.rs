//! Requests: one file each, in the order of the RFC's checks, refusals by `?`.

pub(crate) mod allocate;
mod answer;
mod binding;
mod channel_bind;
mod create_permission;
mod refresh;
pub(crate) mod send;

pub(crate) use answer::{Answer, Challenge, Head};

use wire::attributes::{
    ChannelNumberAttribute, Data, EvenPort, Lifetime, Nonce, PasswordAlgorithm, Realm,
    RequestedAddressFamily, RequestedTransport, UserHash, Username, XorPeerAddress,
};
use wire::{Attribute, Message, Method};

use crate::auth::{self, Signed};
use crate::{ClientTuple, DropReason, Effect, Now, Reject, Report, Server, Verdict};

/// Every request there is.
pub(crate) fn handle<'a>(
    server: &'a mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'a>,
) -> Verdict<'a> {
    match message.method() {
        Method::Binding => binding::answer(server, client, &message),
        _ if message.transaction().is_rfc3489() => server.drop(DropReason::NoCookie),
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
        Method::Send | Method::Data | Method::Other(_) => server.drop(DropReason::UnknownMethod),
    }
}

type Handler = fn(&mut Server, Now, &Signed<'_>) -> Result<Answer, Reject>;

fn authenticated<'a>(
    server: &'a mut Server,
    now: Now,
    client: ClientTuple,
    message: Message<'a>,
    handler: Handler,
) -> Verdict<'a> {
    let head = Head::of(&message);
    let claim = message.get().ok().flatten().map(|Username(user)| user);
    let signed = match auth::verify(server, now, client, message) {
        Ok(signed) => signed,
        Err(reject) => {
            report_refused(server, client, claim, &head, &reject);
            let nonce = server.nonces.issue(now.unix, client.client.ip());
            let challenge = Challenge {
                realm: server.config.keys.realm(),
                nonce: nonce.as_str(),
                algorithms: server.offered.algorithms,
            };
            return Verdict::Reply(head.refuse(&mut server.reply, &reject, Some(&challenge)));
        }
    };
    match understood(&signed).and_then(|()| handler(server, now, &signed)) {
        Ok(Answer::Later) => Verdict::Done,
        Ok(Answer::Never(why)) => server.drop(why),
        Ok(answer) => Verdict::Reply(head.succeed(&mut server.reply, &answer, &signed.key)),
        Err(reject) => {
            report_refused(server, client, claim, &head, &reject);
            Verdict::Reply(head.fail(&mut server.reply, &reject, &signed.key))
        }
    }
}

/// RFC 8489 §6.3.1, after authentication.
fn understood(signed: &Signed<'_>) -> Result<(), Reject> {
    let unknown: Vec<u16> = signed.message().unknown_required(TURN_ATTRIBUTES).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reject::UnknownAttributes(unknown))
    }
}

pub(crate) fn report_refused(
    server: &mut Server,
    client: ClientTuple,
    user: Option<&str>,
    head: &Head,
    reject: &Reject,
) {
    if *reject == Reject::Challenge {
        server.counters.challenges += 1;
        return;
    }
    server.counters.refused += 1;
    let report = Report::Refused {
        client,
        user: user.map(Box::from),
        method: head.method,
        reject: reject.clone(),
    };
    server.effects.push(Effect::Report(report));
}

/// The comprehension-required attributes that TURN requests and indications may have here.
pub(crate) const TURN_ATTRIBUTES: &[u16] = &[
    ChannelNumberAttribute::TYPE,
    Data::TYPE,
    EvenPort::TYPE,
    Lifetime::TYPE,
    Nonce::TYPE,
    PasswordAlgorithm::TYPE,
    Realm::TYPE,
    RequestedAddressFamily::TYPE,
    RequestedTransport::TYPE,
    UserHash::TYPE,
    Username::TYPE,
    XorPeerAddress::TYPE,
];
