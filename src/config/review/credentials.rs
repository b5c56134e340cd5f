//! Secrets and users, of `[auth]` and of `[[auth.realm]]` alike: what clients have to know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use relay::keys::{Keys, NotOpaque};
use toml::Spanned;
use toml::de::DeValue;

use super::Review;
use super::net::twice;
use super::reuse::Known;
use crate::config::form::{FILL_IN, TEMPLATE, is_blank, is_template};
use crate::config::remark::Remark;
use crate::config::table::{Table, Text, text};
use crate::config::watched::Watched;
use crate::config::{NoSecret, PrecomputedKey, Secret, UserKey};

/// The users of a realm so far, and where they stand in the file at hand.
pub(super) type Seen = BTreeMap<String, Option<Range<usize>>>;

/// The one secret of a table.
pub(super) struct Given {
    /// The key that has it, as sentences name it.
    pub(super) key: String,
    pub(super) secret: Secret,
    pub(super) at: Range<usize>,
}

/// A fault was told.
pub(super) struct Told;

impl Review<'_> {
    /// The secrets and the users of a realm.
    pub(super) fn credentials(
        &mut self,
        table: &Table<'_>,
        realm: &str,
    ) -> (Vec<Secret>, BTreeMap<String, UserKey>) {
        let secrets = self.secrets(table, ["secrets", "secret-files"]);
        let own = table.table("users");
        let mut seen = Seen::new();
        let mut users = self.users(&own, &own.heading(), realm, &mut seen);
        if let Some(file) = table.text("users-file") {
            // They stand in this file, of which the remarks on the other show nothing.
            seen.values_mut().for_each(|first| *first = None);
            let key = table.name("users-file");
            users.extend(self.users_in_file(&key, &file, realm, &mut seen));
        }
        (secrets, users)
    }

    /// The secrets in the file, then those in files of their own.
    pub(super) fn secrets(
        &mut self,
        table: &Table<'_>,
        [here, in_files]: [&str; 2],
    ) -> Vec<Secret> {
        let mut secrets: Vec<(Secret, Range<usize>)> = Vec::new();
        for name in [here, in_files] {
            let key = table.name(name);
            for written in table.texts(name) {
                let at = written.span();
                let secret = if name == here {
                    Some(Secret::new(*written.get_ref()))
                } else {
                    self.secret_file(&key, &written)
                };
                let Some(secret) = secret.filter(|secret| self.is_strong(&key, secret, &at)) else {
                    continue;
                };
                self.know(&key, &secret, &at);
                match secrets.iter().find(|(other, _)| *other == secret) {
                    Some((_, first)) => self.say(twice(&key, at, first.clone())),
                    None => secrets.push((secret, at)),
                }
            }
        }
        if let Some((_, at)) = secrets.get(MOST_SECRETS) {
            let sentence = format!(
                "{} has more than {MOST_SECRETS} secrets, and with a wrong password each is tried",
                table.heading()
            );
            let help = "remove those whose last credential has expired; services of their own have \
                        `[[auth.realm]]`";
            self.say(Remark::fault(at.clone(), sentence).help(help));
        }
        secrets.into_iter().map(|(secret, _)| secret).collect()
    }

    /// The secret of a table that has one at most: in the file, or in a file of its own.
    ///
    /// # Errors
    /// If a fault was told.
    pub(super) fn one_secret(
        &mut self,
        table: &Table<'_>,
        [here, in_file]: [&str; 2],
    ) -> Result<Option<Given>, Told> {
        let (name, written) = match (filled(table, here), filled(table, in_file)) {
            (None, None) => return Ok(None),
            (Some(_), Some(file)) => {
                let sentence = format!("{} and `{here}` exclude each other", table.name(in_file));
                self.say(Remark::fault(file.span(), sentence).help("keep the file"));
                return Err(Told);
            }
            (Some(written), None) => (here, written),
            (None, Some(written)) => (in_file, written),
        };
        let (key, at) = (table.name(name), written.span());
        let secret = if name == here {
            Some(Secret::new(*written.get_ref()))
        } else {
            self.secret_file(&key, &written)
        };
        let secret = secret.filter(|secret| self.is_strong(&key, secret, &at));
        let secret = secret.ok_or(Told)?;
        Ok(Some(Given { key, secret, at }))
    }

    /// The same, of what a request shows as its bearer token.
    pub(super) fn bearer_token(
        &mut self,
        table: &Table<'_>,
        keys: [&str; 2],
    ) -> Result<Option<Given>, Told> {
        let Some(token) = self.one_secret(table, keys)? else {
            return Ok(None);
        };
        // RFC 6750 §2.1 has fewer, but clients send what they are given, up to a blank.
        let is_sent = |letter: char| letter.is_ascii_graphic();
        if !token.secret.expose().chars().all(is_sent) {
            let sentence = format!("{} has characters that no bearer token has", token.key);
            self.say(Remark::fault(token.at, sentence).help(MAKE_SECRET));
            return Err(Told);
        }
        Ok(Some(token))
    }

    /// Remembers a secret, to compare it with that of nonces.
    pub(super) fn know(&mut self, key: &str, secret: &Secret, at: &Range<usize>) {
        let (key, secret, at) = (key.to_owned(), secret.clone(), at.clone());
        self.secrets.push(Known { key, secret, at });
    }

    pub(super) fn secret_file(&mut self, key: &str, written: &Text<'_>) -> Option<Secret> {
        self.file(key, written, Secret::in_file, |source| match source {
            NoSecret::Unreadable(_) => SECRET_FILE,
            NoSecret::Empty => MAKE_SECRET,
            NoSecret::Binary => "base64 is wanted: make one with `openssl rand -base64 32`",
            NoSecret::Lines => {
                "one file holds one secret: `openssl rand -base64 32` makes one line"
            }
            NoSecret::Quoted => "write the secret without quotation marks",
        })
    }

    /// The path that a name in the file stands for, if the credentials are there that it needs.
    pub(super) fn path(&self, written: &Text<'_>) -> Option<PathBuf> {
        let path = self.host.environment.path(written.get_ref())?;
        Some(self.directory.join(path))
    }

    /// The same, or a fault.
    pub(super) fn credential_path(&mut self, key: &str, written: &Text<'_>) -> Option<PathBuf> {
        let path = self.path(written);
        if path.is_none() {
            let sentence =
                format!("{key} names a credential, and there is no CREDENTIALS_DIRECTORY");
            self.say(Remark::fault(written.span(), sentence).help(NO_CREDENTIALS));
        }
        path
    }

    /// Has a file looked at from now on. It is read after this: what is written meanwhile is a change.
    pub(super) fn watch(&mut self, path: &Path) {
        self.files.push(Watched::now(path.to_owned()));
    }

    /// The contents of a file that holds secrets, as `read` has them; or `help` where there are none.
    pub(super) fn file(
        &mut self,
        key: &str,
        written: &Text<'_>,
        read: fn(&[u8]) -> Result<Secret, NoSecret>,
        help: fn(&NoSecret) -> &'static str,
    ) -> Option<Secret> {
        let at = written.span();
        let path = self.credential_path(key, written)?;
        self.watch(&path);
        let name = path.display();
        let bytes = (self.host.read_secret)(&path).map_err(NoSecret::from);
        match bytes.and_then(|bytes| read(&bytes)) {
            Ok(secret) => {
                let access = (self.host.access)(&path);
                if access.is_public {
                    let sentence =
                        format!("{key} names {name}, which every user of this host may read");
                    let help = format!("chmod 600 {name}");
                    self.say(Remark::caution(at.clone(), sentence).help(help));
                }
                let shut = access.shut_out(&path, &format!("{name}, which {key} names"));
                self.remarks.extend(shut.map(|remark| remark.at(at)));
                Some(secret)
            }
            Err(source) => {
                let sentence = format!("{key} names {name}, {source}");
                self.say(Remark::fault(at, sentence).help(help(&source)));
                None
            }
        }
    }

    /// A shared secret opens the relay to whoever guesses it, offline and without end:
    /// each credential seen on the wire proves a guess right or wrong.
    pub(super) fn is_strong(&mut self, key: &str, secret: &Secret, at: &Range<usize>) -> bool {
        let Some((flaw, help)) = secret_flaw(secret.expose()) else {
            return true;
        };
        self.say(Remark::fault(at.clone(), format!("{key} {flaw}")).help(help));
        false
    }

    /// The users in the table that `key` names.
    pub(super) fn users(
        &mut self,
        table: &Table<'_>,
        key: &str,
        realm: &str,
        seen: &mut Seen,
    ) -> BTreeMap<String, UserKey> {
        let mut users = BTreeMap::new();
        for (written, entry) in table.users() {
            let (name, at) = (*written.get_ref(), written.span());
            // With and without the realm a name is one user, and so it is in all its spellings. One
            // that cannot be prepared is refused below.
            let prepared = relay::keys::prepared(name).unwrap_or(Cow::Borrowed(name));
            let own = Keys::new(realm).own_name(&prepared).to_owned();
            let ends_in = |other: &&String| Keys::new(other.as_str()).own_name(name) != name;
            let foreign = self
                .realms
                .iter()
                .filter(|other| *other != realm)
                .find(ends_in);
            if let Some(first) = seen.get(&own) {
                let sentence = format!(
                    "{key} has one user twice, with the realm in the name and without, or in two \
                     spellings that RFC 8265 makes one"
                );
                self.say(Remark::fault(at.clone(), sentence).see(first.clone(), "first here"));
            } else if let Some(realm) = foreign {
                let sentence = format!(
                    "{key} has a user whose name ends in the realm `{realm}`, where such clients are \
                     looked for"
                );
                let help = format!("move the user to the table of `{realm}`");
                self.say(Remark::fault(at.clone(), sentence).help(help));
            } else if let Some(credential) = self.user(key, &written, entry) {
                users.insert(name.to_owned(), credential);
            }
            seen.insert(own, Some(at));
        }
        users
    }

    fn user(
        &mut self,
        key: &str,
        name: &Text<'_>,
        entry: &Spanned<DeValue<'_>>,
    ) -> Option<UserKey> {
        // RFC 8489 §14.3: fewer than 509 bytes.
        if name.get_ref().len() > 508 {
            let sentence = format!("{key} has a user name of more than 508 bytes");
            self.say(Remark::fault(name.span(), sentence));
            return None;
        }
        // Whether a client could send these: the relay core is asked, as it will be at the start.
        let password = entry.get_ref().as_str();
        let trial = password.unwrap_or("a password stands elsewhere");
        if let Err(source) = Keys::new("").add_user(name.get_ref(), trial) {
            let at = match source {
                NotOpaque::Name => name.span(),
                NotOpaque::Password => entry.span(),
            };
            self.say(Remark::fault(at, format!("{key}: {source}")));
            return None;
        }
        if let Some(password) = password {
            return self.password(key, name.get_ref(), password, entry.span());
        }
        let digits = entry.get_ref().get("key").and_then(text)?;
        let parsed = PrecomputedKey::from_hex(digits.get_ref());
        if parsed.is_none() {
            let sentence = "`key` must be 32 hexadecimal digits";
            let help = "make one with `printf 'USER:REALM:PASSWORD' | md5sum`";
            self.say(Remark::fault(digits.span(), sentence).help(help));
        }
        self.know(key, &Secret::new(*digits.get_ref()), &digits.span());
        parsed.map(UserKey::Precomputed)
    }

    fn password(
        &mut self,
        key: &str,
        name: &str,
        password: &str,
        at: Range<usize>,
    ) -> Option<UserKey> {
        if let Some((flaw, help)) = unfilled(password) {
            self.say(Remark::fault(at, format!("{key} {flaw}")).help(help));
            return None;
        }
        if password.len() < 8 || password == name {
            let sentence = format!("{key} has a password that is easy to guess");
            let help = "make one with `openssl rand -base64 12`";
            self.say(Remark::caution(at.clone(), sentence).help(help));
        }
        let password = Secret::new(password);
        self.know(key, &password, &at);
        Some(UserKey::Password(password))
    }
}

/// A text that is not empty.
pub(super) fn filled<'t>(table: &Table<'t>, key: &str) -> Option<Text<'t>> {
    table.text(key).filter(|text| !text.get_ref().is_empty())
}

/// Why a shared secret is refused, if it is, in words that follow the name of its key; and what to do.
pub(crate) fn secret_flaw(secret: &str) -> Option<(String, &'static str)> {
    let length = secret.len();
    if secret.trim().is_empty() {
        return Some(("has a secret that is empty".to_owned(), MAKE_SECRET));
    }
    unfilled(secret).or_else(|| {
        let flaw = || {
            format!("is a secret of {length} bytes, too short to resist guessing: 16 are the least")
        };
        (length < 16).then(|| (flaw(), MAKE_SECRET))
    })
}

/// Why nobody has chosen this secret or password, if nobody has, and what to do.
pub(crate) fn unfilled(text: &str) -> Option<(String, &'static str)> {
    if is_template(text) {
        return Some((TEMPLATE.to_owned(), FILL_IN));
    }
    let words = "is still the example of a guide, which everybody knows";
    (is_placeholder(text) || is_blank(text)).then(|| (words.to_owned(), MAKE_SECRET))
}

/// Whether the text is what guides and sample files print.
fn is_placeholder(text: &str) -> bool {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let plain: String = letters.flat_map(char::to_lowercase).collect();
    plain.is_empty()
        || SAMPLES.split(' ').any(|sample| sample == plain)
        || PROMPTS.split(' ').any(|prompt| plain.contains(prompt))
}

/// Secrets of samples, without case and punctuation. `north` and `logen` are coturn's.
const SAMPLES: &str = "\
    secret mysecret sharedsecret supersecret turnsecret authsecret \
    staticauthsecret password passwd pass password1 mypassword turnpassword test testpassword example \
    turn turnserver coturn admin guest user hero north logen youhavetochoosepasswords \
    qwerty 123456 12345678 0123456789abcdef xxx xxxx";

/// Words that ask for another word in their place.
const PROMPTS: &str = "\
    changeme changethis replaceme replacethis yoursecret yourpassword yourstrong \
    placeholder insertsecret todo";

/// A rotation needs two, and a slow one three. Each is tried twice before a wrong password is refused:
/// `docs/security.md` says what that costs.
const MOST_SECRETS: usize = 8;

const NO_CREDENTIALS: &str = "systemd sets it for a service with LoadCredential=, and for nobody else; to check \
                              beside a running service, set it to /run/credentials/hairpin.service";
const MAKE_SECRET: &str = "make one with `openssl rand -base64 32`";
const SECRET_FILE: &str = "a relative path starts at the directory of the configuration file; the \
                           file holds one secret, and the user that runs the server must be able \
                           to read it";
