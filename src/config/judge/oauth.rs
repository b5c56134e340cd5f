//! `[oauth]` and `[[oauth.key]]`: whose access tokens are good.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use relay::keys::Encryption;
use toml::Spanned;

use super::Judge;
use super::reuse::Known;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, KeyName, OauthFault};
use crate::config::file::{Algorithm, OauthKeyTable, OauthTable, Text};
use crate::config::{Oauth, OauthKey, Secret, TokenSecret};

impl Judge<'_> {
    /// The server is known to authorization servers by its realm, unless another name is given.
    pub(super) fn oauth(&mut self, table: OauthTable, realm: Option<&str>) -> Option<Oauth> {
        let server_name = match &table.server_name {
            Some(written) => self.server_name(written, table.key.is_empty()),
            None => realm.map(str::to_owned),
        };
        let mut ids = Vec::new();
        let mut keys = Some(Vec::new());
        for table in table.key {
            let key = self.oauth_key(table, &mut ids);
            keys = keys.zip(key).map(|(mut keys, key)| {
                keys.push(key);
                keys
            });
        }
        Some(Oauth {
            server_name: server_name?,
            keys: keys?,
        })
    }

    fn server_name(&mut self, written: &Text, is_idle: bool) -> Option<String> {
        let name = written.get_ref();
        let reason = if name.is_empty() {
            "is empty"
        } else if name.len() > 255 {
            "has more than 255 bytes"
        } else if name.chars().any(char::is_control) {
            "holds a control character"
        } else {
            if is_idle {
                self.say(Caution::IdleServerName, written.span());
            }
            return Some(name.clone());
        };
        let key = SERVER_NAME.into();
        self.refuse(OauthFault::Name { key, reason }, written.span())
    }

    fn oauth_key(
        &mut self,
        table: Spanned<OauthKeyTable>,
        ids: &mut Vec<(String, Range<usize>)>,
    ) -> Option<OauthKey> {
        let at = table.span();
        let table = table.into_inner();
        let id = self.key_id(table.id.as_ref(), at.clone(), ids)?;
        let encryption = match table.algorithm {
            Some(Algorithm::A128Gcm) => Encryption::A128Gcm,
            Some(Algorithm::A256Gcm) | None => Encryption::A256Gcm,
        };
        let secret = self.token_secret(&id, at, &table, encryption);
        let not_before = self.time(NOT_BEFORE, &id, table.not_before.as_ref());
        let expires = self.time(EXPIRES, &id, table.expires.as_ref());
        let (secret, (not_before, expires)) = secret.zip(not_before.zip(expires))?;
        let valid = not_before.unwrap_or(Duration::ZERO)..expires.unwrap_or(Duration::MAX);
        if let Some(written) = table.expires.filter(|_| valid.is_empty()) {
            let key = KeyName::of(EXPIRES, &id);
            return self.refuse(OauthFault::ExpiresFirst { key }, written.span());
        }
        Some(OauthKey { id, secret, valid })
    }

    /// What clients write into USERNAME. RFC 8489 §14.3: fewer than 509 bytes.
    fn key_id(
        &mut self,
        written: Option<&Text>,
        at: Range<usize>,
        ids: &mut Vec<(String, Range<usize>)>,
    ) -> Option<String> {
        let Some(written) = written else {
            let fault = Fault::Missing {
                table: "[[oauth.key]]",
                key: "id",
                example: "id = \"north\"",
            };
            return self.refuse(fault, at);
        };
        let id = written.get_ref();
        let reason = if id.is_empty() {
            "is empty"
        } else if id.len() > 508 {
            "has more than 508 bytes"
        } else if id.chars().any(char::is_control) {
            "holds a control character"
        } else if let Some((_, first)) = ids.iter().find(|(other, _)| other == id) {
            let see = Some((first.clone(), "first here"));
            let key = KeyName::of(ID, id);
            return self.refuse_beside(Fault::Duplicate { key }, written.span(), see);
        } else {
            ids.push((id.clone(), written.span()));
            return Some(id.clone());
        };
        let key = ID.into();
        self.refuse(OauthFault::Name { key, reason }, written.span())
    }

    /// The key, here or in a file of its own.
    fn token_secret(
        &mut self,
        id: &str,
        at: Range<usize>,
        table: &OauthKeyTable,
        encryption: Encryption,
    ) -> Option<TokenSecret> {
        let (name, text, at) = match (&table.key, &table.key_file) {
            (Some(key), None) => (KEY, Secret::new(key.get_ref()), key.span()),
            (None, Some(file)) => {
                let key = KeyName::of(KEY_FILE, id);
                (KEY_FILE, self.secret_file(&key, file)?, file.span())
            }
            (Some(_), Some(file)) => {
                let key = KeyName::of(KEY_FILE, id);
                return self.refuse(OauthFault::TwoKeys { key }, file.span());
            }
            (None, None) => {
                let fault = Fault::Missing {
                    table: "[[oauth.key]]",
                    key: "key",
                    example: "key-file = \"north.key\"",
                };
                return self.refuse(fault, at);
            }
        };
        let key = KeyName::of(name, id);
        let Some(bytes) = TokenSecret::bytes(text.expose()) else {
            return self.refuse(OauthFault::Base64 { key }, at);
        };
        if TokenSecret::is_sample(&bytes) {
            let key = key.clone();
            self.say(Caution::SampleKey { key }, at.clone());
        }
        self.secrets.push(Known::new(&key, &text, &at));
        let length = bytes.len();
        match TokenSecret::new(encryption, bytes) {
            Some(secret) => Some(secret),
            None => {
                let fault = OauthFault::KeyLength {
                    key,
                    length,
                    encryption,
                };
                self.refuse(fault, at)
            }
        }
    }

    /// Since the Unix epoch.
    fn time(
        &mut self,
        key: &'static str,
        id: &str,
        written: Option<&Text>,
    ) -> Option<Option<Duration>> {
        let Some(written) = written else {
            return Some(None);
        };
        let time = humantime::parse_rfc3339_weak(written.get_ref()).ok();
        match time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
            Some(time) => Some(Some(time)),
            None => {
                let key = KeyName::of(key, id);
                self.refuse(OauthFault::Time { key }, written.span())
            }
        }
    }
}

const SERVER_NAME: &str = "[oauth] server-name";
const ID: &str = "[[oauth.key]] id";
const KEY: &str = "[[oauth.key]] key";
const KEY_FILE: &str = "[[oauth.key]] key-file";
const NOT_BEFORE: &str = "[[oauth.key]] not-before";
const EXPIRES: &str = "[[oauth.key]] expires";
