//! `[clients]`: who is served.

use std::time::Duration;

use ipnet::IpNet;
use relay::Networks;

use super::Review;
use crate::config::Clients;
use crate::config::form::network;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn clients(&mut self, table: &Table<'_>) {
        let read = |key| -> Networks {
            let texts = table.texts(key).into_iter();
            texts.filter_map(|text| network(text.get_ref())).collect()
        };
        self.config.clients.allow = read("allow");
        self.config.clients.deny = read("deny");
        self.refuse_nobody_served(table);
        self.caution_authority(table);
        self.caution_never_banned(table);
    }

    /// An entry of `deny` has all that `allow` has.
    fn refuse_nobody_served(&mut self, table: &Table<'_>) {
        let Clients { allow, deny, .. } = &self.config.clients;
        let is_denied = |network: &IpNet| deny.iter().any(|other| other.contains(network));
        let none = !allow.is_empty() && allow.iter().all(|network| is_denied(&network));
        if none && let Some(at) = table.at("allow") {
            let sentence = "nobody is served: all of `allow` in [clients] is denied by `deny`";
            let help = "`deny` is the stronger: take out of it what is to be served";
            self.say(Remark::fault(at, sentence).help(help));
        }
    }

    /// An authority looks at this server from addresses that it does not tell.
    fn caution_authority(&mut self, table: &Table<'_>) {
        let is_limited = !self.config.clients.allow.is_empty();
        if let (true, Some(_), Some(at)) = (is_limited, &self.config.tls.acme, table.at("allow")) {
            let sentence = "no certificate comes by [tls.acme]: the authority looks at this server from \
                 addresses that `allow` in [clients] does not name";
            let help = "use `certificates` with files, or keep strangers out by their credentials";
            self.say(Remark::caution(at, sentence).help(help));
        }
    }

    /// Failures count that were answered, and of these there are only so many.
    fn caution_never_banned(&mut self, table: &Table<'_>) {
        let clients = &self.config.clients;
        let (Some(after), Some(each)) = (clients.ban_after, self.config.auth.failures_per_minute)
        else {
            return;
        };
        // A minute's worth at once, and then at the rate.
        let minutes = clients.ban_within.as_secs() / MINUTE.as_secs() + 1;
        let most = u64::from(each.get()).saturating_mul(minutes);
        if let Some(at) = table.at("ban-after").filter(|_| most < after.get().into()) {
            let sentence = format!(
                "no network is ever banned: of {after} failures only {most} are answered in that time"
            );
            let help = "lower `ban-after`, or raise `failures-per-minute` in [auth]";
            self.say(Remark::caution(at, sentence).help(help));
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
