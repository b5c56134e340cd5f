//! Requests signed with the key of an access token. RFC 7635 §7, within RFC 8489 §9.2.4.

use wire::attributes::{AccessToken, Nonce, Realm, Username};
use wire::{Algorithm, MacKey, Message, Method};

use super::{NotSigned, Refusal, Signed, fresh, own_realm};
use crate::keys::Grant;
use crate::realms::Signer;
use crate::request::TURN_ATTRIBUTES;
use crate::{ClientTuple, Now, Reject, Server, Sha256};

/// Whether tokens are understood in requests of this method: RFC 7635 §9, and ConnectionBind, which
/// comes on a connection that has no allocation with a token's key.
pub(crate) const fn takes_token(method: Method) -> bool {
    matches!(
        method,
        Method::Allocate | Method::Refresh | Method::ConnectionBind
    )
}

/// Whether a request is signed with the key of a token, that it carries or that opened its
/// allocation, and with a nonce of ours. `None` if it is not, but may be signed with a password.
/// Not to be asked where no tokens are taken and none was.
pub(super) fn verify<'a>(
    server: &Server,
    now: Now,
    client: ClientTuple,
    message: Message<'a>,
    integrity: Algorithm,
) -> Result<Option<Signed<'a>>, NotSigned> {
    let token = message.get()?.filter(|_| takes_token(message.method()));
    let bearer = match token {
        Some(token) => match present(server, now, client, &message, integrity, token) {
            Ok(bearer) => Some(bearer),
            // The key that has opened it may have been taken away: what it granted lives on.
            Err(reject) if server.rules.serial > 0 => {
                let bearer = earlier(server, client, &message)?;
                Some(bearer.ok_or(reject)?)
            }
            Err(reject) => return Err(reject.into()),
        },
        None => earlier(server, client, &message)?,
    };
    let Some(Bearer { signer, key, grant }) = bearer else {
        return Ok(None);
    };
    let Nonce(nonce) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let allocation = server.allocations.of(client);
    let own = allocation.filter(|it| it.grant.is_some() && it.realm == signer.realm);
    let opened_with = own.map(|allocation| allocation.opened_with);
    let Some(nonce) = fresh(server, now, client, nonce, opened_with) else {
        // Clients discard an error response that is not signed: RFC 7635 §8.
        return Err(NotSigned::Refused(Refusal {
            reject: Reject::StaleNonce,
            key: Some(key.into()),
        }));
    };
    Ok(Some(Signed {
        message,
        realm: signer.realm,
        user: signer.into_user(),
        key,
        integrity,
        nonce,
        client,
        grant: Some(grant),
    }))
}

/// A client that signs with a token's key.
struct Bearer<'a> {
    /// The key's id in place of a user.
    signer: Signer<'a>,
    key: MacKey,
    grant: Box<Grant>,
}

/// Refuses a token where none is taken: it is an unknown attribute (RFC 7635 §7), and the client
/// must be told so before it is told that no user has the name of its key.
pub(super) fn refuse_unasked(server: &Server, message: &Message<'_>) -> Result<(), Reject> {
    let token: Option<AccessToken<'_>> = message.get()?;
    if token.is_some() && server.rules.tokens.is_empty() {
        let unknown = message.unknown_required(TURN_ATTRIBUTES).collect();
        return Err(Reject::UnknownAttributes(unknown));
    }
    Ok(())
}

/// Verifies a request that carries its token, with the key in the token. No password stands behind
/// this key, so the answer is signed with the algorithm of the request.
fn present<'a>(
    server: &Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'a>,
    integrity: Algorithm,
    AccessToken(sealed): AccessToken<'_>,
) -> Result<Bearer<'a>, Reject> {
    let Username(kid) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let Realm(realm) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let Nonce(_) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    // A token does not exempt the request from the check for bidding down.
    server.offered.chosen(message)?;
    if server.rules.sha256 == Sha256::Require && integrity == Algorithm::Sha1 {
        return Err(Reject::Sha256Required);
    }
    let realms = &server.rules.realms;
    let signed_with = realms.named_or_own(realm, own_realm(server, client));
    let signed_with = signed_with.ok_or(Reject::UnknownRealm)?;
    // The bearer of a token is not to choose whose quota it uses.
    let may_sign = realms.may_sign(kid, signed_with, client.server);
    if message.method() == Method::Allocate && !may_sign {
        return Err(Reject::UnknownRealm);
    }
    let token = server.rules.tokens.open(kid, sealed, now.unix)?;
    let key = token.signer(message, integrity);
    Ok(Bearer {
        signer: realms.signer(kid.into(), signed_with, own_realm(server, client)),
        key: key.ok_or(Reject::BadIntegrity)?,
        grant: Grant::new(&token, kid, sealed),
    })
}

/// Verifies a request without a token, with the key of the token that opened or renewed its
/// allocation.
fn earlier<'a>(
    server: &Server,
    client: ClientTuple,
    message: &Message<'a>,
) -> Result<Option<Bearer<'a>>, Reject> {
    let allocation = server.allocations.of(client);
    let Some((allocation, grant)) =
        allocation.and_then(|found| Some((found, found.grant.as_ref()?)))
    else {
        return Ok(None);
    };
    let (Some(Username(kid)), Some(Realm(realm))) = (message.get()?, message.get()?) else {
        return Ok(None);
    };
    let realms = &server.rules.realms;
    let own = Some(allocation.realm);
    let Some(signed_with) = realms.named_or_own(realm, own) else {
        return Ok(None);
    };
    let signer = realms.signer(kid.into(), signed_with, own);
    let is_same = allocation.is_of(signer.realm, signer.user());
    let bearer = || Bearer {
        signer,
        key: allocation.key.clone(),
        grant: grant.clone(),
    };
    Ok((is_same && message.verify(&allocation.key).is_ok()).then(bearer))
}
