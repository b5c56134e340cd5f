//! Long-term credentials, in the order of RFC 8489 §9.2.4.

use wire::attributes::{Nonce, Realm, Username};
use wire::{Attribute, MacKey, Message};

use crate::{ClientTuple, Now, Reject, Server};

/// A request whose integrity was verified. Only [`verify`] makes one, and [`Message`] shows nothing
/// that stands behind the integrity, so no handler can read what nobody signed.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    message: Message<'a>,
    /// Who signed.
    pub(crate) user: &'a str,
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
    if !message.is_signed() {
        return Err(Reject::Challenge);
    }
    let incomplete = Reject::IncompleteCredentials;
    let Username(user) = message.get()?.ok_or(incomplete.clone())?;
    let Realm(_) = message.get()?.ok_or(incomplete.clone())?;
    let Nonce(nonce) = message.get()?.ok_or(incomplete)?;

    // An allocation keeps its key: credentials that expire do not end what they opened.
    let kept = server
        .allocations
        .of(client)
        .filter(|allocation| *allocation.user == *user);
    let key = match kept.filter(|allocation| message.verify(&allocation.key).is_ok()) {
        Some(allocation) => allocation.key.clone(),
        None => server.config.keys.authenticate(user, now.unix, &message)?,
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
