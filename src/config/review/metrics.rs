//! `[admin]` and `[metrics]`: how the operator reaches the server.

use net::Transports;

use super::Review;
use super::net::{meet, socket};
use crate::config::remark::Remark;
use crate::config::table::Table;
use crate::config::{AdminSocket, Secret};

impl Review<'_> {
    /// `[admin] socket`.
    pub(super) fn admin(&mut self, table: &Table<'_>) {
        let Some(written) = table.text("socket") else {
            return;
        };
        self.config.admin = match *written.get_ref() {
            "auto" => AdminSocket::Auto,
            "off" => AdminSocket::Off,
            path if path.starts_with('/') => AdminSocket::At(path.into()),
            _ => {
                let sentence = format!("{} is no absolute path", table.name("socket"));
                let help = "write \"auto\", \"off\" or a path such as \"/run/hairpin/admin.sock\"";
                return self.say(Remark::fault(written.span(), sentence).help(help));
            }
        };
    }

    pub(super) fn metrics(&mut self, table: &Table<'_>) {
        let key = table.name("listen");
        let is_good = self.is_good(table, &["listen", "token", "token-file"]);
        let token = self.scrape_token(table);
        for text in table.texts("listen") {
            let Some((listen, at)) = socket(text) else {
                continue;
            };
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            let is_stream = |transports: Transports| transports.are_streams();
            let mut listeners = self.config.listeners.iter();
            let is_relays =
                listeners.any(|other| is_stream(other.transports) && other.covers(listen));
            if is_relays
                || self
                    .config
                    .http
                    .listen
                    .iter()
                    .any(|other| meet(*other, listen))
            {
                let sentence = format!("{key} is a listener of the relay or of [http]");
                let help = "give it a port of its own, such as \"127.0.0.1:9641\"";
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            if is_good && token.is_none() && !listen.ip().is_loopback() {
                let sentence = format!("{key} tells everybody who reaches {listen} of the server");
                self.say(Remark::fault(at, sentence).help(
                    "write token-file = \"…\", which Prometheus shows as `authorization`, or listen on \
                     127.0.0.1",
                ));
                continue;
            }
            self.config.metrics.listen.push(listen);
        }
        self.config.metrics.token = token;
    }

    /// The token, which stands in the file or in one of its own.
    fn scrape_token(&mut self, table: &Table<'_>) -> Option<Secret> {
        let filled = |key| table.text(key).filter(|text| !text.get_ref().is_empty());
        let (key, written) = match (filled("token"), filled("token-file")) {
            (Some(_), Some(file)) => {
                let sentence = "`[metrics] token` and `token-file` exclude each other";
                self.say(Remark::fault(file.span(), sentence).help("keep the file"));
                return None;
            }
            (Some(inline), None) => ("token", inline),
            (None, file) => ("token-file", file?),
        };
        let (name, at) = (table.name(key), written.span());
        let token = match key {
            "token" => Secret::new(*written.get_ref()),
            _ => self.secret_file(&name, &written)?,
        };
        Some(token).filter(|token| self.is_strong(&name, token, &at))
    }
}
