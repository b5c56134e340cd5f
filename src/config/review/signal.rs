//! `[signal]`: who may enter the rooms, and that there is a place to come to.

use super::Review;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    /// Its secrets, which are compared with others.
    pub(super) fn signal_secrets(&mut self, table: &Table<'_>) {
        self.config.signal.secrets = self.secrets(table, ["secrets", "secret-files"]);
        let keys = ["token-secrets", "token-secret-files"];
        self.config.signal.token_secrets = self.secrets(table, keys);
    }

    /// Checks that other tables agree with it.
    pub(super) fn signal(&mut self, file: &Table<'_>) {
        let table = file.table("signal");
        let signal = &self.config.signal;
        let (enabled, open) = (signal.enabled, signal.open);
        let (has_secrets, has_tokens) =
            (!signal.secrets.is_empty(), !signal.token_secrets.is_empty());
        let limits = signal.limits.clone();
        if limits.queued < LEAST_MESSAGES * limits.message {
            let at = table.at("memory").or_else(|| table.at("message-size"));
            let sentence = format!(
                "{} has room for fewer than {LEAST_MESSAGES} messages of `message-size`",
                table.name("memory")
            );
            let least = LEAST_MESSAGES * limits.message;
            let help = format!("write memory = {least} or more, or a smaller `message-size`");
            self.say(Remark::fault(at.unwrap_or(table.at.clone()), sentence).help(help));
        }
        let all = [
            "token-secrets",
            "token-secret-files",
            "secrets",
            "secret-files",
        ];
        let first = all.iter().find_map(|key| table.at(key));
        if has_secrets && has_tokens {
            let sentence = format!("{} has both secrets and token secrets", table.heading());
            let help = "keep one: tokens take the place of secrets";
            self.say(Remark::fault(first.unwrap_or(table.at.clone()), sentence).help(help));
        } else if open && (has_secrets || has_tokens) {
            let at = table.at("open").unwrap_or(table.at.clone());
            let sentence = format!(
                "{} is true, and so nobody is asked for a secret",
                table.name("open")
            );
            let help = "write open = false, or leave the secrets out";
            self.say(
                Remark::fault(at, sentence)
                    .help(help)
                    .see(first, "the secrets"),
            );
        } else if let Some(first) = first
            && table.at("enabled").is_none()
            && self.is_good(&table, &all)
            && !self.config.demo
            && !self.host.is_for_trying
        {
            let sentence = format!("{} has secrets, and is not enabled", table.heading());
            let help = "write enabled = true, or enabled = false if it is to stay so";
            self.say(Remark::caution(first, sentence).help(help));
        }
        let Some(at) = table.at("enabled").filter(|_| enabled) else {
            return;
        };
        let key = table.name("enabled");
        if !open && self.is_good(&table, &all) && !has_secrets && !has_tokens {
            let sentence = format!("{key} is true, and nobody may enter a room");
            let help = "give it `secrets` or `token-secrets`, or write open = true if the name of a \
                        room is to be enough";
            self.say(Remark::fault(at.clone(), sentence).help(help));
        }
        if !self.config.http.is_served()
            && self.is_good(&file.table("http"), &["listen", "tls-listeners"])
        {
            let sentence = format!("{key} is true, and browsers have nowhere to come to");
            let help = "write listen = [\"0.0.0.0:8080\", \"[::]:8080\"] under [http]";
            self.say(Remark::fault(at, sentence).help(help));
        } else if self.config.auth.secrets.is_empty()
            && self.is_good(&file.table("auth"), &["secrets", "secret-files"])
        {
            let sentence = format!("{key}: members get no `iceServers`, since there is no secret");
            let help = "write `secrets` or `secret-files` under [auth]";
            self.say(Remark::caution(at, sentence).help(help));
        }
    }
}

/// Messages of the greatest size for which there must be room: an eighth is one network's at most, a
/// quarter of what is free of it one member's, and two of each sender are kept.
const LEAST_MESSAGES: usize = 64;
