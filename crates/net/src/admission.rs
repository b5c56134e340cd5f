//! A bound on the number of TCP connections, in all and from one source prefix.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use hashbrown::HashMap;
use relay::SourcePrefix;

use crate::StreamLimits;

/// Counts connections, for all shards. Its memory is bounded by the connections it counts.
#[derive(Debug)]
pub(crate) struct Admission {
    total: usize,
    per_prefix: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_prefix: HashMap<SourcePrefix, usize, RandomState>,
}

impl Admission {
    pub(crate) fn new(limits: &StreamLimits) -> Self {
        let counts = Mutex::new(Counts::default());
        Self {
            total: limits.connections,
            per_prefix: limits.per_prefix,
            counts,
        }
    }

    /// Admits one more connection if there is room; dropping the value gives the place back.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<Admitted> {
        let prefix = SourcePrefix::of(source);
        let mut counts = self.counts();
        if counts.total >= self.total {
            return None;
        }
        let count = counts.by_prefix.entry(prefix).or_insert(0);
        if *count >= self.per_prefix {
            return None;
        }
        *count += 1;
        counts.total += 1;
        Some(Admitted {
            admission: Arc::clone(self),
            prefix,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    prefix: SourcePrefix,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total -= 1;
        if let Some(count) = counts.by_prefix.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                counts.by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, per_prefix: usize) -> Arc<Admission> {
        let limits = StreamLimits {
            connections,
            per_prefix,
            ..StreamLimits::default()
        };
        Arc::new(Admission::new(&limits))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_its_share_and_no_more() {
        let admission = admission(10, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.200")).unwrap();
        assert!(admission.admit(ip("192.0.2.3")).is_none());
        let _other = admission.admit(ip("192.0.3.1")).unwrap();
        drop(first);
        assert!(admission.admit(ip("192.0.2.3")).is_some());
    }

    #[test]
    fn all_prefixes_together_have_a_limit() {
        let admission = admission(2, 2);
        let _first = admission.admit(ip("2001:db8:1::1")).unwrap();
        let _second = admission.admit(ip("2001:db8:2::1")).unwrap();
        assert!(admission.admit(ip("2001:db8:3::1")).is_none());
    }

    #[test]
    fn what_left_is_not_remembered() {
        let admission = admission(2, 2);
        for host in 0..1000_u16 {
            let [high, low] = host.to_be_bytes();
            drop(admission.admit(IpAddr::from([10, high, low, 1])));
        }
        assert!(admission.counts().by_prefix.is_empty());
    }
}
