//! When a certificate is renewed, and when an authority is asked again. Values only: the time and
//! the chance are arguments.

use std::ops::Range;
use std::time::{Duration, SystemTime};

/// When to renew a certificate that holds for `validity`, of which the authority suggests a
/// `window` if it suggests any. `chance` from 0 to 1 belongs to the certificate, so that many
/// servers come at different times and one server always to the same.
pub(crate) fn renewal(
    validity: &Range<SystemTime>,
    window: Option<&Range<SystemTime>>,
    chance: f64,
) -> SystemTime {
    let lifetime = length(validity);
    let chance = chance.clamp(0.0, 1.0);
    // RFC 9773 §4.2: an end that is not after the start makes the suggestion void.
    match window.filter(|window| !window.is_empty()) {
        Some(window) => {
            let suggested = window.start + length(window).mul_f64(chance);
            // The authority knows best, but for the last tenth: there failures need their time.
            suggested.min(validity.start + lifetime.mul_f64(LATEST))
        }
        None => validity.start + lifetime.mul_f64(TWO_THIRDS - EARLIER * chance),
    }
}

/// When to ask for a window again, after the authority's `Retry-After`. RFC 9773 §4.3.2.
pub(crate) fn next_look(after: Duration) -> Duration {
    after.clamp(MINUTE, DAY)
}

/// How long a certificate that came is left alone, whatever the authority suggests: one that suggests
/// to renew each of its certificates at once would have them ordered without end.
pub(crate) fn rest(validity: &Range<SystemTime>) -> Duration {
    (length(validity) / 20).clamp(LEAST_REST, HOUR)
}

/// How long to wait after so many failures in a row, the first of which is 1.
pub(crate) fn pause(failures: u32, is_refusal: bool, chance: f64) -> Duration {
    let first = if is_refusal { REFUSED } else { UNHEARD };
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let pause = first.saturating_mul(doubled).min(LONGEST);
    // Servers that lost the same authority at once come back at different times.
    pause.mul_f64(1.0 + SPREAD * chance.clamp(0.0, 1.0))
}

fn length(range: &Range<SystemTime>) -> Duration {
    range.end.duration_since(range.start).unwrap_or_default()
}

const TWO_THIRDS: f64 = 2.0 / 3.0;
/// Without a suggestion it is renewed up to so much of the lifetime earlier.
const EARLIER: f64 = 0.05;
const LATEST: f64 = 0.9;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Certificates of less than a minute are for tests.
const LEAST_REST: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Where no window could be had. RFC 9773 §4.3.3.
pub(crate) const SIX_HOURS: Duration = Duration::from_secs(6 * 3600);
/// Let's Encrypt takes five refused names an hour: at 0, 2, 6, 14 and 30 minutes there are as many.
const REFUSED: Duration = Duration::from_secs(120);
/// A host that starts may have no network yet.
const UNHEARD: Duration = Duration::from_secs(10);
/// A certificate of six days is tried at least eight times more after two thirds of them.
const LONGEST: Duration = SIX_HOURS;
const SPREAD: f64 = 0.1;
/// The longest that an authority may have us wait.
pub(crate) const LONGEST_RETRY_AFTER: Duration = DAY;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * hours
    }

    #[test]
    fn without_a_suggestion_two_thirds_of_the_lifetime_are_used_or_a_little_less() {
        let validity = at(0)..at(90 * 24);
        assert_eq!(renewal(&validity, None, 0.0), at(60 * 24));
        let earliest = renewal(&validity, None, 1.0);
        assert!(earliest > at(55 * 24) && earliest < at(56 * 24));
        // Six days.
        assert_eq!(renewal(&(at(0)..at(144)), None, 0.0), at(96));
    }

    #[test]
    fn a_suggested_window_is_used_as_chance_says() {
        let validity = at(0)..at(144);
        let window = at(60)..at(70);
        assert_eq!(renewal(&validity, Some(&window), 0.0), at(60));
        assert_eq!(renewal(&validity, Some(&window), 0.5), at(65));
        // One in the past is due.
        assert!(renewal(&validity, Some(&(at(1)..at(2))), 1.0) <= at(2));
    }

    #[test]
    fn a_suggestion_that_makes_no_sense_is_void_and_one_that_is_too_late_is_cut() {
        let validity = at(0)..at(100);
        let void = at(50)..at(50);
        assert_eq!(
            renewal(&validity, Some(&void), 0.5),
            renewal(&validity, None, 0.5)
        );
        let late = at(200)..at(300);
        assert_eq!(renewal(&validity, Some(&late), 0.5), at(90));
    }

    #[test]
    fn chance_out_of_range_and_validity_that_is_none_do_not_panic() {
        for chance in [-1.0, 2.0, f64::INFINITY] {
            assert_eq!(renewal(&(at(10)..at(5)), None, chance), at(10));
        }
    }

    #[test]
    fn an_authority_is_asked_for_windows_once_a_minute_at_most_and_once_a_day_at_least() {
        assert_eq!(next_look(Duration::ZERO), MINUTE);
        assert_eq!(next_look(HOUR), HOUR);
        assert_eq!(next_look(Duration::MAX), DAY);
    }

    #[test]
    fn failures_double_the_pause_up_to_six_hours() {
        let refused: Vec<u64> = (1..=10)
            .map(|failures| pause(failures, true, 0.0).as_secs())
            .collect();
        assert_eq!(
            refused,
            [120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]
        );
        assert_eq!(pause(1, false, 0.0), Duration::from_secs(10));
        for failures in [40, u32::MAX] {
            assert_eq!(pause(failures, false, 0.0), SIX_HOURS);
            assert!(pause(failures, true, 1.0) <= SIX_HOURS * 11 / 10);
        }
    }

    #[test]
    fn a_certificate_that_came_is_left_alone_for_an_hour_or_less_if_it_holds_for_less_than_a_day() {
        assert_eq!(rest(&(at(0)..at(90 * 24))), HOUR);
        assert_eq!(rest(&(at(0)..at(10))), HOUR / 2);
        assert_eq!(rest(&(at(0)..at(0))), LEAST_REST);
    }

    #[test]
    fn no_more_than_five_names_are_refused_within_the_first_hour() {
        let mut now = Duration::ZERO;
        let mut asked = 1;
        for failures in 1.. {
            now += pause(failures, true, 0.0);
            if now >= HOUR {
                break;
            }
            asked += 1;
        }
        assert_eq!(asked, 5);
    }
}
