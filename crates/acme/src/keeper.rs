//! The next step towards a certificate: decided by a value that is told the time and each outcome.

use std::time::{Duration, SystemTime};

use crate::schedule::{LONGEST_RETRY_AFTER, pause, renewal, rest};
use crate::store::Held;
use crate::{Failure, Wanted};

/// A step towards a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Order a certificate.
    Order,
    /// Ask when to renew.
    Look,
    /// Nothing before this.
    Wait(SystemTime),
}

/// The certificate at hand, and the failures since it was issued.
#[derive(Default)]
pub(crate) struct Keeper {
    pub(crate) held: Option<Held>,
    /// In a row.
    failures: u32,
    /// After a failure, or for a new certificate: this is long enough.
    paused: Option<SystemTime>,
    /// The authority wants not to be asked before.
    barred: Option<SystemTime>,
}

impl Keeper {
    pub(crate) fn new(held: Option<Held>) -> Self {
        Self {
            held,
            ..Self::default()
        }
    }

    /// The step that is due now.
    pub(crate) fn step(&self, wanted: &Wanted, now: SystemTime) -> Step {
        let held = self.held.as_ref();
        let held = held.filter(|held| wanted.is_same_order(&held.ordered));
        let due = held.map_or(now, Held::due);
        if due <= now {
            return match self.not_before(now) {
                Some(time) => Step::Wait(time),
                None => Step::Order,
            };
        }
        match held
            .and_then(|held| held.renewal.look)
            .filter(|look| near(*look, now))
        {
            Some(look) => Step::Wait(look.min(due)),
            None => Step::Look,
        }
    }

    /// When the next attempt may be, if that is not now.
    fn not_before(&self, now: SystemTime) -> Option<SystemTime> {
        let times = [self.paused, self.barred].into_iter().flatten();
        times.filter(|time| near(*time, now)).max()
    }

    pub(crate) fn issued(&mut self, held: Held, now: SystemTime) {
        let rest = rest(&held.certificate.validity);
        *self = Self {
            paused: Some(now + rest),
            ..Self::new(Some(held))
        };
    }

    /// Returns for how long nothing is tried.
    pub(crate) fn failed(&mut self, failure: &Failure, now: SystemTime, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.paused = Some(now + pause(self.failures, failure.is_refusal, chance));
        self.barred = failure.not_before;
        let next = self
            .not_before(now)
            .and_then(|next| next.duration_since(now).ok());
        next.unwrap_or_default()
    }

    /// Whether the next attempt is by the other way of proof, where there are two.
    pub(crate) fn is_odd(&self) -> bool {
        self.failures % 2 == 1
    }

    /// The operator has changed something, and wants to see whether it helps. The authority's own
    /// waiting time still holds.
    pub(crate) fn hurry(&mut self, is_same_authority: bool) {
        self.failures = 0;
        self.paused = None;
        if !is_same_authority {
            self.barred = None;
        }
    }
}

impl Held {
    /// When it is to be renewed.
    pub(crate) fn due(&self) -> SystemTime {
        let certificate = &self.certificate;
        renewal(
            &certificate.validity,
            self.renewal.window.as_ref(),
            certificate.chance(),
        )
    }
}

/// Whether a time is still to come, and not so far away that a clock must have been set back since.
fn near(time: SystemTime, now: SystemTime) -> bool {
    let ahead = time.duration_since(now).unwrap_or_default();
    ahead > Duration::ZERO && ahead <= LONGEST_RETRY_AFTER + Duration::from_secs(60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::SIX_HOURS;
    use crate::tests::{HOUR, held, wanted};

    const NAMES: [&str; 1] = ["turn.example.org"];

    /// A certificate of 100 hours without a suggestion, of which nothing is to be asked today.
    fn keeper() -> (Keeper, SystemTime) {
        let mut held = held(&NAMES, 100 * HOUR);
        let start = held.certificate.validity.start;
        held.renewal.look = Some(start + 20 * HOUR);
        (Keeper::new(Some(held)), start)
    }

    fn refusal(not_before: Option<SystemTime>) -> Failure {
        Failure {
            not_before,
            ..Failure::refused("no")
        }
    }

    #[test]
    fn without_a_certificate_one_is_ordered_at_once() {
        let keeper = Keeper::default();
        assert_eq!(keeper.step(&wanted(&NAMES), SystemTime::now()), Step::Order);
    }

    #[test]
    fn a_certificate_is_left_alone_until_it_is_time_to_ask_and_then_to_renew() {
        let (mut keeper, start) = keeper();
        let wish = wanted(&NAMES);
        let look = start + 20 * HOUR;
        assert_eq!(keeper.step(&wish, start), Step::Wait(look));
        assert_eq!(keeper.step(&wish, look), Step::Look);
        let held = keeper.held.as_mut().unwrap();
        held.renewal.look = Some(look + SIX_HOURS);
        assert_eq!(keeper.step(&wish, look), Step::Wait(look + SIX_HOURS));
        assert_eq!(keeper.step(&wish, start + 61 * HOUR), Step::Look);
        assert_eq!(keeper.step(&wish, start + 67 * HOUR), Step::Order);
        assert_eq!(keeper.step(&wish, start + 200 * HOUR), Step::Order);
    }

    #[test]
    fn a_suggestion_that_has_come_is_followed() {
        let (mut keeper, start) = keeper();
        let held = keeper.held.as_mut().unwrap();
        held.renewal.window = Some(start + HOUR..start + 2 * HOUR);
        let wish = wanted(&NAMES);
        assert!(matches!(keeper.step(&wish, start), Step::Wait(due) if due <= start + 2 * HOUR));
        assert_eq!(keeper.step(&wish, start + 2 * HOUR), Step::Order);
    }

    #[test]
    fn an_authority_that_suggests_now_for_all_it_issues_is_asked_once_an_hour() {
        let mut keeper = Keeper::default();
        let (wish, mut now) = (wanted(&NAMES), SystemTime::now());
        for _ in 0..3 {
            let mut held = held(&NAMES, 100 * HOUR);
            held.renewal.window = Some(now - 2 * HOUR..now - HOUR);
            keeper.issued(held, now);
            assert_eq!(keeper.step(&wish, now), Step::Wait(now + HOUR));
            now += HOUR;
            assert_eq!(keeper.step(&wish, now), Step::Order);
        }
        // The next start has to see for itself.
        let again = Keeper::new(keeper.held.take());
        assert_eq!(again.step(&wish, now), Step::Order);
        // Other names are another matter.
        keeper.issued(held(&NAMES, 100 * HOUR), now);
        keeper.hurry(true);
        assert_eq!(
            keeper.step(&wanted(&["other.example.org"]), now),
            Step::Order
        );
    }

    #[test]
    fn other_names_another_directory_and_another_profile_are_another_order() {
        let (keeper, start) = keeper();
        let mut more = wanted(&NAMES);
        more.names.push("203.0.113.7".parse().unwrap());
        let mut directory = wanted(&NAMES);
        directory.directory.push('2');
        let mut profile = wanted(&NAMES);
        profile.profile = Some("tlsserver".to_owned());
        for wish in [more, directory, profile] {
            assert_eq!(keeper.step(&wish, start), Step::Order);
        }
        // The same twice is no other, nor is another contact.
        let mut same = wanted(&[NAMES[0], NAMES[0]]);
        same.contact.push("mailto:a@example.org".to_owned());
        assert!(matches!(keeper.step(&same, start), Step::Wait(_)));
    }

    #[test]
    fn failures_pause_longer_and_longer_and_a_success_forgets_them() {
        let mut keeper = Keeper::default();
        let (wish, mut now) = (wanted(&NAMES), SystemTime::now());
        let mut waited = Vec::new();
        for _ in 0..12 {
            let again = keeper.failed(&refusal(None), now, 0.0);
            assert_eq!(keeper.step(&wish, now), Step::Wait(now + again));
            now += again;
            assert_eq!(keeper.step(&wish, now), Step::Order);
            waited.push(again);
        }
        assert!(
            waited.is_sorted() && waited.last() == Some(&SIX_HOURS),
            "{waited:?}"
        );
        let fresh = held(&NAMES, HOUR);
        keeper.issued(fresh, now);
        assert_eq!(keeper.failed(&refusal(None), now, 0.0), waited[0]);
    }

    #[test]
    fn an_authority_that_names_a_time_is_not_asked_before_whoever_is_in_a_hurry() {
        let mut keeper = Keeper::default();
        let (wish, now) = (wanted(&NAMES), SystemTime::now());
        let barred = now + 5 * HOUR;
        assert_eq!(keeper.failed(&refusal(Some(barred)), now, 0.0), 5 * HOUR);
        keeper.hurry(true);
        assert_eq!(keeper.step(&wish, now), Step::Wait(barred));
        // Another authority has said nothing.
        keeper.hurry(false);
        assert_eq!(keeper.step(&wish, now), Step::Order);
        // Without such a time an operator who has mended something need not wait.
        keeper.failed(&refusal(None), now, 0.0);
        keeper.hurry(true);
        assert_eq!(keeper.step(&wish, now), Step::Order);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_for_years() {
        let (mut keeper, start) = keeper();
        let past = start - 10_000 * HOUR;
        let wish = wanted(&NAMES);
        assert_eq!(keeper.step(&wish, past), Step::Look);
        keeper.failed(&refusal(None), start + 90 * HOUR, 0.0);
        keeper.held = None;
        assert_eq!(keeper.step(&wish, past), Step::Order);
    }

    #[test]
    fn the_ways_of_proof_take_turns() {
        let mut keeper = Keeper::default();
        let now = SystemTime::now();
        let mut turns = vec![keeper.is_odd()];
        for _ in 0..3 {
            keeper.failed(&refusal(None), now, 0.0);
            turns.push(keeper.is_odd());
        }
        assert_eq!(turns, [false, true, false, true]);
    }
}
