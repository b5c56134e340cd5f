//! Which Allocates are answered 300 (Try Alternate). RFC 8489 §10, RFC 8656 §7.2 step 11.
//!
//! [`crate::redirect`] has the rules, and says why clients are sent on before they authenticate.

use rand::Rng;
use wire::Message;
use wire::attributes::{Realm, ReservationToken};

use super::{NextTry, fresh_nonce};
use crate::auth::Signed;
use crate::realms::RealmId;
use crate::redirect::{Alternate, Redirect, When};
use crate::{ClientTuple, Now, Reject, Server};

/// Refuses an Allocate without credentials, if a rule for all users sends its client elsewhere.
pub(super) fn stranger(
    server: &mut Server,
    client: ClientTuple,
    message: &Message<'_>,
) -> Result<(), Reject> {
    // An allocation or a reserved port of this server cannot be had on another.
    let reserved = message.get::<ReservationToken>() != Ok(None);
    if reserved || server.has_allocation(client) {
        return Ok(());
    }
    match decision(server, client, None) {
        // The client may be of that realm: it is challenged, and then its realm is known.
        Some((rule, _)) if rule.realm.is_some() => Ok(()),
        Some((_, alternate)) => Err(Reject::TryAlternate(alternate)),
        None => Ok(()),
    }
}

/// Refuses a request whose client a rule sends elsewhere; or says where to send it if there is no
/// room here.
pub(super) fn known(
    server: &mut Server,
    request: &Signed<'_>,
) -> Result<Option<Alternate>, Reject> {
    let Some((rule, alternate)) = decision(server, request.client, Some(request.realm)) else {
        return Ok(None);
    };
    let may_stay = match rule.when {
        When::Always | When::Draining => false,
        When::Allocations(_) => server.config.nonce_secret.is_none(),
    };
    if may_stay {
        Ok(Some(alternate))
    } else {
        Err(Reject::TryAlternate(alternate))
    }
}

/// The refusal of a client that another server could serve: it is sent there if this server has no
/// room for it.
pub(super) fn rather(alternate: Option<Alternate>, reject: Reject) -> Reject {
    const INSUFFICIENT_CAPACITY: u16 = 508;
    match alternate {
        Some(alternate) if reject.code() == INSUFFICIENT_CAPACITY => {
            Reject::TryAlternate(alternate)
        }
        Some(_) | None => reject,
    }
}

/// The refusal of an Allocate for which no socket could be opened: as [`rather`], if a rule has a
/// place for the client.
pub(super) fn rather_than_give_up(
    server: &mut Server,
    client: ClientTuple,
    realm: RealmId,
    reject: Reject,
) -> Reject {
    let decision = decision(server, client, Some(realm));
    let alternate = decision.map(|(_, alternate)| alternate);
    rather(alternate, reject)
}

/// The attributes for the first request to the next server, if that shares the secret of our
/// nonces: the realm that the client signed with here, a nonce, and the algorithms it announces.
pub(super) fn next_try<'a>(
    server: &mut Server,
    now: Now,
    request: &Signed<'a>,
    reject: &Reject,
) -> Option<NextTry<'a>> {
    if !matches!(reject, Reject::TryAlternate(_)) || server.config.nonce_secret.is_none() {
        return None;
    }
    let Realm(realm) = request.get().ok().flatten()?;
    let nonce = fresh_nonce(server, now, request.client);
    let algorithms = server.offered.algorithms;
    Some(NextTry {
        realm,
        nonce,
        algorithms,
    })
}

/// The first rule that concerns a client, and where it sends the client. The realm of a client that
/// has not authenticated is not known, so the rules of all realms may concern it.
fn decision(
    server: &mut Server,
    client: ClientTuple,
    realm: Option<RealmId>,
) -> Option<(&Redirect, Alternate)> {
    if server.rules.redirects.is_empty() {
        return None;
    }
    let chance = server.rng.next_u32();
    let (rules, quotas) = (&server.rules, &server.shared.quotas);
    rules.redirects.iter().find_map(|rule| {
        let of = match &rule.realm {
            Some(name) => Some(rules.realms.named(name)?),
            None => None,
        };
        let concerns = of.is_none() || realm.is_none() || of == realm;
        let holds = concerns && rule.holds(quotas, of);
        let alternate = holds.then(|| rule.alternate(client, chance)).flatten();
        alternate.map(|alternate| (rule, alternate))
    })
}
