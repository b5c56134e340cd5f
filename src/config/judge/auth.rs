//! `realm` and `[auth]`: who clients are and what they have to know.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use relay::Sha256;
use relay::keys::{Keys, NotOpaque};
use toml::Spanned;

use super::Judge;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, Form};
use crate::config::file::{AuthTable, Sha256Policy, Text, UserEntry};
use crate::config::{Auth, PrecomputedKey, Secret, UserKey};

impl Judge<'_> {
    pub(super) fn realm(&mut self, written: Option<Text>) -> Option<String> {
        let Some(written) = written else {
            return Some(self.host.name.clone());
        };
        match realm_flaw(written.get_ref()) {
            Some(reason) => self.refuse(Fault::Realm { reason }, written.span()),
            None => Some(written.into_inner()),
        }
    }

    pub(super) fn auth(&mut self, table: AuthTable) -> Option<Auth> {
        let secrets = self.secrets(&table);
        let users = self.users(table.users);
        // At most an hour: RFC 8656 §5.
        let possible = Duration::from_secs(1)..=Duration::from_secs(3600);
        let default = Duration::from_secs(600);
        let key = "[auth] nonce-lifetime";
        let nonce_lifetime = self.duration(key, table.nonce_lifetime.as_ref(), possible, default);
        let (users, sha256) = self.sha256(table.sha256.as_ref(), users)?;
        Some(Auth {
            secrets: secrets?,
            users,
            nonce_lifetime: nonce_lifetime?,
            sha256,
        })
    }

    /// A user of whom only an MD5 key is known cannot be asked for SHA-256.
    fn sha256(
        &mut self,
        written: Option<&Spanned<Sha256Policy>>,
        users: Option<BTreeMap<String, UserKey>>,
    ) -> Option<(BTreeMap<String, UserKey>, Sha256)> {
        let users = users?;
        let policy = match written.map(Spanned::get_ref) {
            Some(Sha256Policy::Off) => Sha256::Off,
            Some(Sha256Policy::Offer) | None => Sha256::Offer,
            Some(Sha256Policy::Require) => Sha256::Require,
        };
        let is_md5 = |key: &UserKey| matches!(key, UserKey::Precomputed(_));
        if let Some(written) = written
            && policy == Sha256::Require
            && users.values().any(is_md5)
        {
            return self.refuse(Fault::KeyUnderRequire, written.span());
        }
        Some((users, policy))
    }

    /// The secrets in the file, then those in files of their own.
    fn secrets(&mut self, table: &AuthTable) -> Option<Vec<Secret>> {
        let inline = table.secrets.iter().map(|written| {
            (
                SECRETS,
                Some(Secret::new(written.get_ref())),
                written.span(),
            )
        });
        let mut candidates: Vec<_> = inline.collect();
        for written in &table.secret_files {
            candidates.push((SECRET_FILES, self.secret_file(written), written.span()));
        }
        let mut secrets: Vec<(Secret, Range<usize>)> = Vec::new();
        let mut usable = true;
        for (key, secret, at) in candidates {
            let Some(secret) = secret.and_then(|secret| self.strong(key, secret, &at)) else {
                usable = false;
                continue;
            };
            match secrets.iter().find(|(other, _)| *other == secret) {
                Some((_, first)) => {
                    let see = Some((first.clone(), "first here"));
                    return self.refuse_beside(Fault::Duplicate { key }, at, see);
                }
                None => secrets.push((secret, at)),
            }
        }
        usable.then(|| secrets.into_iter().map(|(secret, _)| secret).collect())
    }

    fn secret_file(&mut self, written: &Text) -> Option<Secret> {
        let path = self.directory.join(written.get_ref());
        match (self.host.read_secret)(&path) {
            Ok(file) => {
                if file.is_public {
                    self.say(Caution::ReadableSecret { path }, written.span());
                }
                Some(file.secret)
            }
            Err(source) => self.refuse(Fault::SecretFile { path, source }, written.span()),
        }
    }

    /// A shared secret opens the relay to whoever guesses it, offline and without end:
    /// each credential seen on the wire proves a guess right or wrong.
    fn strong(&mut self, key: &'static str, secret: Secret, at: &Range<usize>) -> Option<Secret> {
        if is_placeholder(secret.expose()) {
            return self.refuse(Fault::Placeholder { key }, at.clone());
        }
        let length = secret.expose().len();
        if length < 16 {
            return self.refuse(Fault::ShortSecret { key, length }, at.clone());
        }
        Some(secret)
    }

    fn users(
        &mut self,
        entries: BTreeMap<Text, Spanned<UserEntry>>,
    ) -> Option<BTreeMap<String, UserKey>> {
        let read: Vec<_> = entries
            .into_iter()
            .map(|(name, entry)| self.user(name, entry))
            .collect();
        read.into_iter().collect()
    }

    fn user(&mut self, name: Text, entry: Spanned<UserEntry>) -> Option<(String, UserKey)> {
        // RFC 8489 §14.3: fewer than 509 bytes.
        if name.get_ref().len() > 508 {
            return self.refuse(Fault::LongUserName, name.span());
        }
        let at = entry.span();
        let key = match entry.into_inner() {
            UserEntry::Password(password) => {
                self.opaque(&name, &password, &at)?;
                self.password(name.get_ref(), password, at)?
            }
            UserEntry::Key(None) => return self.refuse(Fault::NoKey, at),
            UserEntry::Key(Some(digits)) => {
                self.opaque(&name, "a password stood here", &at)?;
                let Some(key) = PrecomputedKey::from_hex(digits.get_ref()) else {
                    let (key, form) = ("key", Form::Key);
                    return self.refuse(Fault::Form { key, form }, digits.span());
                };
                UserKey::Precomputed(key)
            }
        };
        Some((name.into_inner(), key))
    }

    /// Whether a client could send these: the relay core is asked, as it will be at the start.
    fn opaque(&mut self, name: &Text, password: &str, at: &Range<usize>) -> Option<()> {
        match Keys::new("").add_user(name.get_ref(), password) {
            Ok(()) => Some(()),
            Err(source) => {
                let at = match source {
                    NotOpaque::Name => name.span(),
                    NotOpaque::Password => at.clone(),
                };
                self.refuse(Fault::User { source }, at)
            }
        }
    }

    fn password(&mut self, name: &str, password: String, at: Range<usize>) -> Option<UserKey> {
        if is_placeholder(&password) {
            return self.refuse(
                Fault::Placeholder {
                    key: "[auth.users]",
                },
                at,
            );
        }
        if password.len() < 8 || password == name {
            self.say(Caution::WeakPassword, at);
        }
        Some(UserKey::Password(Secret::new(password)))
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

/// Whether the text is what guides and sample files print.
fn is_placeholder(text: &str) -> bool {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let plain: String = letters.flat_map(char::to_lowercase).collect();
    plain.is_empty()
        || SAMPLES.contains(&plain.as_str())
        || PROMPTS.iter().any(|prompt| plain.contains(prompt))
}

/// Secrets of samples, without case and punctuation. `north` and `logen` are coturn's.
const SAMPLES: &[&str] = &[
    "secret",
    "mysecret",
    "sharedsecret",
    "supersecret",
    "turnsecret",
    "authsecret",
    "staticauthsecret",
    "password",
    "passwd",
    "pass",
    "password1",
    "mypassword",
    "turnpassword",
    "test",
    "testpassword",
    "example",
    "turn",
    "turnserver",
    "coturn",
    "admin",
    "guest",
    "user",
    "hero",
    "north",
    "logen",
    "youhavetochoosepasswords",
    "qwerty",
    "123456",
    "12345678",
    "0123456789abcdef",
    "xxx",
    "xxxx",
];

/// Words that ask for another word in their place.
const PROMPTS: &[&str] = &[
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "yoursecret",
    "yourpassword",
    "yourstrong",
    "placeholder",
    "insertsecret",
    "todo",
];

const SECRETS: &str = "[auth] secrets";
const SECRET_FILES: &str = "[auth] secret-files";
