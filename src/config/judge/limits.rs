//! `threads` and `[allocation]`: how much of everything.

use std::time::Duration;

use relay::Limits;

use super::Judge;
use crate::config::Relay;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, KeyName};
use crate::config::file::{AllocationTable, Number, Text};

impl Judge<'_> {
    pub(super) fn threads(&mut self, written: Option<Number>) -> Option<usize> {
        match self.number("threads", written.as_ref(), 0..=1024, 0)? {
            0 => Some(self.host.cores),
            threads => usize::try_from(threads).ok(),
        }
    }

    /// `relay` says how many allocations the ports can hold; `stream_indication` is of `[tcp]`.
    pub(super) fn allocation(
        &mut self,
        table: &AllocationTable,
        stream_indication: Option<usize>,
        relay: Option<&Relay>,
    ) -> Option<Limits> {
        let lifetimes =
            self.lifetimes(table.default_lifetime.as_ref(), table.max_lifetime.as_ref());
        let quotas = self.quotas(
            [PER_USER, TOTAL].map(KeyName::from),
            table.per_user.as_ref(),
            table.total.as_ref(),
            relay,
        );
        let permissions = self.number(
            "[allocation] permissions",
            table.permissions.as_ref(),
            1..=65536,
            256,
        );
        // RFC 8656 §12: new clients have 0x4000 to 0x4FFF, there are no more.
        let channels = self.number(
            "[allocation] channels",
            table.channels.as_ref(),
            1..=4096,
            256,
        );
        let (default_lifetime, max_lifetime) = lifetimes?;
        let (per_user, total) = quotas?;
        Some(Limits {
            default_lifetime,
            max_lifetime,
            per_user,
            total,
            permissions: usize::try_from(permissions?).ok()?,
            channels: usize::try_from(channels?).ok()?,
            stream_indication: stream_indication?,
        })
    }

    fn lifetimes(
        &mut self,
        default: Option<&Text>,
        max: Option<&Text>,
    ) -> Option<(Duration, Duration)> {
        // A lifetime of more than a month is a slip: nobody would miss the port it holds.
        let possible = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
        let default_lifetime =
            self.duration(DEFAULT_LIFETIME, default, possible.clone(), RFC_LIFETIME);
        let max_lifetime = self.duration(MAX_LIFETIME, max, possible, Duration::from_secs(3600));
        let (default_lifetime, max_lifetime) = (default_lifetime?, max_lifetime?);
        if default_lifetime > max_lifetime {
            let written = default.or(max)?;
            let see = default
                .and(max)
                .map(|max| (max.span(), "the longest lifetime granted"));
            return self.refuse_beside(Fault::DefaultOverMax, written.span(), see);
        }
        for (key, written, lifetime) in [
            (DEFAULT_LIFETIME, default, default_lifetime),
            (MAX_LIFETIME, max, max_lifetime),
        ] {
            if let Some(written) = written.filter(|_| lifetime < RFC_LIFETIME) {
                let key = key.into();
                self.say(Caution::ShortLifetime { key }, written.span());
            }
        }
        Some((default_lifetime, max_lifetime))
    }

    /// How many allocations one user may hold, and all of them together.
    pub(super) fn quotas(
        &mut self,
        [one, all]: [KeyName; 2],
        per_user: Option<&Number>,
        total: Option<&Number>,
        relay: Option<&Relay>,
    ) -> Option<(Option<u32>, Option<u32>)> {
        let limit = self.quota(one.clone(), per_user, relay);
        let limits = limit.zip(self.quota(all, total, relay))?;
        match (limits, per_user) {
            ((Some(per_user), Some(all)), Some(written)) if per_user > all => {
                let fault = Fault::PerUserOverTotal {
                    key: one,
                    per_user,
                    total: all,
                };
                let see = total.map(|total| (total.span(), "all users together"));
                self.refuse_beside(fault, written.span(), see)
            }
            _ => Some(limits),
        }
    }

    /// A number of allocations, 0 for no limit.
    pub(super) fn quota(
        &mut self,
        key: impl Into<KeyName>,
        written: Option<&Number>,
        relay: Option<&Relay>,
    ) -> Option<Option<u32>> {
        let key = key.into();
        let quota = self.number(key.clone(), written, 0..=u32::MAX, 0)?;
        if let (Some(relay), Some(written)) = (relay, written) {
            let ports = relay.capacity();
            if quota > ports {
                return self.refuse(Fault::QuotaOverPorts { key, quota, ports }, written.span());
            }
        }
        Some((quota > 0).then_some(quota))
    }
}

impl Relay {
    /// How many allocations the ports can hold: each takes a port on one address.
    pub(crate) fn capacity(&self) -> u32 {
        let sockets = self.ports.count() * self.addresses.len().max(1);
        u32::try_from(sockets).unwrap_or(u32::MAX)
    }
}

/// RFC 8656 §3.2: the default lifetime is ten minutes.
const RFC_LIFETIME: Duration = Duration::from_secs(600);
const DEFAULT_LIFETIME: &str = "[allocation] default-lifetime";
const MAX_LIFETIME: &str = "[allocation] max-lifetime";
const PER_USER: &str = "[allocation] per-user";
const TOTAL: &str = "[allocation] total";
