//! `realm`, `[auth]` and `[[auth.realm]]`: who clients are and what they have to know.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::Range;

use relay::{Bandwidth, Sha256};

use super::Review;
use super::net::{socket, twice};
use super::reuse::Known;
use crate::config::form::bandwidth;
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};
use crate::config::{Realm, Secret, UserKey};

/// The names and listeners that realms have taken, and where: each can be taken once.
#[derive(Default)]
struct Used {
    names: Vec<(String, Range<usize>)>,
    listeners: Vec<(SocketAddr, Range<usize>)>,
}

impl Review<'_> {
    pub(super) fn realm(&mut self, file: &Table<'_>) {
        if let Some(realm) = file.text("realm") {
            self.caution_long("`realm`", &realm);
            realm.into_inner().clone_into(&mut self.config.realm);
        }
        let others = file.table("auth").tables("realm").into_iter();
        let others = others.filter_map(|table| Some(table.text("name")?.into_inner().to_owned()));
        self.realms = std::iter::once(self.config.realm.clone())
            .chain(others)
            .collect();
    }

    /// A realm travels in every 401, into buffers that not every client has measured.
    fn caution_long(&mut self, key: &str, realm: &Text<'_>) {
        let length = realm.get_ref().len();
        if length > 63 && !self.is_told(&realm.span()) {
            let sentence = format!("{key} has {length} bytes, and some clients have room for 63");
            self.say(Remark::caution(realm.span(), sentence).help(
                "shorten it: libpeer writes past its buffer at 64 bytes; mediastreamer2 (Linphone) \
                 and the KVS SDK have room for 127",
            ));
        }
    }

    pub(super) fn auth(&mut self, table: &Table<'_>) {
        if let Some(written) = table.text("nonce-secret-file") {
            let (key, at) = (table.name("nonce-secret-file"), written.span());
            let secret = self.secret_file(&key, &written);
            let secret = secret.filter(|secret| self.is_strong(&key, secret, &at));
            self.nonce_secret = secret.clone().map(|secret| Known { key, secret, at });
            self.config.auth.nonce_secret = secret;
        }
        let realm = self.config.realm.clone();
        (self.config.auth.secrets, self.config.auth.users) = self.credentials(table, &realm);
        if let Some(secret) = self.generated_secret(table)
            && !self.config.auth.secrets.contains(&secret)
        {
            self.config.auth.secrets.push(secret);
        }
        let mut used = Used::default();
        for table in table.tables("realm") {
            let realm = self.other_realm(&table, &mut used);
            self.config.auth.realms.extend(realm);
        }
        // A user of whom only an MD5 key is known cannot be asked for SHA-256.
        let auth = &self.config.auth;
        let others = auth.realms.iter().flat_map(|realm| realm.users.values());
        let mut users = auth.users.values().chain(others);
        if let Some(at) = table.at("sha256")
            && auth.sha256 == Sha256::Require
            && users.any(|key| matches!(key, UserKey::Precomputed(_)))
        {
            let sentence = "`[auth] sha256` is \"require\", but a user is given by an MD5 key";
            self.say(
                Remark::fault(at, sentence).help("give the password instead, or write \"offer\""),
            );
        }
    }

    /// The secret that the server has generated. Before its first start there is none, which is no fault.
    fn generated_secret(&mut self, table: &Table<'_>) -> Option<Secret> {
        let written = table.text("generated-secret-file")?;
        let (key, at) = (table.name("generated-secret-file"), written.span());
        let path = self.credential_path(&key, &written)?;
        let there = (self.host.read_secret)(&path);
        if there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.watch(&path);
            if !self.host.generates_secrets {
                let name = path.display();
                let sentence = format!("{key} names {name}, which is not there yet");
                let help = "the server generates a secret in it when it starts";
                self.say(Remark::caution(at, sentence).help(help));
            }
            self.ungenerated = Some(path);
            return None;
        }
        let secret = self.secret_file(&key, &written)?;
        if !self.is_strong(&key, &secret, &at) {
            return None;
        }
        self.know(&key, &secret, &at);
        Some(secret)
    }

    fn other_realm(&mut self, table: &Table<'_>, used: &mut Used) -> Option<Realm> {
        let written = table
            .text("name")
            .filter(|name| !self.is_told(&name.span()))?;
        let (name, at) = (written.get_ref().to_string(), written.span());
        let first = used.names.iter().find(|(other, _)| *other == name);
        let first = first.map(|(_, first)| first.clone());
        // The default realm has no place.
        if first.is_some() || self.realms.first() == Some(&name) {
            let sentence = format!("{} is given twice", table.name("name"));
            self.say(Remark::fault(at, sentence).see(first, "first here"));
            return None;
        }
        used.names.push((name.clone(), at));
        self.caution_long("`[[auth.realm]] name`", &written);
        self.quotas(table);
        let quota = |key| table.number(key).filter(|quota| *quota > 0);
        let (per_user, total) = (quota("per-user"), quota("total"));
        let rate = |key| NonZeroU64::new(bandwidth(table.text(key)?.get_ref())??);
        let bandwidth = Bandwidth {
            allocation: rate("bandwidth"),
            user: rate("per-user-bandwidth"),
        };
        let listeners = self.challenged(table, used);
        let (secrets, users) = self.credentials(table, &name);
        if ["secrets", "secret-files", "users-file"]
            .iter()
            .all(|key| table.texts(key).is_empty())
            && table.table("users").users().next().is_none()
        {
            let sentence = format!(
                "{} has neither secrets nor users: nobody can authenticate in it",
                table.heading()
            );
            let help = "give it `secrets`, `secret-files`, `users-file` or `[auth.realm.users]`";
            self.say(Remark::caution(table.at.clone(), sentence).help(help));
        }
        Some(Realm {
            name,
            listeners,
            secrets,
            users,
            per_user,
            total,
            bandwidth,
        })
    }

    /// The listeners whose clients are challenged with a realm.
    fn challenged(&mut self, table: &Table<'_>, used: &mut Used) -> Vec<SocketAddr> {
        let key = table.name("listeners");
        let mut read = Vec::new();
        for (address, at) in table.texts("listeners").into_iter().filter_map(socket) {
            let listeners = self.listeners.as_ref();
            if let Some((_, first)) = used.listeners.iter().find(|(other, _)| *other == address) {
                self.say(twice(&key, at, first.clone()));
            } else if listeners.is_some_and(|all| !all.iter().any(|one| one.covers(address))) {
                let sentence = format!("{key} names {address}, where no `[[listener]]` listens");
                self.say(Remark::fault(at, sentence).help(
                    "repeat the `listen` of a `[[listener]]`, or name one address of a \"0.0.0.0\" \
                     or \"[::]\" listener",
                ));
            } else {
                used.listeners.push((address, at));
                read.push(address);
            }
        }
        read
    }
}
