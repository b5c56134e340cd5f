//! The amplification budget: how many bytes strangers are sent beyond those that they send.
//! RFC 8489 §16.1.2.
//!
//! The source address of a datagram is whatever its sender wrote there. A server that answers with
//! more than it was sent strengthens an attack on the host that has that address. So the bytes that
//! answers to unauthenticated requests add are rationed: per source prefix, which is about what one
//! victim owns, and in all. An answer no longer than its request adds nothing and is never held
//! back.
//!
//! A quarter of what all may be sent is kept for prefixes that had a client within the last hour
//! ([`crate::acquaintances`]), as long as there are any; they may have of the rest as well. A flood
//! in the name of prefixes without clients takes nothing of it.
//!
//! Strangers choose their addresses, so nothing is kept per address. There is a table of a fixed
//! size, and a keyed hash of the prefix names its cell. Prefixes that share a cell share an
//! allowance. Without the key nobody can aim at another's cell, and collisions by chance do little:
//! only answers that are *sent* are charged, so the allowance in all keeps at most `total /
//! per_prefix` cells (16 by default) empty for long, of 65,536.
//!
//! Where more is asked than may be answered, chance decides, not the order of arrival: a cell may
//! be charged up to a second's worth ahead of time, and the further ahead it is beyond that, the
//! likelier a refusal is, until as much is refused as is too much. So every request that the same
//! allowance is for has the same chance, which is the ratio of the allowance to the demand, however a
//! flood times and cuts its requests.
//!
//! With the default allowance, a challenge that adds 68 bytes, and 60,000 forged Allocates a second:
//! - The first try of a client whose prefix had a client within the last hour is answered, as are a
//!   thousand such tries a second, if the flood does not guess such prefixes. One who does guess them
//!   has to spend `per_prefix` on each, and has taken the kept quarter with four.
//! - A try of a client whose prefix had none is answered with a chance of 1 in 20, and one of its
//!   seven tries (RFC 8489 §6.2.1) with a chance of 3 in 10. The budget promises it no more. Over TCP
//!   it is answered always, for there is no budget; and once one client of a prefix has come in, the
//!   others are no strangers.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::ProcessSecret;
use crate::acquaintances::Acquaintances;
use crate::rate::{Cell, Cells, Epoch, SECOND};

/// How many bytes per second the answers to unauthenticated requests may be longer than these. As
/// much may come at once as in a second, and by chance twice that; `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// To one [`crate::SourcePrefix`].
    pub per_prefix: Option<NonZeroU64>,
    /// In all, over all shards. A quarter is for prefixes that had a client within the last hour.
    pub total: Option<NonZeroU64>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            per_prefix: NonZeroU64::new(16 * 1024),
            total: NonZeroU64::new(256 * 1024),
        }
    }
}

/// The rest of the [`Allowance`]. It is one for all shards, as the clients of one prefix are spread
/// over them. It is no bottleneck: a request that is refused, as most are under a flood, only
/// reads.
#[derive(Debug)]
pub struct Budget {
    epoch: Epoch,
    /// The part of the total that anybody may have.
    open: Cell,
    /// The part that acquaintances may have, or anybody as long as there are none.
    kept: Cell,
    prefixes: Cells,
    acquaintances: Acquaintances,
    /// The bytes that were charged since the start, also where there is no limit.
    spent: AtomicU64,
}

impl Budget {
    /// The secret keys the table.
    pub(crate) fn new(secret: &ProcessSecret) -> Self {
        Self {
            epoch: Epoch::default(),
            open: Cell::default(),
            kept: Cell::default(),
            prefixes: Cells::new(secret, b"amplification budget", CELLS),
            acquaintances: Acquaintances::new(),
            spent: AtomicU64::new(0),
        }
    }

    /// How many bytes answers to unauthenticated requests were longer than these since the start, over all shards.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether `to` may be sent so many bytes more than came in its name; charges them if so.
    /// `chance` is any number, each as likely as the others.
    pub(crate) fn admit(
        &self,
        allowance: Allowance,
        now: Instant,
        to: IpAddr,
        excess: usize,
        chance: u32,
    ) -> bool {
        let Allowance { per_prefix, total } = allowance;
        let now = self.epoch.count(now);
        let hash = self.prefixes.hash(to);
        // An answer that is earned within a second is always sent; in the second after that, chance
        // decides: the luckier the request, the later the charge may be earned.
        let bad_luck = (SECOND * u64::from(chance)) >> u32::BITS;
        let latest = now.saturating_add(2 * SECOND - 1 - bad_luck);
        let excess = u64::try_from(excess).unwrap_or(u64::MAX);
        let prefix = self.prefixes.at(hash);
        // A charge that one cell refuses is not made to the other. Another shard may come in
        // between, which costs an answer that could have been sent, but never sends one too many.
        let is_admitted = prefix.has_room(latest, per_prefix)
            && self.take(hash, now, latest, excess, total)
            && prefix.take(now, latest, excess, per_prefix);
        if is_admitted {
            self.spent.fetch_add(excess, Ordering::Relaxed);
        }
        is_admitted
    }

    /// Charges the total.
    fn take(
        &self,
        hash: u64,
        now: u64,
        latest: u64,
        excess: u64,
        total: Option<NonZeroU64>,
    ) -> bool {
        let quarters = |of: u64| NonZeroU64::new(total?.get().saturating_mul(of).div_ceil(4));
        let of_kept = || self.kept.take(now, latest, excess, quarters(1));
        let of_open = || self.open.take(now, latest, excess, quarters(3));
        let second = seconds(now);
        if self.acquaintances.has(hash, second) {
            of_kept() || of_open()
        } else {
            of_open() || (!self.acquaintances.has_any(second) && of_kept())
        }
    }

    /// Notes that the client at this address has authenticated.
    pub(crate) fn acquaint(&self, now: Instant, client: IpAddr) {
        let now = seconds(self.epoch.count(now));
        self.acquaintances.note(self.prefixes.hash(client), now);
    }
}

/// Whole seconds, counted from 1.
fn seconds(now: u64) -> u32 {
    u32::try_from(now / SECOND + 1).unwrap_or(u32::MAX)
}

/// Half a MiB. When an operator raises `total` a hundredfold, 1,600 cells can be empty at once, and
/// one prefix in forty shares one of them.
const CELLS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RATE: u64 = 4096;
    /// The least lucky draw: only an answer that is certain is sent.
    const UNLUCKY: u32 = u32::MAX;

    /// A budget with the allowance that it is asked under.
    struct Rationed(Budget, Allowance);

    impl Rationed {
        fn admit(&self, now: Instant, to: IpAddr, excess: usize, chance: u32) -> bool {
            self.0.admit(self.1, now, to, excess, chance)
        }
    }

    fn budget(per_prefix: u64, total: u64) -> Rationed {
        let allowance = Allowance {
            per_prefix: NonZeroU64::new(per_prefix),
            total: NonZeroU64::new(total),
        };
        Rationed(Budget::new(&ProcessSecret([7; 32])), allowance)
    }

    fn start() -> Instant {
        sim::Clock::new().now().mono
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many bytes a source hears at once, when each answer adds so many.
    fn drained(budget: &Rationed, now: Instant, to: IpAddr, excess: usize) -> usize {
        excess
            * (0..100_000)
                .take_while(|_| budget.admit(now, to, excess, UNLUCKY))
                .count()
    }

    #[test]
    fn a_second_is_given_at_once_and_the_rest_as_it_is_earned() {
        let (budget, now, to) = (budget(RATE, 0), start(), ip("192.0.2.1"));
        assert_eq!(drained(&budget, now, to, 64), 4096);
        assert_eq!(
            drained(&budget, now + Duration::from_millis(250), to, 64),
            1024
        );
        assert_eq!(
            drained(&budget, now + Duration::from_millis(500), to, 64),
            1024
        );
        // An idle hour saves nothing up.
        assert_eq!(
            drained(&budget, now + Duration::from_secs(3600), to, 64),
            4096
        );
        assert_eq!(budget.0.spent(), 4096 + 1024 + 1024 + 4096);
    }

    #[test]
    fn a_prefix_has_its_share_and_leaves_others_theirs() {
        let (budget, now) = (budget(RATE, 0), start());
        drained(&budget, now, ip("192.0.2.1"), 64);
        assert!(!budget.admit(now, ip("192.0.2.255"), 64, UNLUCKY));
        assert!(budget.admit(now, ip("192.0.3.1"), 64, UNLUCKY));
    }

    #[test]
    fn what_one_limit_refuses_is_not_charged_to_the_other() {
        let (budget, now) = (budget(RATE, 2 * RATE), start());
        drained(&budget, now, ip("192.0.2.1"), 64);
        // The prefix has used its half of the total, and more requests from it take nothing of the
        // other half.
        for _ in 0..1000 {
            assert!(!budget.admit(now, ip("192.0.2.1"), 64, UNLUCKY));
        }
        assert_eq!(drained(&budget, now, ip("192.0.3.1"), 64), 4096);
        // The total is used up. A prefix that was refused because of that still has its own
        // allowance.
        for _ in 0..1000 {
            assert!(!budget.admit(now, ip("192.0.4.1"), 64, UNLUCKY));
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(drained(&budget, later, ip("192.0.4.1"), 64), 4096);
    }

    #[test]
    fn short_answers_leave_room_for_long_ones() {
        let (budget, now) = (budget(0, RATE), start());
        drained(&budget, now, ip("192.0.2.1"), 12);
        let later = now + Duration::from_millis(3);
        assert!(budget.admit(later, ip("192.0.2.1"), 600, UNLUCKY));
    }

    #[test]
    fn the_lucky_hear_a_second_more_and_nobody_hears_two() {
        for (chance, most) in [(0, 8192), (u32::MAX / 2, 6144), (UNLUCKY, 4096)] {
            let (budget, now) = (budget(RATE, 0), start());
            let asked = (0..1000).filter(|_| budget.admit(now, ip("192.0.2.1"), 64, chance));
            assert_eq!(64 * asked.count(), most);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "shards are threads")]
    fn shards_that_ask_at_the_same_time_do_not_exceed_it_together() {
        let (budget, now) = (budget(0, 64 * RATE), start());
        let ask = |net: u8| drained(&budget, now, IpAddr::from([192, 0, net, 1]), 64);
        let heard: usize = std::thread::scope(|scope| {
            let shards = [0, 1, 2, 3].map(|net| scope.spawn(move || ask(net)));
            shards.into_iter().map(|shard| shard.join().unwrap()).sum()
        });
        assert_eq!(heard, 64 * 4096);
    }

    proptest! {
        #[test]
        fn no_sequence_takes_more_than_the_allowance(
            per_prefix in 1_u64..100_000,
            total in 1_u64..100_000,
            steps in prop::collection::vec((0_u64..400, 0_u8..4, 1_usize..800, any::<u32>()), 1..400),
        ) {
            let budget = budget(per_prefix, total);
            let (begin, mut passed) = (start(), 0);
            let (mut to_each, mut to_all) = ([0; 4], 0);
            for (pause, net, excess, chance) in steps {
                passed += pause;
                let now = begin + Duration::from_millis(passed);
                if budget.admit(now, IpAddr::from([192, 0, net, 1]), excess, chance) {
                    to_each[usize::from(net)] += excess as u64;
                    to_all += excess as u64;
                }
                // Two seconds' worth, the allowance earned since, and the end of the last answer;
                // each part of the total may have one.
                let most = |rate: u64| rate * (2000 + passed) / 1000 + 800;
                prop_assert!(to_all <= most(total + 1) + 800);
                prop_assert!(to_each.iter().all(|heard| *heard <= most(per_prefix)));
            }
        }
    }
}
