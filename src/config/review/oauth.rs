//! `[oauth]` and `[[oauth.key]]`: whose access tokens are good.

use std::ops::Range;
use std::time::Duration;

use relay::keys::Encryption;
use toml::Spanned;

use super::Review;
use super::net::twice;
use crate::config::form::time;
use crate::config::remark::Remark;
use crate::config::table::Table;
use crate::config::{OauthKey, Secret, TokenSecret};

impl Review<'_> {
    /// The server is known to authorization servers by its realm, unless another name is given.
    pub(super) fn oauth(&mut self, table: &Table<'_>) {
        let keys = table.tables("key");
        let server_name = table.text("server-name");
        if let Some(name) = server_name.as_ref().filter(|_| keys.is_empty()) {
            let sentence = format!(
                "{} does nothing without an `[[oauth.key]]`",
                table.name("server-name")
            );
            self.say(Remark::caution(name.span(), sentence).help("add one, or remove the name"));
        }
        let realm = self.config.realm.clone();
        self.config.oauth.server_name =
            server_name.map_or(realm, |name| name.get_ref().to_string());
        let mut ids = Vec::new();
        for table in keys {
            let key = self.oauth_key(&table, &mut ids);
            self.config.oauth.keys.extend(key);
        }
    }

    fn oauth_key(
        &mut self,
        table: &Table<'_>,
        ids: &mut Vec<(String, Range<usize>)>,
    ) -> Option<OauthKey> {
        let written = table.text("id").filter(|id| !self.is_told(&id.span()))?;
        let id = written.get_ref().to_string();
        if let Some((_, first)) = ids.iter().find(|(other, _)| *other == id) {
            self.say(twice(&table.name("id"), written.span(), first.clone()));
            return None;
        }
        ids.push((id.clone(), written.span()));
        let encryption = match table.text("algorithm").map(Spanned::into_inner) {
            Some("A128GCM") => Encryption::A128Gcm,
            _ => Encryption::A256Gcm,
        };
        let secret = self.token_secret(table, encryption);
        let point = |key| table.text(key).and_then(|text| time(text.get_ref()));
        let valid = point("not-before").unwrap_or(Duration::ZERO)
            ..point("expires").unwrap_or(Duration::MAX);
        if let Some(at) = table.at("expires").filter(|_| valid.is_empty()) {
            let key = table.name("expires");
            let sentence = format!("{key} is not after `not-before`, so the key is never good");
            self.say(Remark::fault(at, sentence));
        }
        Some(OauthKey {
            id,
            secret: secret?,
            valid,
        })
    }

    /// The key, here or in a file of its own.
    fn token_secret(&mut self, table: &Table<'_>, encryption: Encryption) -> Option<TokenSecret> {
        let (key, text, at) = match (table.text("key"), table.text("key-file")) {
            (Some(key), None) => (table.name("key"), Secret::new(*key.get_ref()), key.span()),
            (None, Some(file)) => {
                let key = table.name("key-file");
                let secret = self.secret_file(&key, &file)?;
                (key, secret, file.span())
            }
            (Some(_), Some(file)) => {
                let sentence = format!(
                    "{} stands beside `key`, which says it already",
                    table.name("key-file")
                );
                self.say(Remark::fault(file.span(), sentence).help("remove one of them"));
                return None;
            }
            (None, None) => {
                let fault = Remark::fault(table.at.clone(), "this `[[oauth.key]]` has no `key`");
                self.say(fault.help("add a line such as `key-file = \"north.key\"`"));
                return None;
            }
        };
        let Some(bytes) = TokenSecret::bytes(text.expose()) else {
            let fault = Remark::fault(at, format!("{key} is not base64"));
            self.say(fault.help("make one with `openssl rand -base64 32`"));
            return None;
        };
        if TokenSecret::is_sample(&bytes) {
            let fault = Remark::caution(
                at.clone(),
                format!("{key} is a sample that everybody knows"),
            );
            self.say(
                fault
                    .help("use it for tests only: with it anybody can make tokens for this server"),
            );
        }
        self.know(&key, &text, &at);
        let (length, right) = (bytes.len(), encryption.key_length());
        let secret = TokenSecret::new(encryption, bytes);
        if secret.is_none() {
            // The names of RFC 7518 §5.1.
            let algorithm = match encryption {
                Encryption::A256Gcm => "A256GCM",
                Encryption::A128Gcm => "A128GCM",
            };
            let sentence = format!("{key} has {length} bytes, but {algorithm} has keys of {right}");
            self.say(Remark::fault(at, sentence).help(format!(
                "make one with `openssl rand -base64 {right}`; of a longer one coturn uses the first \
                 {right} bytes, so give these: `… | base64 -d | head -c {right} | base64`"
            )));
        }
        secret
    }
}
