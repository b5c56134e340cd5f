//! `[http]` and `[demo]`: what is served to browsers beside the relay.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use net::Transports;
use relay::Transport;
use toml::Spanned;

use super::Review;
use super::credentials::Given;
use super::net::{meet, socket, twice};
use crate::browsers::open_no_page;
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};
use crate::config::{HttpToken, Secret};

impl Review<'_> {
    pub(super) fn http(&mut self, file: &Table<'_>) {
        let table = file.table("http");
        self.http_listen(&table);
        let takes_tls = |listener: Transports| listener.has(Transport::Tls);
        if let Some(at) = table.at("tls-listeners")
            && self.config.http.tls_listeners
            && !self.host.is_for_trying
            && self.takes(takes_tls) == Some(false)
        {
            let key = table.name("tls-listeners");
            let sentence = format!("{key} means nothing: no `[[listener]]` takes TLS");
            let help = "write transport = \"auto\" or \"tls\" at one, such as that on port 443";
            self.say(Remark::fault(at, sentence).help(help));
        }
        self.config.http.proxies = self.believed(&table, "forwarded-from");
        let origins = table.texts("origins").into_iter();
        self.config.http.origins = origins.map(|text| text.get_ref().to_string()).collect();
        self.tokens(&table);
        self.demo(file, &table);
    }

    fn http_listen(&mut self, table: &Table<'_>) {
        let key = table.name("listen");
        let mut known: Vec<(SocketAddr, Range<usize>)> = Vec::new();
        for text in table.texts("listen") {
            let Some((listen, at)) = socket(text) else {
                continue;
            };
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            let mut listeners = self.config.listeners.iter();
            let takes_tcp = |transports: Transports| transports.are_streams();
            if listeners.any(|other| takes_tcp(other.transports) && other.covers(listen)) {
                let sentence = format!("{key} is a `[[listener]]` of the relay");
                let help = "give it a port of its own, such as \"0.0.0.0:8080\"; or, where that listener \
                            takes TLS, write tls-listeners = true in place of it";
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            if let Some((_, first)) = known.iter().find(|(other, _)| meet(*other, listen)) {
                self.say(twice(&key, at, first.clone()));
                continue;
            }
            if listen.port() != 0 && open_no_page(listen.port()) {
                let port = listen.port();
                let sentence = format!("{key} has port {port}, at which browsers open nothing");
                let help = "it is another protocol's: take one such as 8080";
                self.say(Remark::caution(at.clone(), sentence).help(help));
            }
            known.push((listen, at));
        }
        self.config.http.listen = known.into_iter().map(|(listen, _)| listen).collect();
    }

    /// `[[http.token]]`: who may make credentials.
    fn tokens(&mut self, table: &Table<'_>) {
        let mut tokens: Vec<(HttpToken, Range<usize>)> = Vec::new();
        for table in table.tables("token") {
            let Some(id) = table.text("id").filter(|id| !self.is_told(&id.span())) else {
                continue;
            };
            let Some(token) = self.token(&table, &id) else {
                continue;
            };
            let same_id = tokens.iter().find(|(other, _)| other.id == token.id);
            if let Some((_, first)) = same_id {
                self.say(twice(&table.name("id"), id.span(), first.clone()));
                continue;
            }
            if let Some((other, _)) = tokens.iter().find(|(it, _)| it.secret == token.secret) {
                let sentence = format!("`{}` and `{}` have the same secret", other.id, token.id);
                let help = "give each its own: which one a request means is told by it";
                self.say(Remark::fault(table.at.clone(), sentence).help(help));
                continue;
            }
            tokens.push((token, id.span()));
        }
        if let Some((_, at)) = tokens.first()
            && !self.config.http.is_served()
            && table.at("listen").is_none()
        {
            let sentence = "there is a `[[http.token]]`, and no address for it".to_owned();
            let help = "write listen = [\"0.0.0.0:8080\", \"[::]:8080\"] under [http], or tls-listeners = true";
            self.say(Remark::caution(at.clone(), sentence).help(help));
        }
        if let Some((_, at)) = tokens.get(MOST_TOKENS) {
            let sentence = format!("there are more than {MOST_TOKENS} `[[http.token]]`");
            let help = "give those who are trusted alike the same one";
            self.say(Remark::fault(at.clone(), sentence).help(help));
        }
        self.config.http.tokens = tokens.into_iter().map(|(token, _)| token).collect();
    }

    fn token(&mut self, table: &Table<'_>, id: &Text<'_>) -> Option<HttpToken> {
        // It stands in a path. RFC 3986 §2.3.
        let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "-._~".contains(letter);
        if !id.get_ref().chars().all(is_bare) {
            let sentence = format!(
                "{} has more than letters, digits and - . _ ~",
                table.name("id")
            );
            let help = "it stands in the path of requests, such as id = \"web\"";
            self.say(Remark::fault(id.span(), sentence).help(help));
            return None;
        }
        let secret = self.bearer(table)?;
        let realm = self.token_realm(table)?;
        let lifetime = table.text("max-lifetime").map(Spanned::into_inner);
        let lifetime = lifetime.and_then(|text| humantime::parse_duration(text).ok());
        let users = table.text("users");
        if let Some(users) = &users
            && users.get_ref().matches('*').count() > 1
        {
            let sentence = format!("{} has more than one *", table.name("users"));
            self.say(Remark::fault(users.span(), sentence).help("such as users = \"shop-*\""));
            return None;
        }
        Some(HttpToken {
            id: id.get_ref().to_string(),
            secret,
            realm,
            max_lifetime: lifetime.unwrap_or(DAY),
            per_minute: NonZeroU32::new(table.number("per-minute").unwrap_or(PER_MINUTE)),
            users: users.map_or("*", Spanned::into_inner).to_owned(),
        })
    }

    fn bearer(&mut self, table: &Table<'_>) -> Option<Secret> {
        let given = self.bearer_token(table, ["secret", "secret-file"]).ok()?;
        let Some(Given { key, secret, at }) = given else {
            let sentence = "this `[[http.token]]` has no `secret`";
            let fault = Remark::fault(table.at.clone(), sentence);
            self.say(fault.help("add a line such as `secret-file = \"web.token\"`"));
            return None;
        };
        self.know(&key, &secret, &at);
        let auth = &self.config.auth;
        let realms = auth.realms.iter().flat_map(|realm| &realm.secrets);
        if auth
            .secrets
            .iter()
            .chain(realms)
            .any(|other| *other == secret)
        {
            let sentence = format!("{key} is a secret of [auth] as well");
            let help = "make another with `openssl rand -base64 32`: who has a token shall not have the \
                        secret by which the server checks credentials";
            self.say(Remark::fault(at, sentence).help(help));
            return None;
        }
        Some(secret)
    }

    /// The realm of a token's credentials, which has to have a secret.
    fn token_realm(&mut self, table: &Table<'_>) -> Option<String> {
        let written = table.text("realm");
        let at = written.as_ref().map_or(table.at.clone(), Spanned::span);
        let own = self.config.realm.clone();
        let name = written.map_or(own.clone(), |realm| realm.get_ref().to_string());
        let auth = &self.config.auth;
        let secrets = if name == own {
            Some(&auth.secrets)
        } else {
            let mut realms = auth.realms.iter();
            let realm = realms.find(|realm| realm.name == name);
            realm.map(|realm| &realm.secrets)
        };
        match secrets {
            Some(secrets) if !secrets.is_empty() => Some(name),
            Some(_) => {
                let sentence =
                    "there is no secret to make the credentials of this `[[http.token]]` with";
                let help = if name == own {
                    "write `secrets` or `secret-files` under [auth]"
                } else {
                    "write `secrets` or `secret-files` into the `[[auth.realm]]`"
                };
                self.say(Remark::fault(at, sentence).help(help));
                None
            }
            None => {
                let key = table.name("realm");
                let fault = Remark::fault(at, format!("{key} is no realm of this file"));
                self.say(fault.help("name the default one, or that of an `[[auth.realm]]`"));
                None
            }
        }
    }

    fn demo(&mut self, file: &Table<'_>, http: &Table<'_>) {
        let demo = file.table("demo");
        let Some(at) = demo.at("enabled").filter(|_| self.config.demo) else {
            return;
        };
        let key = demo.name("enabled");
        if !self.config.http.is_served() && self.is_good(http, &["listen", "tls-listeners"]) {
            let sentence = format!("{key} serves pages nowhere");
            let help = "write listen = [\"0.0.0.0:8080\", \"[::]:8080\"] under [http]";
            self.say(Remark::fault(at, sentence).help(help));
            return;
        }
        if self.config.auth.secrets.is_empty() {
            let sentence = format!("{key}: the pages get no credential, since there is no secret");
            let help = "write `secrets` or `secret-files` under [auth]";
            self.say(Remark::caution(at, sentence).help(help));
        } else {
            let sentence = format!("{key}: everybody who opens the pages may use this relay");
            let help = "that is for trying only: take it out where strangers come, or let only those \
                        reach [http] whom you know";
            self.say(Remark::caution(at, sentence).help(help));
        }
    }
}

/// A request without an id has its secret compared with each.
const MOST_TOKENS: usize = 1000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PER_MINUTE: u32 = 6000;
