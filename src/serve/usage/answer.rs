//! Usage as the API shows it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ::admin::api::usage::{Filter, OfRealm, OfUser, Usage, Used};
use ::usage::{Count, Ledger, Over};

use super::tap::KINDS;

/// The users that a query is about, and all realms.
pub(super) fn answer(ledger: &Ledger, over: &[Over], query: &Filter) -> Usage {
    let mut follows: BTreeMap<(&str, Option<&str>), Vec<String>> = BTreeMap::new();
    for over in over {
        let whose = (over.realm.as_str(), over.user.as_deref());
        let words = follows.entry(whose).or_default();
        let word = over.then.name().to_owned();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let is = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|it| it == has);
    let meant = ledger
        .users()
        .filter(|(realm, user, _)| is(&query.realm, realm) && is(&query.user, user));
    let mut meant: Vec<(&str, &str, Count)> = meant.collect();
    meant.sort_by_key(|(_, _, count)| Reverse(count.bytes()));
    let shown = query.limit.unwrap_or(USUAL).min(MOST);
    let more = meant.len().saturating_sub(shown);
    let of = |realm: &str, user: Option<&str>| {
        let words = follows.get(&(realm, user));
        words.cloned().unwrap_or_default()
    };
    let users = meant.into_iter().take(shown);
    let users = users.map(|(realm, user, count)| OfUser {
        realm: realm.to_owned(),
        user: user.to_owned(),
        used: used(count),
        over: of(realm, Some(user)),
    });
    let realms = ledger.realms().filter(|(realm, _)| is(&query.realm, realm));
    let realms = realms.map(|(realm, count)| OfRealm {
        realm: realm.to_owned(),
        used: used(count),
        over: of(realm, None),
    });
    Usage {
        counted: true,
        month: ledger.month().to_owned(),
        users: users.collect(),
        more,
        realms: realms.collect(),
        over: KINDS
            .iter()
            .map(|kind| {
                let of_kind = over.iter().filter(|it| it.then.name() == *kind);
                ((*kind).to_owned(), of_kind.count())
            })
            .collect(),
        events: Default::default(),
    }
}

const fn used(count: Count) -> Used {
    Used {
        bytes: count.bytes(),
        sent: count.sent,
        received: count.received,
        allocations: count.ended,
        unused: count.unused,
    }
}

const USUAL: usize = 100;
const MOST: usize = 10_000;
