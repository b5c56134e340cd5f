//! Long-term credentials, in the order of RFC 8489 §9.2.4.

use std::borrow::Cow;

use wire::attributes::{Nonce, PasswordAlgorithm, Realm, UserHash, Username};
use wire::{Algorithm, Attribute, MacKey, Message};

use crate::keys::Proof;
use crate::{ClientTuple, Now, Reject, Server, Sha256};

/// A request whose integrity was verified. Only [`verify`] makes one, and [`Message`] shows nothing
/// that stands behind the integrity, so no handler can read what nobody signed.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    message: Message<'a>,
    /// Who signed.
    pub(crate) user: Cow<'a, str>,
    /// With which key; the answer is signed with it.
    pub(crate) key: MacKey,
    /// From where.
    pub(crate) client: ClientTuple,
}

impl<'a> Signed<'a> {
    /// An attribute that may be absent.
    pub(crate) fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, Reject> {
        Ok(self.message.get()?)
    }

    /// An attribute that must be there.
    pub(crate) fn require<A: Attribute<'a>>(&self) -> Result<A, Reject> {
        self.message.get()?.ok_or(Reject::MissingAttribute(A::TYPE))
    }

    pub(crate) const fn message(&self) -> &Message<'a> {
        &self.message
    }
}

/// Whether a request is signed by someone we know, with a nonce of ours.
pub(crate) fn verify<'a>(
    server: &Server,
    now: Now,
    client: ClientTuple,
    message: Message<'a>,
) -> Result<Signed<'a>, Reject> {
    let integrity = message.integrity().ok_or(Reject::Challenge)?;
    let user = user(server, &message)?;
    let Realm(_) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let Nonce(nonce) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    // Who says nothing of algorithms is an old client, and answered as one. RFC 8489 §9.2.4.
    let old = (PasswordAlgorithm::MD5, Algorithm::Sha1);
    let chosen = server.offered.chosen(&message)?;
    let (password, integrity) = chosen.map_or(old, |password| (password, integrity));
    let is_new = password == PasswordAlgorithm::SHA256 && integrity == Algorithm::Sha256;
    if server.config.sha256 == Sha256::Require && !is_new {
        return Err(Reject::Sha256Required);
    }
    let user = user.ok_or(Reject::UnknownUser)?;

    // An allocation keeps its key: credentials that expire do not end what they opened.
    let kept = server
        .allocations
        .of(client)
        .filter(|allocation| *allocation.user == *user);
    let key = match kept.filter(|allocation| message.verify(&allocation.key).is_ok()) {
        Some(allocation) => allocation.key.clone(),
        None => {
            let proof = Proof {
                message: &message,
                password,
                integrity,
            };
            server.config.keys.authenticate(&user, now.unix, proof)?
        }
    };
    // Only now: a stale nonce under a wrong password is a wrong password.
    if !server.nonces.accepts(nonce, now.unix, client.client.ip()) {
        return Err(Reject::StaleNonce);
    }
    Ok(Signed {
        message,
        user,
        key,
        client,
    })
}

/// Who a request says it is from, if that is anyone we could know. RFC 8489 §9.2.4.
fn user<'a>(server: &Server, message: &Message<'a>) -> Result<Option<Cow<'a, str>>, Reject> {
    if let Some(Username(user)) = message.get()? {
        return Ok(Some(user.into()));
    }
    match message.get()? {
        Some(hash) if server.offered.user_hash => {
            let user = server.config.keys.named(&hash);
            Ok(user.map(|user| user.to_owned().into()))
        }
        Some(UserHash(_)) | None => Err(Reject::IncompleteCredentials),
    }
}
