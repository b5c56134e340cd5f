//! Permissions: which peers may reach an allocation. RFC 8656 §9.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::AddressFamily;

use crate::Reject;
use crate::policy::{Denial, IpRuling, Policy};
use crate::snapshot::{Field, Reader, Unreadable, Writer, fields};

/// The permissions of one allocation, by IP address, in order.
#[derive(Debug, Default)]
pub(crate) struct Permissions(Vec<Permission>);

#[derive(Debug)]
struct Permission {
    ip: IpAddr,
    deadline: Instant,
    scope: Scope,
}

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every port of the peer, as the RFC has it.
    EveryPort,
    /// The policy allows some ports only: each datagram is judged.
    SomePorts,
    /// The port of a bound channel, judged when the channel was bound. No permission has this
    /// scope.
    Channel,
}

impl Scope {
    /// How far a ruling on an address lets a permission reach, or why there is none.
    pub(crate) fn of(ruling: IpRuling) -> Result<Self, Denial> {
        match ruling {
            IpRuling::EveryPort(_) => Ok(Self::EveryPort),
            IpRuling::SomePorts => Ok(Self::SomePorts),
            IpRuling::NoPort(denial) => Err(denial),
        }
    }
}

impl Permissions {
    /// How far a peer may be reached now, if at all.
    pub(crate) fn scope(&self, ip: IpAddr, now: Instant) -> Option<Scope> {
        let permission = &self.0[self.find(ip).ok()?];
        (permission.deadline > now).then_some(permission.scope)
    }

    /// Those that live, and how long each lasts.
    pub(crate) fn left(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Duration)> {
        let left = move |it: &Permission| (it.ip, it.deadline.saturating_duration_since(now));
        self.0.iter().map(left).filter(|(_, left)| !left.is_zero())
    }

    /// Forgets those whose time is over; returns their peers, and when it was.
    pub(crate) fn take_over(&mut self, now: Instant) -> Vec<(IpAddr, Instant)> {
        let over = self.0.extract_if(.., |it| it.deadline <= now);
        over.map(|it| (it.ip, it.deadline)).collect()
    }

    /// How many there are.
    pub(crate) fn living(&self, now: Instant) -> usize {
        let living = self.0.iter().filter(|it| it.deadline > now);
        living.count()
    }

    /// Whether all of these, each named once, fit beside those that live. Those that do not live
    /// are forgotten.
    pub(crate) fn make_room(
        &mut self,
        ips: impl Iterator<Item = IpAddr>,
        limit: usize,
        now: Instant,
    ) -> Result<(), Reject> {
        self.0.retain(|permission| permission.deadline > now);
        let new = ips.filter(|ip| self.find(*ip).is_err()).count();
        // Those that are there may be prolonged, also where the limit was lowered.
        if new > 0 && self.0.len() + new > limit {
            Err(Reject::TooManyPermissions)
        } else {
            Ok(())
        }
    }

    /// Installs or refreshes a permission.
    pub(crate) fn install(&mut self, ip: IpAddr, scope: Scope, now: Instant) {
        let permission = Permission {
            ip,
            deadline: now + LIFETIME,
            scope,
        };
        match self.find(ip) {
            Ok(at) => self.0[at] = permission,
            Err(at) => {
                self.grow();
                self.0.insert(at, permission);
            }
        }
    }

    /// Makes room for one more. Most clients have one peer; a `Vec` by itself begins with room for
    /// four.
    fn grow(&mut self) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len().max(1));
        }
    }

    /// Forgets those of peers that the policy denies by now, and narrows or widens the others; returns
    /// the peers that are denied.
    pub(crate) fn judge_again(&mut self, policy: &Policy) -> Vec<IpAddr> {
        let denied = self.0.extract_if(.., |permission| {
            match Scope::of(policy.judge_ip(permission.ip)) {
                Ok(scope) => {
                    permission.scope = scope;
                    false
                }
                Err(_) => true,
            }
        });
        denied.map(|it| it.ip).collect()
    }

    /// Forgets those of a family. RFC 8656 §8.1.
    pub(crate) fn forget(&mut self, family: AddressFamily) {
        self.0
            .retain(|permission| AddressFamily::of(permission.ip) != family);
    }

    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.0.binary_search_by_key(&ip, |permission| permission.ip)
    }
}

fields!(Permission: ip, deadline, scope);

impl Field for Permissions {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let all = Vec::<Permission>::read(from)?;
        let is_sorted = all.is_sorted_by(|one, next| one.ip < next.ip);
        is_sorted.then_some(Self(all)).ok_or(Unreadable::Conflict)
    }
}

/// Follows from the policy: [`Permissions::judge_again`] is called on what was read.
impl Field for Scope {
    fn write(&self, _: &mut Writer) {}

    fn read(_: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(Self::SomePorts)
    }
}

/// Fixed by the protocol. RFC 8656 §9.
const LIFETIME: Duration = Duration::from_secs(300);
