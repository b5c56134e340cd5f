//! Bounds in time: on guessing, and on how fast data passes. RFC 8656 §5.
//!
//! A bounded thing is earned at a rate. It may be had before, up to a bound; the state is the time at
//! which all is earned that was had.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Account, Id, Model};

/// The way of data, as a place in arrays.
pub(super) const SENT: usize = 0;
pub(super) const RECEIVED: usize = 1;

impl Model {
    /// Whether a failed proof of identity is answered: a minute's worth at once, per IPv4 /24 or
    /// IPv6 /48.
    pub(super) fn answers_failure(&mut self, from: SocketAddr) -> bool {
        let (now, per_minute) = (self.now, self.terms.failures_per_minute);
        let network = match from.ip() {
            IpAddr::V4(ip) => ip.octets()[..3].to_vec(),
            IpAddr::V6(ip) => ip.octets()[..6].to_vec(),
        };
        let earned = self.failures.entry(network).or_default();
        let after = now.max(*earned) + MINUTE / per_minute;
        let is_answered = after <= now + MINUTE;
        if is_answered {
            *earned = after;
        }
        is_answered
    }

    /// When an allocation begins, nothing is earned of what may come at once.
    pub(super) fn begin_passing(&mut self, user: &Account) -> [Duration; 2] {
        let begun = |rate: Option<u64>| [self.now + rate.map_or(Duration::ZERO, burst); 2];
        let (own, of_user) = (
            begun(self.terms.bandwidth),
            begun(self.terms.user_bandwidth),
        );
        let mut all = self.allocations.values();
        if !all.any(|allocation| allocation.user == *user) {
            self.passed.insert(user.clone(), of_user);
        }
        own
    }

    /// Another process goes on, to which nothing was charged yet.
    pub(crate) fn forget_charges(&mut self) {
        self.failures.clear();
        self.passed.clear();
        for allocation in self.allocations.values_mut() {
            allocation.passed = Default::default();
        }
    }

    /// Whether data of an allocation passes. If any limit forbids it, none is charged.
    pub(super) fn passes(&mut self, id: Id, way: usize, payload: &[u8]) -> bool {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return true;
        };
        let of_user = self.passed.entry(allocation.user.clone()).or_default();
        let mut limits = [
            (self.terms.bandwidth, &mut allocation.passed[way]),
            (self.terms.user_bandwidth, &mut of_user[way]),
        ];
        let after =
            |rate, earned: Duration| self.now.max(earned) + cost(payload.len() as u64, rate);
        let passes = limits.iter().all(|(rate, earned)| {
            rate.is_none_or(|rate| after(rate, **earned) <= self.now + burst(rate))
        });
        for (rate, earned) in &mut limits {
            if let Some(rate) = rate.filter(|_| passes) {
                **earned = after(rate, **earned);
            }
        }
        passes
    }
}

/// A second's worth may come at once, or the largest datagram if that is more.
fn burst(rate: u64) -> Duration {
    cost(65_507, rate).max(Duration::from_secs(1))
}

/// The time in which so many bytes are earned.
const fn cost(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos((bytes * 1_000_000_000).div_ceil(rate))
}

const MINUTE: Duration = Duration::from_secs(60);
