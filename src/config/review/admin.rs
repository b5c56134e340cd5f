//! `[admin]`: how the operator reaches the server.

use std::net::SocketAddr;

use super::Review;
use super::net::{meet, socket};
use crate::config::AdminSocket;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn admin(&mut self, table: &Table<'_>) {
        self.admin_socket(table);
        let key = table.name("listen");
        let is_good = self.is_good(table, &["listen", "token", "token-file"]);
        let token = self.bearer_token(table, ["token", "token-file"]);
        let is_right = is_good && token.is_ok();
        let token = token.ok().flatten();
        for text in table.texts("listen") {
            let Some((listen, at)) = socket(text) else {
                continue;
            };
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            let flaw = if self.is_listened_on(listen) {
                let sentence =
                    format!("{key} is a listener of the relay, of [http] or of [metrics]");
                Some((
                    sentence,
                    "give it a port of its own, such as \"127.0.0.1:9640\"",
                ))
            } else if is_right && token.is_none() {
                let sentence =
                    format!("{key} lets everybody who reaches {listen} steer the server");
                Some((
                    sentence,
                    "write token-file = \"admin.token\", with what `openssl rand -base64 32` makes; or leave \
                     `listen` out, for the socket needs none",
                ))
            } else if is_right && !listen.ip().is_loopback() && !self.has_certificates() {
                let sentence = format!("{key} needs TLS at {listen}, and there is no certificate");
                Some((
                    sentence,
                    "write `certificates` or `acme` under [tls], or listen on 127.0.0.1",
                ))
            } else {
                None
            };
            if let Some((sentence, help)) = flaw {
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            self.config.admin.listen.push(listen);
        }
        if let Some(token) = token {
            if table.texts("listen").is_empty() {
                let sentence = format!("{} means nothing without `listen`", token.key);
                let help =
                    "write listen = \"127.0.0.1:9640\", or take it out: the socket needs no token";
                self.say(Remark::caution(token.at, sentence).help(help));
            }
            self.config.admin.token = Some(token.secret);
        }
    }

    fn admin_socket(&mut self, table: &Table<'_>) {
        let Some(written) = table.text("socket") else {
            return;
        };
        self.config.admin.socket = match *written.get_ref() {
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

    /// Whether there are certificates for HTTPS, or there will be.
    pub(super) fn has_certificates(&self) -> bool {
        let tls = &self.config.tls;
        !tls.certificates.is_empty() || tls.acme.is_some()
    }

    /// Whether another listener for streams has this address and port.
    pub(super) fn is_listened_on(&self, listen: SocketAddr) -> bool {
        let config = &self.config;
        let mut relays = config.listeners.iter();
        let mut others = config.http.listen.iter().chain(&config.admin.listen);
        relays.any(|other| other.transports.are_streams() && other.covers(listen))
            || others.any(|other| meet(*other, listen))
    }
}
