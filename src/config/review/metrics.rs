//! `[metrics]`: where metrics are scraped.

use std::net::SocketAddr;

use httpd::Authorities;

use super::Review;
use super::credentials::{Told, filled};
use super::net::socket;
use crate::certificate;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn metrics(&mut self, table: &Table<'_>) {
        let key = table.name("listen");
        let is_good = self.is_good(table, &["listen", "token", "token-file", "client-ca"]);
        let token = self.bearer_token(table, ["token", "token-file"]);
        let client_ca = self.client_ca(table);
        let is_right = is_good && token.is_ok() && client_ca.is_ok();
        self.config.metrics.token = token.ok().flatten().map(|given| given.secret);
        self.config.metrics.client_ca = client_ca.ok().flatten();
        for text in table.texts("listen") {
            let Some((listen, at)) = socket(text) else {
                continue;
            };
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            match self.flaw_of_scrapes(&key, listen, is_right) {
                Some((sentence, help)) => self.say(Remark::fault(at, sentence).help(help)),
                None => self.config.metrics.listen.push(listen),
            }
        }
    }

    /// Why nobody may scrape at an address, and what to do. `is_right` says that the other keys have no faults.
    fn flaw_of_scrapes(
        &self,
        key: &str,
        listen: SocketAddr,
        is_right: bool,
    ) -> Option<(String, &'static str)> {
        let metrics = &self.config.metrics;
        let wants_certificate = metrics.client_ca.is_some();
        let is_here = listen.ip().is_loopback();
        if self.is_listened_on(listen) {
            let sentence = format!("{key} is a listener of the relay, of [http] or of [admin]");
            let help = "give it a port of its own, such as \"127.0.0.1:9641\"";
            Some((sentence, help))
        } else if is_right && metrics.token.is_none() && !wants_certificate && !is_here {
            let sentence = format!("{key} tells everybody who reaches {listen} of the server");
            let help = "write token-file = \"…\", which Prometheus shows as `authorization`, or client-ca = \
                        \"…\", whose certificates it shows by `tls_config`, or listen on 127.0.0.1";
            Some((sentence, help))
        } else if is_right && (wants_certificate || !is_here) && !self.has_certificates() {
            let sentence = format!("{key} needs TLS at {listen}, and there is no certificate");
            let help = if wants_certificate {
                "write `certificates` or `acme` under [tls]: clients show their certificates over HTTPS only"
            } else {
                "write `certificates` or `acme` under [tls], or listen on 127.0.0.1"
            };
            Some((sentence, help))
        } else {
            None
        }
    }

    /// The authorities of clients, in a file of their own.
    ///
    /// # Errors
    /// If a fault was told.
    fn client_ca(&mut self, table: &Table<'_>) -> Result<Option<Authorities>, Told> {
        let Some(written) = filled(table, "client-ca") else {
            return Ok(None);
        };
        let (key, at) = (table.name("client-ca"), written.span());
        let path = self.credential_path(&key, &written).ok_or(Told)?;
        self.watch(&path);
        let shown = path.display();
        let read = (self.host.read_secret)(&path);
        let authorities = read.map_err(|why| format!("which cannot be read: {why}"));
        let authorities = authorities.and_then(|text| certificate::authorities(&text));
        match authorities {
            Ok(authorities) => {
                let access = (self.host.access)(&path);
                let shut = access.shut_out(&path, &format!("{shown}, which {key} names"));
                self.remarks.extend(shut.map(|remark| remark.at(at)));
                Ok(Some(authorities))
            }
            Err(why) => {
                self.say(Remark::fault(at, format!("{key} names {shown}, {why}")).help(CLIENT_CA));
                Err(Told)
            }
        }
    }
}

const CLIENT_CA: &str = "a relative path starts at the directory of the configuration file; the file has the certificate \
                         of the authority that signs those of scrapers, as PEM: a text with -----BEGIN \
                         CERTIFICATE----- in it";
