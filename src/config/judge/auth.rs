//! `realm` and `[auth]`: who clients are and what they have to know.

use std::time::Duration;

use relay::Sha256;
use toml::Spanned;

use super::credentials::Credentials;
use super::reuse::Known;
use super::{Judge, Surroundings};
use crate::config::caution::Caution;
use crate::config::fault::{AuthFault, KeyName};
use crate::config::file::{AuthTable, Sha256Policy, Text};
use crate::config::{Auth, Realm, UserKey};

impl Judge<'_> {
    pub(super) fn realm(&mut self, written: Option<Text>) -> Option<String> {
        let Some(written) = written else {
            return Some(self.host.name.clone());
        };
        match realm_flaw(written.get_ref()) {
            Some(reason) => {
                let key = "realm".into();
                self.refuse(AuthFault::Realm { key, reason }, written.span())
            }
            None => {
                self.caution_long(&"realm".into(), &written);
                Some(written.into_inner())
            }
        }
    }

    /// A realm travels in every 401, into buffers that not every client has measured.
    pub(super) fn caution_long(&mut self, key: &KeyName, realm: &Text) {
        let length = realm.get_ref().len();
        if length > 63 {
            let key = key.clone();
            self.say(Caution::LongRealm { key, length }, realm.span());
        }
    }

    pub(super) fn auth(&mut self, table: AuthTable, around: Surroundings<'_>) -> Option<Auth> {
        // At most an hour (RFC 8656 §5), and no less unless asked for: some clients end at the
        // first 438.
        let hour = Duration::from_secs(3600);
        let possible = Duration::from_secs(1)..=hour;
        let key = "[auth] nonce-lifetime";
        let nonce_lifetime = self.duration(key, table.nonce_lifetime.as_ref(), possible, hour);
        let key = "[auth] nonce-secret-file".into();
        let nonce_secret = match &table.nonce_secret_file {
            Some(written) => {
                let (secret, at) = (self.secret_file(&key, written), written.span());
                let secret = secret.and_then(|secret| self.strong(&key, secret, &at));
                let known = secret.as_ref().map(|secret| Known::new(&key, secret, &at));
                self.nonce_secret = known;
                secret.map(Some)
            }
            None => Some(None),
        };
        let written = Credentials {
            of: None,
            secrets: table.secrets,
            secret_files: table.secret_files,
            users: table.users,
            users_file: table.users_file,
        };
        let default = around.realms.first().map_or("", String::as_str);
        let credentials = self.credentials(written, default, around.realms);
        let realms = self.realms(table.realm, around);
        let ((secrets, users), realms) = (credentials?, realms?);
        let sha256 = self.sha256(table.sha256.as_ref(), || {
            let others = realms.iter().flat_map(|realm: &Realm| realm.users.values());
            users.values().chain(others)
        })?;
        Some(Auth {
            secrets,
            users,
            nonce_lifetime: nonce_lifetime?,
            nonce_secret: nonce_secret?,
            sha256,
            realms,
        })
    }

    /// A user of whom only an MD5 key is known cannot be asked for SHA-256.
    fn sha256<'k, U: Iterator<Item = &'k UserKey>>(
        &mut self,
        written: Option<&Spanned<Sha256Policy>>,
        users: impl FnOnce() -> U,
    ) -> Option<Sha256> {
        let policy = match written.map(Spanned::get_ref) {
            Some(Sha256Policy::Off) => Sha256::Off,
            Some(Sha256Policy::Offer) | None => Sha256::Offer,
            Some(Sha256Policy::Require) => Sha256::Require,
        };
        let is_md5 = |key: &UserKey| matches!(key, UserKey::Precomputed(_));
        if let Some(written) = written
            && policy == Sha256::Require
            && users().any(is_md5)
        {
            return self.refuse(AuthFault::KeyUnderRequire, written.span());
        }
        Some(policy)
    }
}

/// Why clients could not send this realm back. RFC 8489 §14.9: fewer than 128
/// characters, and in the end a quoted string.
pub(in crate::config) fn realm_flaw(realm: &str) -> Option<&'static str> {
    if realm.is_empty() {
        return Some("is empty");
    }
    if realm.chars().count() > 127 {
        return Some("has more than 127 characters");
    }
    if realm.contains(['"', '\\']) {
        return Some("holds a quote or a backslash");
    }
    if realm.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    // Clients prepare it before they hash it, and would hash something else.
    (!relay::is_opaque(realm)).then_some("has characters that RFC 8265 writes otherwise or forbids")
}
