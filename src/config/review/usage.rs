//! `[usage]` and `[[cap]]`: what is told of the use of allocations, and how much there may be.

use std::num::NonZeroU64;

use toml::Spanned;
use usage::{Cap, NoKey, SigningKey, Then};

use super::Review;
use crate::config::form::{bandwidth, size, webhook};
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};
use crate::config::{Secret, Webhook};

impl Review<'_> {
    pub(super) fn usage(&mut self, table: &Table<'_>) {
        self.config.usage.spool_size = DEFAULT_SPOOL;
        if !self.is_good(table, KEYS) {
            return;
        }
        for (key, is_file) in [("file", true), ("spool", false)] {
            let Some(written) = filled(table, key) else {
                continue;
            };
            let Some(path) = self.credential_path(&table.name(key), &written) else {
                continue;
            };
            if is_file {
                self.config.usage.file = Some(path);
            } else {
                self.config.usage.spool = Some(path);
            }
        }
        if let Some(written) = table.text("spool-size")
            && let Some(bytes) = size(written.get_ref())
        {
            if !(LEAST_SPOOL..=MOST_SPOOL).contains(&bytes) {
                let key = table.name("spool-size");
                let sentence = format!("{key} must be from 64 KiB to 1 TiB");
                self.say(Remark::fault(written.span(), sentence));
            }
            self.config.usage.spool_size = bytes;
        }
        self.webhook(table);
    }

    fn webhook(&mut self, table: &Table<'_>) {
        let secret = self.webhook_secret(table);
        let roots = self.roots(table);
        let Some(written) = table.text("webhook") else {
            let alone = ["secret", "secret-file", "ca-file"];
            let alone = alone
                .iter()
                .find_map(|key| filled(table, key).zip(Some(*key)));
            if let Some((text, key)) = alone {
                let sentence = format!("{} means nothing without `webhook`", table.name(key));
                self.say(Remark::caution(text.span(), sentence));
            }
            return;
        };
        let Some((url, is_secure)) = webhook(written.get_ref()) else {
            return;
        };
        let name = table.name("webhook");
        let Some(secret) = secret else {
            if self.is_good(table, KEYS) {
                let sentence = format!("{name} has no `secret-file`, by which it knows who posts");
                self.say(Remark::fault(written.span(), sentence).help(MAKE_KEY));
            }
            return;
        };
        let is_here = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !is_secure && !is_here {
            let sentence =
                format!("{name} is not over TLS: every host on the way can read who uses how much");
            self.say(Remark::caution(written.span(), sentence).help("write https://"));
        }
        self.config.usage.webhook = Some(Webhook {
            url: written.get_ref().to_string(),
            secret,
            roots,
        });
    }

    fn webhook_secret(&mut self, table: &Table<'_>) -> Option<Secret> {
        let (key, text) = match (filled(table, "secret"), filled(table, "secret-file")) {
            (Some(_), Some(file)) => {
                let sentence = "`[usage] secret` and `secret-file` exclude each other";
                self.say(Remark::fault(file.span(), sentence).help("keep the file"));
                return None;
            }
            (Some(inline), None) => ("secret", inline),
            (None, file) => ("secret-file", file?),
        };
        let (name, at) = (table.name(key), text.span());
        let secret = match key {
            "secret" => Secret::new(*text.get_ref()),
            _ => self.secret_file(&name, &text)?,
        };
        if !self.is_strong(&name, &secret, &at) {
            return None;
        }
        let flaw = match SigningKey::read(secret.expose()) {
            Ok(_) => return Some(secret),
            Err(NoKey::NotBase64) => "is not base64, behind whsec_ or alone",
            Err(NoKey::Short) => "stands for fewer than 16 bytes",
        };
        self.say(Remark::fault(at, format!("{name} {flaw}")).help(MAKE_KEY));
        None
    }

    pub(super) fn caps(&mut self, file: &Table<'_>) {
        for table in file.tables("cap") {
            if self.is_good(&table, &["realm", "user", "month", "then", "throttle"])
                && let Some(cap) = self.cap(&table)
            {
                self.config.caps.push(cap);
            }
        }
    }

    fn cap(&mut self, table: &Table<'_>) -> Option<Cap> {
        let realm = table.text("realm");
        if let Some(realm) = &realm
            && !self.realms.iter().any(|known| known == realm.get_ref())
        {
            let key = table.name("realm");
            let fault = Remark::fault(realm.span(), format!("{key} is no realm of this file"));
            self.say(fault.help("name the default one, or that of an `[[auth.realm]]`"));
            return None;
        }
        let user = table.text("user");
        if let Some(user) = &user
            && user.get_ref().matches('*').count() > 1
        {
            let sentence = format!("{} has more than one *", table.name("user"));
            self.say(Remark::fault(user.span(), sentence).help("such as user = \"shop-*\""));
            return None;
        }
        let throttle = table.text("throttle");
        let rate = throttle
            .as_ref()
            .and_then(|text| bandwidth(text.get_ref())?);
        let then = match (
            table.text("then")?.into_inner(),
            rate.and_then(NonZeroU64::new),
        ) {
            ("throttle", Some(rate)) => Then::Throttle(rate),
            ("throttle", None) => {
                let sentence = format!("{} has no `throttle`", table.heading());
                let help = "add a line such as `throttle = \"2Mbit/s\"`";
                self.say(Remark::fault(table.at.clone(), sentence).help(help));
                return None;
            }
            (then, rate) => {
                if let Some(written) = throttle.filter(|_| rate.is_some()) {
                    let key = table.name("throttle");
                    let sentence = format!("{key} means nothing where `then` is \"{then}\"");
                    let help = "write then = \"throttle\", or take it out";
                    self.say(Remark::caution(written.span(), sentence).help(help));
                }
                if then == "refuse" {
                    Then::Refuse
                } else {
                    Then::Warn
                }
            }
        };
        let text = |text: Text<'_>| text.into_inner().to_owned();
        Some(Cap {
            realm: realm.map(text),
            user: user.map(text),
            bytes: size(table.text("month")?.get_ref())?,
            then,
        })
    }
}

fn filled<'t>(table: &Table<'t>, key: &str) -> Option<Text<'t>> {
    table
        .text(key)
        .filter(|text: &Spanned<&str>| !text.get_ref().is_empty())
}

const KEYS: &[&str] = &[
    "file",
    "webhook",
    "secret",
    "secret-file",
    "ca-file",
    "spool",
    "spool-size",
];
const MAKE_KEY: &str =
    "make one with `echo \"whsec_$(openssl rand -base64 32)\"`, and give it to both";
const DEFAULT_SPOOL: u64 = 64 << 20;
const LEAST_SPOOL: u64 = 64 << 10;
const MOST_SPOOL: u64 = 1 << 40;
