//! Rows of the database beside the users of the default realm: other realms, and keys of
//! authorization servers.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::super::database::OauthKey;
use super::super::draft::Value;
use super::{Translation, from};
use crate::config::{PrecomputedKey, TokenSecret, realm_flaw, secret_flaw};

/// The rows of a realm.
#[derive(Default)]
struct OfRealm<'d> {
    secrets: Vec<&'d str>,
    /// Names and keys.
    users: Vec<(&'d str, &'d str)>,
    /// The first value of each.
    options: BTreeMap<&'d str, &'d str>,
}

impl Translation<'_> {
    /// The database beside the file; with `has_users` its users count, too.
    pub(super) fn database(&mut self, has_users: bool) {
        let Some(database) = self.source.database else {
            if let Some(line) = self.file.last(&["userdb", "db"]) {
                self.undecided(
                    line,
                    "the database was not read: name it with --userdb, or stop coturn first",
                );
            }
            return;
        };
        if let Some(line) = self.file.last(&["userdb", "db"]) {
            self.mapped(line, "[auth]: the database was read once, now");
        }
        if database.garbled > 0 {
            self.account.decide(format!(
                "rows of the database that are not UTF-8 are left out: {}; write them again with `turnadmin`",
                database.garbled
            ));
        }
        let default = self.own_realm();
        let mut realms: BTreeMap<&str, OfRealm<'_>> = BTreeMap::new();
        for (realm, secret) in &database.secrets {
            realms.entry(realm).or_default().secrets.push(secret);
        }
        for (realm, name, key) in &database.users {
            let of_it = realms.entry(realm).or_default();
            if has_users && PrecomputedKey::from_hex(key).is_some() {
                of_it.users.push((name, key));
            }
        }
        for (realm, option, value) in &database.options {
            if let Some(of_it) = realms.get_mut(realm.as_str()) {
                of_it.options.entry(option).or_insert(value);
            }
        }
        for (realm, of_it) in realms {
            if realm != default && !realm.is_empty() {
                self.realm_of_database(realm, &of_it);
            }
        }
        let options = database
            .options
            .iter()
            .filter(|(realm, ..)| realm == default);
        for (_, option, value) in options {
            self.account.decide(format!("the database has {option}={value} for the default realm: [allocation] has such limits"));
        }
        if let Some((origin, realm)) = database.origins.first() {
            self.account.decide(format!(
                "the database chooses realms by ORIGIN ({origin:?} is {realm:?}), which is not read here: give a [[auth.realm]] listeners"
            ));
        }
    }

    fn realm_of_database(&mut self, realm: &str, of_it: &OfRealm<'_>) {
        if let Some(flaw) = realm_flaw(realm) {
            self.account.decide(format!(
                "the realm {realm:?} of the database {flaw}: it is left out"
            ));
            return;
        }
        let secrets = of_it.secrets.iter().copied();
        let secrets = secrets.filter(|secret| secret_flaw(secret).is_none());
        let secrets: Vec<String> = secrets.map(str::to_owned).collect();
        if secrets.is_empty() && of_it.users.is_empty() {
            return;
        }
        let table = self.draft.another("[[auth.realm]]");
        let name = Value::Text(realm.to_owned());
        table.set("name", name, vec!["a realm of the database".to_owned()]);
        if !secrets.is_empty() {
            table.set("secrets", Value::Secrets(secrets), Vec::new());
        }
        for (option, key) in [("user-quota", "per-user"), ("total-quota", "total")] {
            let value = of_it.options.get(option);
            let number = value.and_then(|value| value.parse::<u32>().ok());
            if let Some(number) = number.filter(|it| *it > 0) {
                table.set(key, Value::Plain(number.to_string()), Vec::new());
            }
        }
        if !of_it.users.is_empty() {
            let table = self.draft.another("[auth.realm.users]");
            for (name, key) in &of_it.users {
                table.set(name, Value::Key((*key).to_owned()), Vec::new());
            }
        }
        self.account.decide(format!(
            "the realm {realm:?} of the database is reached by `listeners` in its [[auth.realm]], or by names that end in @{realm}"
        ));
    }

    pub(super) fn oauth(&mut self) {
        let switch = self
            .file
            .last(&["oauth"])
            .filter(|line| matches!(line.flag(), Ok(true)));
        let name = self.file.last(&["server-name"]);
        let Some(switch) = switch else {
            if let Some(line) = name {
                self.needless(line, "it is about access tokens (oauth) alone");
            }
            return;
        };
        if let Some(line) = name {
            let table = self.draft.table("[oauth]");
            table.set("server-name", Value::Text(line.value.clone()), from([line]));
            self.mapped(line, "[oauth] server-name");
        }
        let keys = self.source.database.into_iter().flat_map(|it| &it.oauth);
        let mut written = false;
        for key in keys {
            match key.value() {
                Some((value, algorithm)) => {
                    let table = self.draft.another("[[oauth.key]]");
                    table.set("id", Value::Text(key.id.clone()), vec!["of the database".to_owned()]);
                    table.set("key", Value::Secret(value), Vec::new());
                    table.set("algorithm", Value::Text(algorithm.to_owned()), Vec::new());
                    if let Some(expires) = key.expires() {
                        table.set("expires", Value::Text(expires), Vec::new());
                    }
                    written = true;
                }
                None => self.account.decide(format!("the key {:?} for access tokens in the database is none of A256GCM or A128GCM: it is left out", key.id)),
            }
        }
        if written {
            self.mapped(switch, "[[oauth.key]]");
        } else {
            self.undecided(switch, "the keys of authorization servers stand in a database that has none: [[oauth.key]]");
        }
    }
}

impl OauthKey {
    /// The key in base64, as long as its algorithm has it, and the algorithm.
    fn value(&self) -> Option<(String, &'static str)> {
        use base64::Engine;
        let (length, algorithm) = match self.algorithm.as_str() {
            "" | "A256GCM" => (32, "A256GCM"),
            "A128GCM" => (16, "A128GCM"),
            _ => return None,
        };
        let bytes = TokenSecret::bytes(&self.key)?;
        // coturn uses the first bytes of a key that is longer.
        let used = bytes
            .get(..length)
            .filter(|used| !TokenSecret::is_sample(used))?;
        Some((
            base64::engine::general_purpose::STANDARD.encode(used),
            algorithm,
        ))
    }

    fn expires(&self) -> Option<String> {
        if self.lifetime == 0 {
            return None;
        }
        let end = Duration::from_secs(self.timestamp.checked_add(self.lifetime)?);
        let end = UNIX_EPOCH.checked_add(end)?;
        // RFC 3339 has four digits for a year.
        let is_writable = end < UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        is_writable.then(|| humantime::format_rfc3339_seconds(end).to_string())
    }
}
