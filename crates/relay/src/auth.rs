//! Long-term credentials, in the order of RFC 8489 §9.2.4.

pub(crate) mod third_party;

use std::borrow::Cow;

use wire::attributes::{
    Lifetime, MobilityTicket, Nonce, PasswordAlgorithm, Realm, UserHash, Username,
};
use wire::{Algorithm, Attribute, MacKey, Malformed, Message, Method};

use crate::keys::{Grant, Proof};
use crate::nonce::Issued;
use crate::realms::{Account, RealmId, Realms, Signer};
use crate::{ClientTuple, Limits, Now, Reject, Server, Sha256, Transport, UserName};

/// A request whose integrity was verified. Only [`verify`] makes one, and [`Message`] does not show
/// the attributes behind the integrity, so no handler can read an attribute that was not signed.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    message: Message<'a>,
    /// The signer: a user of this realm, by the name without it, or the id of a token's key.
    pub(crate) user: Cow<'a, str>,
    pub(crate) realm: RealmId,
    /// The key that signed the request; it also signs the answer.
    pub(crate) key: MacKey,
    /// The algorithm that the request was signed with.
    integrity: Algorithm,
    /// When the nonce was made.
    pub(crate) nonce: Issued,
    /// The 5-tuple that the request came on.
    pub(crate) client: ClientTuple,
    /// The grant of the token whose key this is; `None` if the key is of a password.
    pub(crate) grant: Option<Box<Grant>>,
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

    /// Whether the client uses an algorithm of RFC 8489. A client that knows only RFC 5389 uses
    /// none.
    pub(crate) fn knows_rfc8489(&self) -> bool {
        let chosen = self.message.get::<PasswordAlgorithm>();
        self.integrity == Algorithm::Sha256 || chosen.is_ok_and(|chosen| chosen.is_some())
    }

    /// The account whose quota counts an allocation that this request opens.
    pub(crate) fn account<'s>(&'s self, realms: &'s Realms) -> Account<'s> {
        account(realms, self.realm, &self.user, self.grant.as_deref())
    }

    /// The lifetime asked for, in seconds.
    pub(crate) fn requested_lifetime(&self) -> Result<Option<u32>, Reject> {
        Ok(self.get::<Lifetime>()?.map(|lifetime| lifetime.0))
    }

    /// The lifetime granted, in seconds: as RFC 8656 §7.2 has it, and no longer than the token is
    /// good. RFC 7635 §9.
    pub(crate) fn lifetime(
        &self,
        requested: Option<u32>,
        limits: &Limits,
        now: Now,
    ) -> Result<u32, Reject> {
        let lifetime = limits.lifetime(requested);
        match &self.grant {
            Some(grant) => Ok(lifetime.min(grant.validity.left(now.unix)?)),
            None => Ok(lifetime),
        }
    }
}

/// The account whose quota counts an allocation: a person's, or that of the token that opened it.
pub(crate) fn account<'a>(
    realms: &'a Realms,
    realm: RealmId,
    user: &'a str,
    grant: Option<&'a Grant>,
) -> Account<'a> {
    match grant {
        Some(Grant { account: name, .. }) => Account { realm, name },
        None => realms.account(realm, user),
    }
}

/// Why a request does not count as signed.
#[derive(Debug)]
pub(crate) enum NotSigned {
    /// The client is told.
    Refused(Refusal),
    /// This user's key must be fetched first.
    KeyAwaited(UserName),
    /// The key could not be fetched a moment ago.
    KeyUnavailable,
}

/// The refusal of a request that is not signed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reject: Reject,
    /// The key to sign it with, where the client would not believe an unsigned one.
    pub(crate) key: Option<Box<MacKey>>,
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self { reject, key: None }
    }
}

impl From<Reject> for NotSigned {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject.into())
    }
}

impl From<Malformed> for NotSigned {
    fn from(malformed: Malformed) -> Self {
        Reject::from(malformed).into()
    }
}

/// Verifies that a request is signed by a known user, with a nonce of ours.
pub(crate) fn verify<'a>(
    server: &Server,
    now: Now,
    client: ClientTuple,
    message: Message<'a>,
) -> Result<Signed<'a>, NotSigned> {
    let mut integrity = message.integrity().ok_or(Reject::Challenge)?;
    if server.rules.sha256 == Sha256::Off {
        integrity = Algorithm::Sha1;
    }
    if takes_tokens(server, client)
        && let Some(signed) = third_party::verify(server, now, client, message, integrity)?
    {
        return Ok(signed);
    }
    let username = username(server, client, &message)?;
    let Realm(realm) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let Nonce(nonce) = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    third_party::refuse_unasked(server, &message)?;
    let policy = server.rules.sha256;
    let algorithms = server.offered.algorithms(policy, &message, integrity);
    let are_first_rules = server.rules.serial == 0;
    if are_first_rules {
        algorithms.as_ref().map_err(Clone::clone)?;
    }
    let realms = &server.rules.realms;
    let own = own_realm(server, client);
    let signed_with = realms.named_or_own(realm, own);
    let signed_with = signed_with.ok_or(Reject::UnknownRealm)?;
    // A hash that is of no user stands for a name that no user has: it must take as long to refuse.
    let username = username.unwrap_or_default();
    let signer = realms.signer(username, signed_with, own);

    // An allocation keeps its key, so credentials that expire do not end an allocation.
    let kept = kept(server, client, &message, &signer)
        .filter(|_| are_first_rules || !is_prolonged_in_vain(realms, &message, &signer));
    let opened_with = kept.as_ref().map(|kept| kept.opened_with);
    let kept = kept.map(|kept| kept.key).filter(|key| match &algorithms {
        Ok(it) if key.algorithm() == it.answer && it.answer == integrity => true,
        // When it was opened, other algorithms may have been offered, or required.
        Ok(_) | Err(_) => !are_first_rules && message.integrity() == Some(key.algorithm()),
    });
    let key = match kept.filter(|key| message.verify(key).is_ok()) {
        Some(key) => key,
        // An allocation of the client lives on with the realm that its listener had then.
        None if !realms.may_sign(signer.username(), signed_with, client.server) => {
            return Err(Reject::UnknownRealm.into());
        }
        None => {
            let proof = Proof {
                message: &message,
                username: signer.username(),
                realm,
                algorithms: algorithms?,
            };
            let keys = realms.keys(signer.realm);
            let fetched = if keys.are_remote() {
                // A stranger who only guesses a source address is not to cause a fetch.
                fresh(server, now, client, nonce, opened_with).ok_or(Reject::StaleNonce)?;
                server.keyring.find(now.mono, keys.realm(), signer.user())?
            } else {
                None
            };
            keys.authenticate(signer.user(), now.unix, proof, fetched)?
        }
    };
    // The nonce is checked last: a wrong password with a stale nonce is refused as a wrong
    // password.
    let nonce = fresh(server, now, client, nonce, opened_with).ok_or(Reject::StaleNonce)?;
    Ok(Signed {
        message,
        realm: signer.realm,
        user: signer.into_user(),
        key,
        integrity,
        nonce,
        client,
        grant: None,
    })
}

/// The realm of the client's allocation, where that realm may be gone.
fn own_realm(server: &Server, client: ClientTuple) -> Option<RealmId> {
    // Mostly none is, and then there is no need to look for the allocation.
    let has_gone = server.rules.realms.has_gone();
    has_gone
        .then(|| server.allocations.of(client))
        .flatten()
        .map(|it| it.realm)
}

/// Whether a request may be signed with the key of a token. None is taken without a key to open it,
/// but what one has opened lives on.
fn takes_tokens(server: &Server, client: ClientTuple) -> bool {
    let was_opened_with_one = || {
        let allocation = server.allocations.of(client);
        allocation.is_some_and(|allocation| allocation.grant.is_some())
    };
    !server.rules.tokens.is_empty() || (server.rules.serial > 0 && was_opened_with_one())
}

/// When a nonce was made, if it is good for the signer. `opened_with` is when the nonce was made
/// with which the signer's allocation was opened.
///
/// That nonce, and every later one for the client's address, is good for as long as the allocation
/// lives. Clients may be told 438 at any time (RFC 8489 §9.2.4), but in the middle of a call werift
/// ends at it and mediastreamer2 does not hear it. An earlier nonce is not good, so a request
/// signed for an earlier allocation cannot be replayed to this one.
fn fresh(
    server: &Server,
    now: Now,
    client: ClientTuple,
    nonce: &str,
    opened_with: Option<Issued>,
) -> Option<Issued> {
    let source = client.client.ip();
    // The nonce that an allocation was opened with begins as the rules had it then.
    let earlier = || opened_with.and_then(|_| server.nonces.issued_earlier(nonce, source));
    let issued = server.nonces.issued(nonce, source).or_else(earlier)?;
    let is_of_allocation = opened_with.is_some_and(|opened_with| opened_with <= issued);
    (is_of_allocation || server.nonces.is_young(issued, now.unix)).then_some(issued)
}

/// Whether a client has shown that its address is its own: it has a connection or a DTLS session, or a
/// nonce that was made for it.
pub(crate) fn has_address(server: &Server, client: ClientTuple, message: &Message<'_>) -> bool {
    let source = client.client.ip();
    let is_ours = |Nonce(nonce): Nonce<'_>| {
        let nonces = &server.nonces;
        nonces.issued(nonce, source).is_some() || nonces.issued_earlier(nonce, source).is_some()
    };
    client.transport != Transport::Udp || message.get().ok().flatten().is_some_and(is_ours)
}

/// The part of an allocation that authenticates later requests.
struct Kept {
    key: MacKey,
    opened_with: Issued,
}

/// Whether a request would prolong the allocation of a user who was taken away since. It ends with
/// the lifetime that it has; until then everything else is granted, as is its end.
fn is_prolonged_in_vain(realms: &Realms, message: &Message<'_>, signer: &Signer<'_>) -> bool {
    let prolongs = message.method() == Method::Refresh && message.get() != Ok(Some(Lifetime(0)));
    prolongs && realms.keys(signer.realm).has_lost(signer.user())
}

/// The key that the allocation of a request keeps, if the signer opened that allocation. It is the
/// one of the request's 5-tuple, or else the one of its ticket or its connection, in any shard.
fn kept(
    server: &Server,
    client: ClientTuple,
    message: &Message<'_>,
    signer: &Signer<'_>,
) -> Option<Kept> {
    if let Some(allocation) = server.allocations.of(client) {
        let is_signers = allocation.is_of_password(signer.realm, signer.user());
        return is_signers.then(|| Kept {
            key: allocation.key.clone(),
            opened_with: allocation.opened_with,
        });
    }
    let holder = if message.method() == Method::Refresh {
        let MobilityTicket(ticket) = message.get().ok()??;
        let ticket = server.tickets.open(ticket)?;
        server.shared.whereabouts.holder(ticket.number)?
    } else if message.method() == Method::ConnectionBind {
        server.shared.connections.holder(message.get().ok()??)?
    } else {
        return None;
    };
    let is_signers = (holder.realm, &*holder.user) == (signer.realm, signer.user());
    is_signers.then_some(Kept {
        key: holder.key,
        opened_with: holder.opened_with,
    })
}

/// The realm that a refusal names, for the client to sign its next try with. RFC 8489 §9.2.4.
///
/// For a name that ends in a realm it is that realm, whether or not the user is known: a user with
/// a precomputed key can sign with no other, and a stranger who guesses names learns nothing.
pub(crate) fn realm_told(
    server: &Server,
    client: ClientTuple,
    message: &Message<'_>,
    reject: &Reject,
) -> RealmId {
    let realms = &server.rules.realms;
    let listeners = realms.at(client.server);
    if matches!(reject, Reject::Challenge) {
        return listeners;
    }
    let signed_with = message.get().ok().flatten();
    let signed_with = signed_with.and_then(|Realm(realm)| realms.named(realm));
    // The realm may exist, but it cannot be used with a token at this listener.
    let signed_with = signed_with.filter(|_| *reject != Reject::UnknownRealm);
    let signed_with = signed_with.unwrap_or(listeners);
    if *reject == Reject::StaleNonce {
        // The realm is not what was refused.
        return signed_with;
    }
    let username = message.get().ok().flatten();
    let own = username.and_then(|Username(name)| realms.of_user(name, None));
    own.unwrap_or(signed_with)
}

/// The user name of a request, by its USERNAME or USERHASH; `None` if no user has the hash.
/// RFC 8489 §9.2.4.
fn username<'a>(
    server: &Server,
    client: ClientTuple,
    message: &Message<'a>,
) -> Result<Option<Cow<'a, str>>, Reject> {
    if let Some(Username(user)) = message.get()? {
        return Ok(Some(user.into()));
    }
    let hash: UserHash = message.get()?.ok_or(Reject::IncompleteCredentials)?;
    let is_offered = server.offered.user_hash;
    let known = is_offered.then(|| server.rules.realms.spelled(&hash));
    let known = known.flatten().map(ToOwned::to_owned);
    let name = known.or_else(|| name_of_allocation(server, client, message, hash));
    if name.is_none() && !is_offered {
        return Err(Reject::IncompleteCredentials);
    }
    Ok(name.map(Into::into))
}

/// The name of which this is the hash, if it is that of the allocation's user: rules that are not
/// the first may know the user, or offer hashes, no more.
fn name_of_allocation(
    server: &Server,
    client: ClientTuple,
    message: &Message<'_>,
    hash: UserHash,
) -> Option<String> {
    let allocation = server.allocations.of(client);
    let allocation = allocation.filter(|_| server.rules.serial > 0)?;
    let Realm(realm) = message.get().ok()??;
    let own = server.rules.realms.name(allocation.realm);
    let names = [
        allocation.user.to_string(),
        format!("{}@{own}", allocation.user),
    ];
    let mut names = names.into_iter();
    names.find(|name| UserHash::of(name, realm) == hash)
}
