//! Source prefixes that keep failing to prove who they are, and the bans that follow.
//!
//! A failure counts only if the client has shown that its address is its own, so that nobody is
//! banned for what others forge. Both tables are bounded: strangers choose how many prefixes fail.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ahash::RandomState;
use ipnet::IpNet;

use crate::clients::BanRule;
use crate::{ProcessSecret, SourcePrefix};

/// The bans of all shards, and the failures that may lead to more.
pub struct Bans {
    hasher: RandomState,
    tallies: Mutex<Box<[[Tally; ROW]]>>,
    banned: RwLock<BTreeMap<SourcePrefix, Ban>>,
    /// How many there are: where there are none, a request asks for no lock.
    count: AtomicUsize,
}

/// A source prefix that is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The banned network.
    pub prefix: SourcePrefix,
    /// How many failures led to it.
    pub failures: u32,
    /// When it began.
    pub since: Instant,
    /// When it ends by itself.
    pub until: Instant,
}

/// The failures of a prefix since the first of them.
#[derive(Clone, Copy, Default)]
struct Tally {
    of: Option<(SourcePrefix, Instant)>,
    failures: u32,
}

impl Bans {
    /// The secret keys the table of failures, so that nobody can aim at another's place in it.
    pub(crate) fn new(secret: &ProcessSecret) -> Self {
        let key = secret.derived(b"bans");
        let (words, _) = key.as_chunks();
        let seed = |at: usize| u64::from_be_bytes(words[at]);
        Self {
            hasher: RandomState::with_seeds(seed(0), seed(1), seed(2), seed(3)),
            tallies: Mutex::new(vec![[Tally::default(); ROW]; ROWS].into()),
            banned: RwLock::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// Whether an address is banned.
    pub fn has(&self, now: Instant, ip: IpAddr) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && {
            let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
            let ban = banned.get(&SourcePrefix::of(ip));
            ban.is_some_and(|ban| now < ban.until)
        }
    }

    /// Counts a failed proof; returns the ban if that was one too many.
    pub(crate) fn note(&self, rule: BanRule, now: Instant, ip: IpAddr) -> Option<Ban> {
        let prefix = SourcePrefix::of(ip);
        let failures = self.tally(rule.within, now, prefix);
        (failures >= rule.after.get()).then(|| {
            let ban = Ban {
                prefix,
                failures,
                since: now,
                until: now + rule.lasts,
            };
            self.begin(ban);
            ban
        })
    }

    /// The failures of a prefix with this one. They are forgotten where they lead to a ban, and
    /// where others need the place that failed more often.
    fn tally(&self, within: Duration, now: Instant, prefix: SourcePrefix) -> u32 {
        let row = self.hasher.hash_one(prefix) as usize % ROWS;
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let row = &mut tallies[row];
        let lives = |tally: &Tally| {
            (tally.of).is_some_and(|(_, first)| now.saturating_duration_since(first) < within)
        };
        let own = |tally: &Tally| tally.of.is_some_and(|(of, _)| of == prefix);
        let at = row.iter().position(own).unwrap_or_else(|| {
            let worth = |at: &usize| {
                row.get(*at)
                    .filter(|it| lives(it))
                    .map_or(0, |it| it.failures)
            };
            (0..ROW).min_by_key(worth).unwrap_or_default()
        });
        let tally = &mut row[at];
        if !(own(tally) && lives(tally)) {
            *tally = Tally {
                of: Some((prefix, now)),
                failures: 0,
            };
        }
        tally.failures += 1;
        tally.failures
    }

    fn begin(&self, ban: Ban) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let row = self.hasher.hash_one(ban.prefix) as usize % ROWS;
        for tally in &mut tallies[row] {
            if tally.of.is_some_and(|(of, _)| of == ban.prefix) {
                *tally = Tally::default();
            }
        }
        drop(tallies);
        self.change(|banned| {
            // One more ban costs an attacker many failures from one more network.
            if banned.len() >= MOST
                && let Some(first) = banned.values().min_by_key(|ban| ban.until).copied()
            {
                banned.remove(&first.prefix);
            }
            banned.insert(ban.prefix, ban);
        });
    }

    /// How many are in force, and those that [`Bans::expire`] has not taken yet.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// All that are in force, in the order of the addresses.
    pub fn list(&self, now: Instant) -> Vec<Ban> {
        let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
        let all = banned.values().filter(|ban| now < ban.until);
        all.copied().collect()
    }

    /// Ends the bans of all prefixes that a network lies in, or that lie in it; returns them.
    pub fn lift(&self, network: IpNet) -> Vec<Ban> {
        self.take(|ban| {
            let prefix = ban.prefix.network();
            prefix.contains(&network) || network.contains(&prefix)
        })
    }

    /// Removes the bans that have ended by themselves; returns them.
    pub fn expire(&self, now: Instant) -> Vec<Ban> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.take(|ban| ban.until <= now)
    }

    /// Ends all bans: the rule that led to them is gone.
    pub(crate) fn end_all(&self, now: Instant) {
        self.change(|banned| {
            for ban in banned.values_mut() {
                ban.until = ban.until.min(now);
            }
        });
    }

    fn take(&self, is_meant: impl Fn(&Ban) -> bool) -> Vec<Ban> {
        let mut taken = Vec::new();
        self.change(|banned| {
            banned.retain(|_, ban| {
                let is_meant = is_meant(ban);
                taken.extend(is_meant.then_some(*ban));
                !is_meant
            });
        });
        taken
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<SourcePrefix, Ban>)) {
        let mut banned = self.banned.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut banned);
        self.count.store(banned.len(), Ordering::Relaxed);
    }
}

/// The tables are left out.
impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bans").finish_non_exhaustive()
    }
}

/// Failures are counted of 4,096 prefixes, in rows of places that the same prefixes may take: of
/// more in one row, the one that failed least gives way.
const ROWS: usize = 1024;
const ROW: usize = 4;

/// Bans at once. Of more, the one that would end first gives way.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const RULE: BanRule = BanRule {
        after: NonZeroU32::new(3).unwrap(),
        within: Duration::from_secs(60),
        lasts: Duration::from_secs(600),
    };

    fn bans() -> (Bans, Instant) {
        let bans = Bans::new(&ProcessSecret([7; 32]));
        (bans, sim::Clock::new().now().mono)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_is_banned_by_its_failures_within_the_time_and_for_the_time() {
        let (bans, start) = bans();
        let at = |seconds| start + Duration::from_secs(seconds);
        let fails = |seconds, who| bans.note(RULE, at(seconds), ip(who)).is_some();
        assert!(!fails(0, "192.0.2.1"));
        assert!(!fails(1, "192.0.2.2"));
        assert!(!fails(61, "192.0.2.3"), "the first two were too long ago");
        assert!(!fails(62, "192.0.2.3"));
        assert!(!fails(62, "198.51.100.1"));
        assert!(fails(63, "192.0.2.4"));
        assert!(bans.has(at(64), ip("192.0.2.255")));
        assert!(bans.has(at(64), ip("::ffff:192.0.2.9")));
        assert!(!bans.has(at(64), ip("198.51.100.1")));
        assert!(!bans.has(at(663), ip("192.0.2.255")));
        assert_eq!(bans.expire(at(662)), []);
        assert_eq!(bans.expire(at(663))[0].failures, 3);
        assert_eq!(bans.expire(at(663)), []);
        assert!(
            !fails(664, "192.0.2.4"),
            "a ban begins with nothing counted"
        );
    }

    #[test]
    fn a_ban_is_lifted_by_its_prefix_by_an_address_in_it_or_by_a_network_around_it() {
        for lifted in ["192.0.2.0/24", "192.0.2.77/32", "192.0.0.0/16", "0.0.0.0/0"] {
            let (bans, start) = bans();
            for who in ["192.0.2.1", "2001:db8:7:1::1"] {
                (0..3).for_each(|_| _ = bans.note(RULE, start, ip(who)));
            }
            assert_eq!(bans.list(start).len(), 2);
            assert_eq!(bans.lift(lifted.parse().unwrap()).len(), 1, "{lifted}");
            assert!(!bans.has(start, ip("192.0.2.1")));
            assert!(bans.has(start, ip("2001:db8:7:ffff::1")));
            assert_eq!(bans.list(start)[0].prefix.to_string(), "2001:db8:7::/48");
        }
    }

    #[test]
    fn prefixes_without_number_displace_neither_who_fails_most_nor_take_memory() {
        let (bans, start) = bans();
        let guesser = ip("192.0.2.1");
        (0..2).for_each(|_| assert!(bans.note(RULE, start, guesser).is_none()));
        for prefix in 0..100_000_u32 {
            let other = IpAddr::from((0x0A00_0000 + (prefix << 8)).to_be_bytes());
            assert!(bans.note(RULE, start, other).is_none());
        }
        assert!(bans.note(RULE, start, guesser).is_some());
        for prefix in 0..2 * MOST as u32 {
            let other = IpAddr::from((0x0A00_0000 + (prefix << 8)).to_be_bytes());
            let later = start + Duration::from_secs(1);
            (0..3).for_each(|_| _ = bans.note(RULE, later, other));
        }
        assert_eq!(bans.list(start).len(), MOST);
    }
}
