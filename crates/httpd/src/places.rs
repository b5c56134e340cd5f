//! Bounds on visitors: how many connections there are, in all and from one source prefix, and how fast
//! one prefix comes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;
use relay::SourcePrefix;

use crate::rates::Rates;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full,
    /// All that one network may have.
    Prefix,
    /// The network comes too fast.
    Rate,
}

/// Counts connections. Its memory is bounded by the connections it counts, and the rates.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    per_prefix: usize,
    counts: Mutex<Counts>,
    rates: Rates,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_prefix: HashMap<SourcePrefix, usize, RandomState>,
}

impl Places {
    pub(crate) fn new(total: usize, per_prefix: usize) -> Self {
        let rate = u32::try_from(per_prefix).unwrap_or(u32::MAX).max(1);
        let at_once = rate.saturating_mul(SECONDS).max(LEAST_AT_ONCE);
        Self {
            total,
            per_prefix,
            counts: Mutex::default(),
            rates: Rates::new(at_once, Duration::from_secs(at_once.into()) / rate),
        }
    }

    /// A place for a connection; of a proxy none knows yet whose it is. Dropping it gives it back.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn take(self: &Arc<Self>, visitor: Option<IpAddr>) -> Result<Place, NoPlace> {
        {
            let mut counts = self.counts();
            if counts.total >= self.total {
                return Err(NoPlace::Full);
            }
            counts.total += 1;
        }
        // From here on dropping it gives back what it has.
        let mut place = Place {
            places: Arc::clone(self),
            prefix: None,
        };
        if let Some(visitor) = visitor {
            place.belongs_to(visitor)?;
        }
        Ok(place)
    }

    /// Charges a network for what costs as much as so many requests.
    ///
    /// # Errors
    /// If it is too far ahead; then nothing is charged.
    pub(crate) fn charge(&self, visitor: IpAddr, cost: u32) -> Result<(), NoPlace> {
        let taken = self.rates.take(visitor, cost);
        taken.map_err(|_| NoPlace::Rate)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// None while it is a proxy's.
    prefix: Option<SourcePrefix>,
}

impl Place {
    /// From now on it is this visitor's, as the proxy says that brings the connection.
    ///
    /// # Errors
    /// If the visitor's network has all that it may have.
    pub(crate) fn belongs_to(&mut self, visitor: IpAddr) -> Result<(), NoPlace> {
        let prefix = SourcePrefix::of(visitor);
        if self.prefix == Some(prefix) {
            return Ok(());
        }
        let mut counts = self.places.counts();
        let count = counts.by_prefix.entry(prefix).or_insert(0);
        if *count >= self.places.per_prefix {
            return Err(NoPlace::Prefix);
        }
        *count += 1;
        let before = self.prefix.replace(prefix);
        counts.leave(before);
        Ok(())
    }
}

impl Counts {
    fn leave(&mut self, prefix: Option<SourcePrefix>) {
        let Some(prefix) = prefix else {
            return;
        };
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts();
        counts.total -= 1;
        counts.leave(self.prefix);
    }
}

/// A prefix may have as many requests in a second as it may have connections, and those of three
/// seconds at once.
const SECONDS: u32 = 3;
/// But so many in any case: those of a visitor who comes over HTTPS, or of a few.
const LEAST_AT_ONCE: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_prefix: usize) -> Arc<Places> {
        Arc::new(Places::new(total, per_prefix))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_its_share_and_all_have_theirs() {
        let places = places(3, 2);
        let take = |text| places.take(Some(ip(text)));
        let first = take("192.0.2.1").unwrap();
        let _second = take("192.0.2.200").unwrap();
        assert_eq!(take("192.0.2.3").unwrap_err(), NoPlace::Prefix);
        let _other = take("2001:db8::1").unwrap();
        assert_eq!(take("198.51.100.1").unwrap_err(), NoPlace::Full);
        drop(first);
        assert!(take("192.0.2.3").is_ok());
    }

    #[test]
    fn a_place_of_a_proxy_is_that_of_its_last_visitor() {
        let places = places(9, 1);
        let mut first = places.take(None).unwrap();
        let mut second = places.take(None).unwrap();
        first.belongs_to(ip("192.0.2.1")).unwrap();
        assert_eq!(second.belongs_to(ip("192.0.2.2")), Err(NoPlace::Prefix));
        first.belongs_to(ip("198.51.100.1")).unwrap();
        second.belongs_to(ip("192.0.2.2")).unwrap();
        second.belongs_to(ip("192.0.2.3")).unwrap();
        drop((first, second));
        let counts = places.counts();
        assert!(counts.total == 0 && counts.by_prefix.is_empty());
    }

    #[test]
    fn a_network_has_the_requests_of_three_seconds_at_once() {
        let places = places(9, 100);
        places.charge(ip("192.0.2.1"), 300).unwrap();
        assert_eq!(places.charge(ip("192.0.2.9"), 200), Err(NoPlace::Rate));
    }

    #[test]
    fn a_network_of_one_connection_has_what_https_takes() {
        let places = places(9, 1);
        for _ in 0..3 {
            places.charge(ip("192.0.2.1"), 1 + 16 + 1).unwrap();
        }
        assert_eq!(places.charge(ip("192.0.2.1"), 18), Err(NoPlace::Rate));
    }
}
