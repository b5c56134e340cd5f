//! The realm and its users and secrets.
//!
//! coturn knows one of three modes: nobody is asked for a password, users have passwords, or a secret
//! makes passwords that expire. A secret anywhere turns the users off, whatever else is set; without
//! users and secrets the relay is open to everybody.

use std::collections::{BTreeSet, HashMap};

use relay::keys::Keys;

use super::super::draft::Value;
use super::super::lines::Line;
use super::{Translation, from};
use crate::config::{PrecomputedKey, realm_flaw, secret_flaw, unfilled};

/// How coturn authenticates clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nobody may allocate.
    StunOnly,
    Open,
    Secrets,
    Users,
}

/// A user of the default realm.
struct User<'s> {
    name: String,
    credential: Credential,
    /// Without one it is of the database.
    line: Option<&'s Line>,
}

enum Credential {
    Password(String),
    /// In 32 hexadecimal digits.
    Key(String),
}

impl<'s> Translation<'s> {
    pub(super) fn realm(&mut self) {
        let Some(line) = self.file.last(&["realm"]) else {
            return;
        };
        if let Some(flaw) = realm_flaw(&line.value) {
            self.undecided(
                line,
                &format!("the realm {flaw}: the name of this host is used"),
            );
            return;
        }
        if line.value.contains([' ', '#', ';']) {
            self.ask(
                line,
                "coturn takes the whole text as the realm, a comment included; so does this import",
            );
        }
        let table = self.draft.table("");
        table.set("realm", Value::Text(line.value.clone()), from([line]));
        self.mapped(line, "realm");
    }

    pub(super) fn auth(&mut self) {
        self.nonce_lifetime();
        let mode = self.mode();
        match mode {
            Mode::StunOnly => {
                if let Some(line) = self.file.last(&["stun-only"]) {
                    self.mapped(line, "[auth] without secrets and users");
                }
                self.leave_out(
                    &["user", "static-auth-secret"],
                    "stun-only is set, so that nobody may allocate",
                );
            }
            Mode::Open => self.open(),
            Mode::Secrets => {
                self.secrets();
                self.leave_out(&["user"], "coturn ignores users while there is a secret");
                if let Some(line) = self.file.last(&["lt-cred-mech"]) {
                    self.needless(line, "coturn ignores users while there is a secret");
                }
                if let Some(line) = self.file.last(&["use-auth-secret"]) {
                    self.mapped(line, "[auth] secrets");
                }
            }
            Mode::Users => {
                let users = self.users();
                self.write_users(users);
                if let Some(line) = self.file.last(&["lt-cred-mech"]) {
                    self.mapped(line, "[auth.users]");
                }
            }
        }
        if matches!(mode, Mode::Secrets | Mode::Users) {
            self.say_if_coturn_is_open();
        }
        self.database(mode == Mode::Users);
        self.oauth();
        self.separator();
    }

    fn mode(&self) -> Mode {
        // Even with the value "no" the option has a secret asked for.
        let has_secret = self.file.has("use-auth-secret") || self.file.has("static-auth-secret");
        let has_users = self
            .file
            .all("user")
            .any(|line| named(&line.value).is_some());
        if self.file.is_on("stun-only") {
            Mode::StunOnly
        } else if self.file.is_on("no-auth") {
            Mode::Open
        } else if has_secret {
            Mode::Secrets
        } else if has_users || self.file.is_on("lt-cred-mech") {
            Mode::Users
        } else {
            Mode::Open
        }
    }

    fn open(&mut self) {
        let what = "coturn relays for everybody with this file; here nobody may allocate without [auth] secrets or [auth.users]";
        match self
            .file
            .last(&["no-auth"])
            .filter(|line| matches!(line.flag(), Ok(true)))
        {
            Some(line) => self.dangerous(line, what),
            None => self
                .account
                .decide(format!("no line asks for a password: {what}")),
        }
        self.leave_out(
            &[
                "user",
                "static-auth-secret",
                "use-auth-secret",
                "lt-cred-mech",
            ],
            "coturn asks nobody for a password with this file",
        );
        let comments =
            vec!["Nobody may allocate until there is a secret or a user here.".to_owned()];
        self.draft.table("[auth]").remark(comments);
    }

    /// A switch that is off, behind the line that asks for passwords, turns them off in coturn.
    fn say_if_coturn_is_open(&mut self) {
        let names = [
            "no-auth",
            "lt-cred-mech",
            "use-auth-secret",
            "static-auth-secret",
        ];
        let Some(line) = self.file.last(&names) else {
            return;
        };
        let is_off = ["no-auth", "lt-cred-mech"].contains(&line.name.as_str())
            && matches!(line.flag(), Ok(false));
        let is_needed = self.file.is_on("lt-cred-mech")
            || self.file.has("use-auth-secret")
            || self.file.has("static-auth-secret");
        if is_off && is_needed {
            self.account.differ(format!(
                "coturn relays for everybody with this file, because line {}, {}, switches authentication off again; Hairpin always asks for a password",
                line.number,
                line.shown()
            ));
        }
    }

    fn leave_out(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            for line in self.file.all(name) {
                self.dropped(line, why);
            }
        }
    }

    fn secrets(&mut self) {
        let mut secrets: Vec<(String, Option<&'s Line>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for line in self.file.all("static-auth-secret") {
            if seen.insert(&line.value) {
                secrets.push((line.value.clone(), Some(line)));
            } else {
                self.needless(line, "the file has this secret twice");
            }
        }
        let realm = self.own_realm().to_owned();
        let database = self.source.database.into_iter().flat_map(|it| &it.secrets);
        for (_, secret) in database.filter(|(of, _)| *of == realm) {
            if seen.insert(secret) {
                secrets.push((secret.clone(), None));
            }
        }
        let mut comments = Vec::new();
        let mut good = Vec::new();
        for (secret, line) in secrets {
            let place = line.map_or_else(
                || "a secret of the database".to_owned(),
                |line| from([line]).concat(),
            );
            let flaw = secret_flaw(&secret).map(|(flaw, _)| flaw);
            let flaw = flaw.or_else(|| {
                (good.len() == MOST_SECRETS)
                    .then(|| "is one too many: eight are the most".to_owned())
            });
            let Some(flaw) = flaw else {
                if let Some(line) = line {
                    self.mapped(line, "[auth] secrets");
                    self.say_of_comment(line);
                }
                comments.push(place);
                good.push(secret);
                continue;
            };
            let what = format!(
                "the secret {flaw}; make another with `openssl rand -base64 32`, and put it here and into the service that makes credentials with it"
            );
            match line {
                Some(line) => self.undecided(line, &what),
                None => self.account.decide(format!("{place}: {what}")),
            }
        }
        if good.is_empty() {
            let nobody = vec![
                "Nobody may allocate until a secret stands here: secrets = [\"…\"]".to_owned(),
            ];
            self.draft.table("[auth]").remark(nobody);
            self.account
                .decide("no secret is left: [auth] secrets needs one, or nobody may allocate");
            return;
        }
        let table = self.draft.table("[auth]");
        table.set("secrets", Value::Secrets(good), comments);
    }

    /// The realm that clients are asked for, by the file: without one it is empty in coturn.
    pub(super) fn own_realm(&self) -> &'s str {
        self.file.text_of("realm").unwrap_or_default()
    }

    /// The users of the file and of the database; if a name occurs twice, the last one counts.
    fn users(&mut self) -> Vec<User<'s>> {
        let mut users: Vec<Option<User<'s>>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for line in self.file.all("user") {
            let Some((name, rest)) = named(&line.value) else {
                self.dropped(
                    line,
                    "coturn ignores this line: it has to be NAME:PASSWORD or NAME:0xKEY",
                );
                continue;
            };
            let credential = match rest.strip_prefix("0x") {
                Some(digits) => match digits
                    .get(..32)
                    .filter(|it| PrecomputedKey::from_hex(it).is_some())
                {
                    Some(digits) => Credential::Key(digits.to_owned()),
                    None => {
                        self.dropped(
                            line,
                            "coturn ignores this line: 32 hexadecimal digits have to follow 0x",
                        );
                        continue;
                    }
                },
                None => Credential::Password(rest.to_owned()),
            };
            if let Some(at) = places.insert(name, users.len())
                && let Some(earlier) = users[at].take().and_then(|user| user.line)
            {
                self.needless(
                    earlier,
                    &format!(
                        "line {} has the same user, and counts in its place",
                        line.number
                    ),
                );
            }
            users.push(Some(User {
                name: name.to_owned(),
                credential,
                line: Some(line),
            }));
        }
        let realm = self.own_realm();
        let database = self.source.database.into_iter().flat_map(|it| &it.users);
        for (_, name, key) in database.filter(|(of, ..)| of == realm) {
            if !places.contains_key(name.as_str()) {
                places.insert(name, users.len());
                users.push(Some(User {
                    name: name.clone(),
                    credential: Credential::Key(key.clone()),
                    line: None,
                }));
            }
        }
        users.into_iter().flatten().collect()
    }

    fn write_users(&mut self, users: Vec<User<'_>>) {
        let has_realm = self
            .file
            .text_of("realm")
            .is_some_and(|realm| realm_flaw(realm).is_none());
        let is_key = |user: &User<'_>| matches!(user.credential, Credential::Key(_));
        if !has_realm && users.iter().any(is_key) {
            self.account.decide("users are given by keys, which hold for one realm alone, and the file names none: write `realm`, or passwords");
        }
        let mut left = false;
        for user in users {
            match user.flaw() {
                None => {
                    let comments = match user.line {
                        Some(line) => from([line]),
                        None => vec!["of the database".to_owned()],
                    };
                    let value = match user.credential {
                        Credential::Password(password) => Value::Secret(password),
                        Credential::Key(key) => Value::Key(key),
                    };
                    let table = self.draft.table("[auth.users]");
                    table.set(&user.name, value, comments);
                    if let Some(line) = user.line {
                        self.mapped(line, "[auth.users]");
                        self.say_of_comment(line);
                    }
                    left = true;
                }
                Some(flaw) => match user.line {
                    Some(line) => self.undecided(line, &flaw),
                    None => self
                        .account
                        .decide(format!("the user {:?} of the database {flaw}", user.name)),
                },
            }
        }
        if !left {
            self.account
                .decide("no user is left: without one in [auth.users] nobody may allocate");
        }
    }

    fn say_of_comment(&mut self, line: &Line) {
        if line.value.contains(" #") || line.value.ends_with(';') {
            self.ask(line, "coturn has all of it for the value, with what may be meant as a comment; here as well");
        }
    }

    fn separator(&mut self) {
        let Some(line) = self.file.last(&["rest-api-separator"]) else {
            return;
        };
        if !line.value.is_empty() && !line.value.starts_with(':') {
            self.undecided(line, "names of time-limited credentials have `:` between expiry and user here; let the service write that");
        }
    }
}

impl User<'_> {
    /// Why the user cannot be written, in words that follow its name.
    fn flaw(&self) -> Option<String> {
        let trial = match &self.credential {
            Credential::Password(password) => password,
            Credential::Key(_) => "a password stands elsewhere",
        };
        let flaw = match &self.credential {
            Credential::Password(password) => unfilled(password).map(|(flaw, _)| flaw),
            Credential::Key(key) => PrecomputedKey::from_hex(key)
                .is_none()
                .then(|| "has a key that is not MD5 of NAME:REALM:PASSWORD".to_owned()),
        };
        let is_long = self.name.len() > 508;
        flaw.map(|flaw| format!("{flaw}: give the user another password"))
            .or_else(|| is_long.then(|| "has a name of more than 508 bytes".to_owned()))
            .or_else(|| {
                Keys::new("")
                    .add_user(&self.name, trial)
                    .err()
                    .map(|why| format!("cannot log in: {why}"))
            })
    }
}

/// Name and password of a line of users, if coturn finds any.
fn named(value: &str) -> Option<(&str, &str)> {
    let (name, rest) = value.split_once(':')?;
    let rest = rest.trim_start_matches([' ', '\t']);
    (!name.is_empty() && value.len() >= 2).then_some((name, rest))
}

/// `[auth] secrets` has no more.
const MOST_SECRETS: usize = 8;
