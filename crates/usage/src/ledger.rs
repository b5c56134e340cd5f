//! The ledger: what passed in a calendar month, for each user and each realm, and who is over a cap.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::time;

/// At most so many bytes, both ways together, carry no call: connectivity checks of ICE pass through
/// allocations that are given up then, some kilobytes of them. One second of speech is about 4,000 bytes.
pub const UNUSED: u64 = 10_000;

/// The counts of one month.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// As in `2026-11`.
    month: String,
    realms: BTreeMap<String, RealmCounts>,
    /// How many users are counted.
    users: usize,
    /// The caps that were told in this month, by [`Over::key`].
    told: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
struct RealmCounts {
    all: Count,
    users: BTreeMap<String, Count>,
}

/// The data of a user or a realm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Bytes from clients to peers.
    pub sent: u64,
    /// Bytes from peers to clients.
    pub received: u64,
    /// Allocations that ended.
    pub ended: u64,
    /// Those of them that carried no call.
    pub unused: u64,
}

impl Count {
    /// The bytes both ways together, which caps are about.
    pub const fn bytes(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }

    const fn add(&mut self, more: Self) {
        self.sent = self.sent.saturating_add(more.sent);
        self.received = self.received.saturating_add(more.received);
        self.ended = self.ended.saturating_add(more.ended);
        self.unused = self.unused.saturating_add(more.unused);
    }
}

/// A bound of the data in a calendar month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The realm; `None` is each of them.
    pub realm: Option<String>,
    /// The users, each of whom it is for: one `*` stands for any text. `None` is for the realm as a whole.
    pub user: Option<String>,
    /// The bytes, both ways together.
    pub bytes: u64,
    /// The consequence.
    pub then: Then,
}

/// The consequence of a reached cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The operator is told.
    Warn,
    /// The data of the user, or of each user of the realm, passes no faster, in bytes per second.
    Throttle(NonZeroU64),
    /// No new allocation is granted.
    Refuse,
}

impl Then {
    /// The word in the configuration, events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Throttle(_) => "throttle",
            Self::Refuse => "refuse",
        }
    }
}

/// A user or a realm that has reached a cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The realm.
    pub realm: String,
    /// The user, unless it is the realm as a whole.
    pub user: Option<String>,
    /// The bytes that have passed.
    pub bytes: u64,
    /// The cap, in bytes.
    pub cap: u64,
    /// The consequence.
    pub then: Then,
}

impl Over {
    fn key(&self) -> String {
        let user = self.user.as_deref().unwrap_or("\0");
        let (realm, cap, then) = (&self.realm, self.cap, self.then.name());
        format!("{realm}\0{user}\0{cap}\0{then}")
    }
}

impl Ledger {
    /// Counts data and ended allocations of a user.
    pub(crate) fn count(&mut self, realm: &str, user: &str, more: Count) {
        if !self.realms.contains_key(realm) {
            self.realms.insert(realm.to_owned(), RealmCounts::default());
        }
        let Some(counts) = self.realms.get_mut(realm) else {
            return;
        };
        counts.all.add(more);
        if let Some(count) = counts.users.get_mut(user) {
            return count.add(more);
        }
        counts.users.insert(user.to_owned(), more);
        self.users += 1;
        if self.users > MOST_USERS {
            self.forget_the_least();
        }
    }

    /// The month of this time. Where it is a later one than before, everything begins anew; returns whether it
    /// does. A clock that goes back changes nothing, unless it was far ahead.
    pub(crate) fn turn(&mut self, now: Duration) -> bool {
        // A month that lies ahead by more than a day is of a clock that was wrong, and no cap waits for it. A clock
        // that stands before all servers is itself wrong.
        let is_wrong = now >= PLAUSIBLE && month(now + DAY) < self.month;
        let month = month(now);
        if month <= self.month && !is_wrong {
            return false;
        }
        *self = Self {
            month,
            ..Self::default()
        };
        true
    }

    /// The month that is counted, as in `2026-11`.
    pub fn month(&self) -> &str {
        &self.month
    }

    /// The users and realms that have reached one of these caps, in their order.
    pub fn over(&self, caps: &[Cap]) -> Vec<Over> {
        let mut all = Vec::new();
        for (realm, counts) in &self.realms {
            let of_realm = caps
                .iter()
                .filter(|cap| cap.realm.as_ref().is_none_or(|named| named == realm));
            for cap in of_realm {
                let over = |user: Option<&String>, count: &Count| Over {
                    realm: realm.clone(),
                    user: user.cloned(),
                    bytes: count.bytes(),
                    cap: cap.bytes,
                    then: cap.then,
                };
                let is_over = |count: &Count| count.bytes() >= cap.bytes;
                match &cap.user {
                    None if is_over(&counts.all) => all.push(over(None, &counts.all)),
                    None => {}
                    Some(pattern) => {
                        let users = counts.users.iter();
                        let meant =
                            users.filter(|(user, it)| is_over(it) && matches(pattern, user));
                        all.extend(meant.map(|(user, count)| over(Some(user), count)));
                    }
                }
            }
        }
        all
    }

    /// Whether this was not told yet in this month. It is, from now on.
    pub(crate) fn is_news(&mut self, over: &Over) -> bool {
        self.told.insert(over.key())
    }

    /// The realms and their counts.
    pub fn realms(&self) -> impl Iterator<Item = (&str, Count)> {
        let all = self.realms.iter();
        all.map(|(realm, counts)| (realm.as_str(), counts.all))
    }

    /// Realms, users and their counts.
    pub fn users(&self) -> impl Iterator<Item = (&str, &str, Count)> {
        self.realms.iter().flat_map(|(realm, counts)| {
            let users = counts.users.iter();
            users.map(move |(user, count)| (realm.as_str(), user.as_str(), *count))
        })
    }

    /// The caps that were told.
    pub(crate) fn told(&self) -> impl Iterator<Item = &String> {
        self.told.iter()
    }

    /// Takes over the counts of a journal. Those of a user are added, those of a realm follow from a record of their
    /// own.
    pub(crate) fn restore_user(&mut self, realm: String, user: String, count: Count) {
        let counts = self.realms.entry(realm).or_default();
        if counts.users.insert(user, count).is_none() {
            self.users += 1;
        }
    }

    pub(crate) fn restore_realm(&mut self, realm: String, count: Count) {
        self.realms.entry(realm).or_default().all = count;
    }

    pub(crate) fn restore_told(&mut self, key: String) {
        self.told.insert(key);
    }

    pub(crate) fn restore_month(&mut self, month: String) {
        *self = Self {
            month,
            ..Self::default()
        };
    }

    /// Forgets the half of the users with the least data, whom no cap is about: where a service gives each
    /// visitor a name, there is no end of users. Their realm keeps what they used.
    fn forget_the_least(&mut self) {
        let mut bytes: Vec<u64> = self.users().map(|(_, _, it)| it.bytes()).collect();
        let middle = bytes.len() / 2;
        let (_, median, _) = bytes.select_nth_unstable(middle);
        let median = *median;
        let mut left = self.users - middle;
        self.users = 0;
        for counts in self.realms.values_mut() {
            // Among those with as much as the median only so many stay.
            counts.users.retain(|_, count| {
                let stays = count.bytes() > median || count.bytes() == median && left > 0;
                left = left.saturating_sub(stays.into());
                stays
            });
            self.users += counts.users.len();
        }
    }
}

/// The month of a time since the Unix epoch, as in `2026-11`.
fn month(now: Duration) -> String {
    let mut text = time(now);
    text.truncate("2026-11".len());
    text
}

/// Whether a text is of this form: one `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let rest = text.strip_prefix(head);
            rest.is_some_and(|rest| rest.ends_with(tail))
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The first moment of 2026.
const PLAUSIBLE: Duration = Duration::from_secs(1_767_225_600);
/// Some 20 MB of them.
const MOST_USERS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: &str = "example.org";

    fn passed(sent: u64, received: u64) -> Count {
        Count {
            sent,
            received,
            ..Count::default()
        }
    }

    fn cap(realm: Option<&str>, user: Option<&str>, bytes: u64) -> Cap {
        Cap {
            realm: realm.map(str::to_owned),
            user: user.map(str::to_owned),
            bytes,
            then: Then::Refuse,
        }
    }

    fn day(date: &str) -> Duration {
        let time = humantime::parse_rfc3339(&format!("{date}T00:00:00Z")).unwrap();
        time.duration_since(std::time::UNIX_EPOCH).unwrap()
    }

    fn over(ledger: &Ledger, cap: Cap) -> Vec<(String, Option<String>)> {
        let all = ledger.over(&[cap]).into_iter();
        all.map(|it| (it.realm, it.user)).collect()
    }

    #[test]
    fn a_cap_is_for_each_user_that_it_names_or_for_a_realm_and_counts_both_ways() {
        let mut ledger = Ledger::default();
        ledger.count(REALM, "alice", passed(60, 40));
        ledger.count(REALM, "alina", passed(0, 99));
        ledger.count("example.net", "alice", passed(100, 0));
        let user = |realm: &str, user: &str| (realm.to_owned(), Some(user.to_owned()));
        let (here, there) = (user(REALM, "alice"), user("example.net", "alice"));
        let each = |pattern| cap(None, Some(pattern), 100);
        assert_eq!(over(&ledger, each("*")), [there.clone(), here.clone()]);
        assert_eq!(over(&ledger, each("alice")), [there.clone(), here.clone()]);
        assert_eq!(over(&ledger, each("al*e")), [there, here.clone()]);
        assert_eq!(over(&ledger, each("alin*")), []);
        assert_eq!(over(&ledger, cap(Some(REALM), Some("*"), 100)), [here]);
        assert_eq!(over(&ledger, cap(Some(REALM), Some("*"), 101)), []);
        let whole = [(REALM.to_owned(), None)];
        assert_eq!(over(&ledger, cap(None, None, 199)), whole);
        assert_eq!(over(&ledger, cap(None, None, 200)), []);
    }

    #[test]
    fn a_new_month_begins_with_nothing_and_a_clock_that_goes_back_changes_nothing() {
        let mut ledger = Ledger::default();
        assert!(ledger.turn(day("2026-11-30")));
        ledger.count(REALM, "alice", passed(100, 0));
        let over = ledger.over(&[cap(None, Some("*"), 100)]);
        assert!(ledger.is_news(&over[0]));
        assert!(!ledger.is_news(&over[0]));
        assert!(!ledger.turn(day("2026-11-30")));
        assert!(!ledger.turn(day("1970-01-01")));
        assert_eq!(ledger.users().count(), 1);
        assert!(ledger.turn(day("2026-12-01")));
        assert_eq!(ledger.month(), "2026-12");
        assert_eq!(ledger.users().count(), 0);
        assert!(ledger.is_news(&over[0]));
    }

    #[test]
    fn a_month_of_a_clock_that_was_far_ahead_ends_with_that_clock() {
        let mut ledger = Ledger::default();
        ledger.turn(day("2038-01-19"));
        assert!(ledger.turn(day("2026-11-30")));
        assert_eq!(ledger.month(), "2026-11");
        // Some hours are no reason.
        ledger.turn(day("2026-12-01"));
        assert!(!ledger.turn(day("2026-11-30")));
        assert!(ledger.turn(day("2026-11-29")));
    }

    #[test]
    fn of_too_many_users_those_with_the_least_data_are_forgotten_and_their_realm_remembers() {
        let mut ledger = Ledger::default();
        for number in 0..=MOST_USERS as u64 {
            ledger.count(REALM, &format!("user-{number}"), passed(number, 0));
        }
        assert!(ledger.users().count() <= MOST_USERS / 2 + 1);
        assert!(ledger.users().any(|(_, user, _)| user == "user-100000"));
        assert!(!ledger.users().any(|(_, user, _)| user == "user-7"));
        let (_, realm) = ledger.realms().next().unwrap();
        assert_eq!(realm.sent, 5_000_050_000);
        // All alike, too.
        for number in 0..2 * MOST_USERS {
            ledger.count(REALM, &format!("visitor-{number}"), passed(1, 0));
        }
        assert!(ledger.users().count() <= MOST_USERS);
    }
}
