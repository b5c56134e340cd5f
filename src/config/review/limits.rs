//! `[allocation]`, `[unauthenticated]` and `[tcp]`: limits that must leave each other room.

use std::time::Duration;

use super::Review;
use crate::config::RelayPool;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn allocation(&mut self, table: &Table<'_>) {
        self.quotas(table);
        let keys = ["default-lifetime", "max-lifetime"];
        if !self.is_good(table, &keys) {
            return;
        }
        let lifetimes = [
            self.config.allocation.default_lifetime,
            self.config.allocation.max_lifetime,
        ];
        let [default, max] = keys.map(|key| table.at(key));
        if lifetimes[0] > lifetimes[1]
            && let Some(at) = default.clone().or(max.clone())
        {
            let sentence = "`[allocation] default-lifetime` is longer than `max-lifetime`";
            let fault =
                Remark::fault(at, sentence).see(default.and(max), "the longest lifetime granted");
            self.say(fault.help("lower `default-lifetime` or raise `max-lifetime`"));
            return;
        }
        for (key, lifetime) in keys.into_iter().zip(lifetimes) {
            if let Some(at) = table.at(key).filter(|_| lifetime < RFC_LIFETIME) {
                let sentence = format!(
                    "{} is below 10m, the lifetime RFC 8656 lets clients count on",
                    table.name(key)
                );
                self.say(Remark::caution(at, sentence).help(
                    "the calls of libjuice (OBS, libdatachannel), rice and werift end: they refresh \
                     after nine minutes or more, whatever they were granted",
                ));
            }
        }
    }

    /// How many allocations one user may hold, and all of them together.
    pub(super) fn quotas(&mut self, table: &Table<'_>) {
        self.fits_ports(table, "per-user");
        self.fits_ports(table, "total");
        if let (Some(at), Some(per_user), Some(total @ 1..)) = (
            table.at("per-user"),
            table.number("per-user"),
            table.number("total"),
        ) && per_user > total
            && self.is_good(table, &["per-user", "total"])
        {
            let key = table.name("per-user");
            let fault = Remark::fault(
                at,
                format!("{key} is {per_user}, more than `total` with {total}"),
            );
            let fault = fault.see(table.at("total"), "all users together");
            self.say(fault.help("lower `per-user` or raise `total` (0 = no limit)"));
        }
    }

    /// Each allocation takes a port.
    pub(super) fn fits_ports(&mut self, table: &Table<'_>, key: &str) {
        if let (Some(at), Some(quota), Some(ports)) =
            (table.at(key), table.number(key), self.capacity)
            && quota > ports
        {
            let key = table.name(key);
            let sentence =
                format!("{key} is {quota}, but `[relay] ports` has room for {ports} allocations");
            let help = "lower the quota, widen `[relay] ports`, or write 0 for no limit";
            self.say(Remark::fault(at, sentence).help(help));
        }
    }

    /// One network is one of all.
    pub(super) fn unauthenticated(&mut self, table: &Table<'_>) {
        let allowance = self.config.unauthenticated;
        if let (Some(one), Some(all), Some(at)) = (
            allowance.per_prefix,
            allowance.total,
            table.at("per-prefix"),
        ) && one > all
            && self.is_good(table, &["per-prefix", "total"])
        {
            let fault = Remark::fault(at, "`[unauthenticated] per-prefix` is more than `total`");
            let fault = fault.see(table.at("total"), "all prefixes together");
            self.say(fault.help("lower `per-prefix` or raise `total`"));
        }
    }

    /// Says which bounds a shorter lifetime of strangers keeps from ever being reached.
    pub(super) fn tcp(&mut self, table: &Table<'_>) {
        let tcp = self.config.tcp;
        for (other, bound) in [("first-frame", tcp.first_frame), ("idle", tcp.idle)] {
            if let Some(at) = table.at("stranger-lifetime")
                && tcp.stranger_lifetime < bound
                && self.is_good(table, &["stranger-lifetime", other])
            {
                let sentence = format!(
                    "`[tcp] stranger-lifetime` is shorter than `{other}`, {}, which then ends no \
                     connection",
                    humantime::format_duration(bound)
                );
                let help = format!("lengthen it, or shorten `{other}`");
                self.say(Remark::caution(at, sentence).help(help));
            }
        }
    }
}

impl RelayPool {
    /// How many allocations the ports can hold: each takes a port on one address.
    pub(crate) fn capacity(&self) -> u32 {
        let sockets = self.ports.count() * self.addresses.len().max(1);
        u32::try_from(sockets).unwrap_or(u32::MAX)
    }
}

/// RFC 8656 §3.2: the default lifetime is ten minutes.
const RFC_LIFETIME: Duration = Duration::from_secs(600);
