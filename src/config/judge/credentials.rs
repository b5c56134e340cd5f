//! Secrets and users, of `[auth]` and of `[[auth.realm]]` alike: what clients have to know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use relay::keys::{Keys, NotOpaque};
use toml::Spanned;

use super::Judge;
use super::reuse::Known;
use crate::config::caution::Caution;
use crate::config::fault::{AuthFault, Fault, Form, KeyName};
use crate::config::file::{Text, UserEntry, Users};
use crate::config::watched::Watched;
use crate::config::{NoSecret, PrecomputedKey, Secret, UserKey};

/// The credentials of one realm, as written.
pub(super) struct Credentials {
    /// The realm, unless it is the default one.
    pub(super) of: Option<String>,
    pub(super) secrets: Vec<Text>,
    pub(super) secret_files: Vec<Text>,
    pub(super) users: Users,
    pub(super) users_file: Option<Text>,
}

/// Where credentials are written.
#[derive(Clone, Copy)]
enum Key {
    Secrets,
    SecretFiles,
    Users,
    UsersFile,
}

impl Credentials {
    fn key(&self, key: Key) -> KeyName {
        let name = match (key, &self.of) {
            (Key::Secrets, None) => "[auth] secrets",
            (Key::SecretFiles, None) => "[auth] secret-files",
            (Key::Users, None) => "[auth.users]",
            (Key::UsersFile, None) => "[auth] users-file",
            (Key::Secrets, Some(_)) => "[[auth.realm]] secrets",
            (Key::SecretFiles, Some(_)) => "[[auth.realm]] secret-files",
            (Key::Users, Some(_)) => "[auth.realm.users]",
            (Key::UsersFile, Some(_)) => "[[auth.realm]] users-file",
        };
        KeyName::in_realm(name, self.of.clone())
    }
}

impl Judge<'_> {
    /// The secrets and the users of the realm; `realms` are all of the file.
    pub(super) fn credentials(
        &mut self,
        written: Credentials,
        realm: &str,
        realms: &[String],
    ) -> Option<(Vec<Secret>, BTreeMap<String, UserKey>)> {
        let secrets = self.secrets(&written);
        let [key, file_key] = [Key::Users, Key::UsersFile].map(|key| written.key(key));
        let mut seen = BTreeMap::new();
        let users = self.users(&key, written.users, (realm, realms), &mut seen);
        let users = match written.users_file {
            Some(file) => {
                // They stand in this file, of which the report on the other shows nothing.
                seen.values_mut().for_each(|first| *first = None);
                let others = self.users_in_file(&file_key, &file, (realm, realms), &mut seen);
                users.zip(others).map(|(mut users, others)| {
                    users.extend(others);
                    users
                })
            }
            None => users,
        };
        secrets.zip(users)
    }

    /// The secrets in the file, then those in files of their own.
    fn secrets(&mut self, written: &Credentials) -> Option<Vec<Secret>> {
        let key = written.key(Key::Secrets);
        let inline = written.secrets.iter().map(|written| {
            let secret = Some(Secret::new(written.get_ref()));
            (key.clone(), secret, written.span())
        });
        let mut candidates: Vec<_> = inline.collect();
        let key = written.key(Key::SecretFiles);
        for written in &written.secret_files {
            let secret = self.secret_file(&key, written);
            candidates.push((key.clone(), secret, written.span()));
        }
        let mut secrets: Vec<(Secret, Range<usize>)> = Vec::new();
        let mut usable = true;
        for (key, secret, at) in candidates {
            let Some(secret) = secret.and_then(|secret| self.strong(&key, secret, &at)) else {
                usable = false;
                continue;
            };
            self.secrets.push(Known::new(&key, &secret, &at));
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

    pub(super) fn secret_file(&mut self, key: &KeyName, written: &Text) -> Option<Secret> {
        self.file(key, written).map_or_else(
            |source| {
                let (key, path) = (key.clone(), self.directory.join(written.get_ref()));
                self.refuse(AuthFault::SecretFile { key, path, source }, written.span())
            },
            Some,
        )
    }

    /// The text of a file that holds secrets.
    pub(super) fn file(&mut self, key: &KeyName, written: &Text) -> Result<Secret, NoSecret> {
        let path = self.directory.join(written.get_ref());
        // Looked at before it is read: what is written meanwhile is a change.
        self.files.push(Watched::now(path.clone()));
        let file = (self.host.read_secret)(&path)?;
        if file.is_public {
            let key = key.clone();
            self.say(Caution::ReadableSecret { key, path }, written.span());
        }
        Ok(file.secret)
    }

    /// A shared secret opens the relay to whoever guesses it, offline and without end:
    /// each credential seen on the wire proves a guess right or wrong.
    pub(super) fn strong(
        &mut self,
        key: &KeyName,
        secret: Secret,
        at: &Range<usize>,
    ) -> Option<Secret> {
        let key = key.clone();
        if secret.expose().trim().is_empty() {
            return self.refuse(AuthFault::EmptySecret { key }, at.clone());
        }
        if is_placeholder(secret.expose()) {
            return self.refuse(AuthFault::Placeholder { key }, at.clone());
        }
        let length = secret.expose().len();
        if length < 16 {
            return self.refuse(AuthFault::ShortSecret { key, length }, at.clone());
        }
        Some(secret)
    }

    /// `seen` has the names of this realm so far, and where they stand in the file at hand.
    pub(super) fn users(
        &mut self,
        key: &KeyName,
        entries: Users,
        (realm, realms): (&str, &[String]),
        seen: &mut BTreeMap<String, Option<Range<usize>>>,
    ) -> Option<BTreeMap<String, UserKey>> {
        let mut users = Some(BTreeMap::new());
        for (name, entry) in entries {
            // With and without the realm a name is one user, and so it is in all its spellings. One
            // that cannot be prepared is refused below.
            let prepared = relay::keys::prepared(name.get_ref());
            let prepared = prepared.unwrap_or(Cow::Borrowed(name.get_ref()));
            let own = Keys::new(realm).own_name(&prepared).to_owned();
            let at = name.span();
            let key = key.clone();
            let ends_in = |other: &&String| {
                let name = name.get_ref();
                Keys::new(other.as_str()).own_name(name) != name
            };
            let foreign = realms.iter().filter(|other| **other != realm).find(ends_in);
            let user = match (seen.get(&own), foreign) {
                (Some(first), _) => {
                    let see = first.clone().map(|first| (first, "first here"));
                    self.refuse_beside(AuthFault::SameUser { key }, at.clone(), see)
                }
                (None, Some(realm)) => {
                    let realm = realm.clone();
                    self.refuse(AuthFault::ForeignUser { key, realm }, at.clone())
                }
                (None, None) => self.user(&key, name, entry),
            };
            seen.insert(own, Some(at));
            users = users.zip(user).map(|(mut users, (name, key))| {
                users.insert(name, key);
                users
            });
        }
        users
    }

    fn user(
        &mut self,
        of: &KeyName,
        name: Text,
        entry: Spanned<UserEntry>,
    ) -> Option<(String, UserKey)> {
        // RFC 8489 §14.3: fewer than 509 bytes.
        if name.get_ref().len() > 508 {
            return self.refuse(AuthFault::LongUserName { key: of.clone() }, name.span());
        }
        let at = entry.span();
        let key = match entry.into_inner() {
            UserEntry::Password(password) => {
                self.opaque(of, &name, &password, &at)?;
                self.password(of, name.get_ref(), password, at)?
            }
            UserEntry::Key(None) => return self.refuse(AuthFault::NoKey { key: of.clone() }, at),
            UserEntry::Key(Some(digits)) => {
                self.opaque(of, &name, "a password stood here", &at)?;
                let Some(key) = PrecomputedKey::from_hex(digits.get_ref()) else {
                    let (key, form) = ("key".into(), Form::Key);
                    return self.refuse(Fault::Form { key, form }, digits.span());
                };
                let text = Secret::new(digits.get_ref());
                self.secrets.push(Known::new(of, &text, &digits.span()));
                UserKey::Precomputed(key)
            }
        };
        Some((name.into_inner(), key))
    }

    /// Whether a client could send these: the relay core is asked, as it will be at the start.
    fn opaque(
        &mut self,
        key: &KeyName,
        name: &Text,
        password: &str,
        at: &Range<usize>,
    ) -> Option<()> {
        match Keys::new("").add_user(name.get_ref(), password) {
            Ok(()) => Some(()),
            Err(source) => {
                let at = match source {
                    NotOpaque::Name => name.span(),
                    NotOpaque::Password => at.clone(),
                };
                let key = key.clone();
                self.refuse(AuthFault::User { key, source }, at)
            }
        }
    }

    fn password(
        &mut self,
        key: &KeyName,
        name: &str,
        password: String,
        at: Range<usize>,
    ) -> Option<UserKey> {
        if is_placeholder(&password) {
            return self.refuse(AuthFault::Placeholder { key: key.clone() }, at);
        }
        if password.len() < 8 || password == name {
            self.say(Caution::WeakPassword { key: key.clone() }, at.clone());
        }
        let password = Secret::new(password);
        self.secrets.push(Known::new(key, &password, &at));
        Some(UserKey::Password(password))
    }
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
