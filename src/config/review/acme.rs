//! `[tls.acme]`: the certificate that comes by itself.

use std::net::SocketAddr;
use std::ops::Range;

use acme::{ExternalAccount, Name, PRODUCTION, STAGING, Wanted};
use relay::Transport;
use relay::policy::block;
use toml::Spanned;

use super::Review;
use super::net::twice;
use crate::config::form::directory;
use crate::config::remark::Remark;
use crate::config::table::Table;
use crate::config::{Listener, TokenSecret};

impl Review<'_> {
    /// The listeners were reviewed before.
    pub(super) fn acme(&mut self, file: &Table<'_>) {
        let table = file.table("tls").table("acme");
        if table.entries.is_none() || !self.is_good(&table, KEYS) {
            return;
        }
        let written = table.text("directory").map(Spanned::into_inner);
        let directory = written
            .map_or(Some(PRODUCTION), directory)
            .unwrap_or(PRODUCTION);
        let names = self.acme_names(&table, directory);
        let roots = self.roots(&table);
        let external_account = self.external_account(&table);
        let http_01 = self.http_01(&table);
        if names.is_empty() {
            return;
        }
        self.caution_unreached(&table, http_01.is_some());
        let contact = table.texts("contact").into_iter();
        self.config.tls.acme = Some(Wanted {
            names,
            directory: directory.to_owned(),
            roots,
            contact: contact.map(|url| url.into_inner().to_owned()).collect(),
            profile: table
                .text("profile")
                .map(|name| name.into_inner().to_owned()),
            external_account,
            http_01,
        });
    }

    fn acme_names(&mut self, table: &Table<'_>, directory: &str) -> Vec<Name> {
        let key = table.name("names");
        let mut names: Vec<(Name, Range<usize>)> = Vec::new();
        for written in table.texts("names") {
            let at = written.span();
            let Ok(name) = written.get_ref().parse::<Name>() else {
                continue;
            };
            if let Some((_, first)) = names.iter().find(|(other, _)| *other == name) {
                self.say(twice(&key, at, first.clone()));
                continue;
            }
            let is_private = matches!(name, Name::Address(ip) if block(ip).is_some());
            if is_private && [PRODUCTION, STAGING].contains(&directory) {
                let sentence = format!("{key} has {name}, which is no public address");
                let help = "Let's Encrypt gives certificates to public addresses only: write the \
                            one that clients come to";
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            names.push((name, at));
        }
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// The roots in the file of `ca-file`.
    pub(super) fn roots(
        &mut self,
        table: &Table<'_>,
    ) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        let key = table.name("ca-file");
        let Some(written) = table.text("ca-file") else {
            return Vec::new();
        };
        let Some(path) = self.credential_path(&key, &written) else {
            return Vec::new();
        };
        self.watch(&path);
        let read = (self.host.read_secret)(&path);
        let read = read.map_err(|why| format!("which cannot be read: {why}"));
        let roots = read.and_then(|pem| https::roots_in(&pem).map_err(str::to_owned));
        roots.unwrap_or_else(|why| {
            let sentence = format!("{key} names {}, {why}", path.display());
            let help = "name the file with the root of the authority, as PEM";
            self.say(Remark::fault(written.span(), sentence).help(help));
            Vec::new()
        })
    }

    fn external_account(&mut self, table: &Table<'_>) -> Option<ExternalAccount> {
        let (id, file) = (table.text("account-id"), table.text("account-key-file"));
        let (id, file) = match (id, file) {
            (Some(id), Some(file)) => (id, file),
            (None, None) => return None,
            (Some(one), None) | (None, Some(one)) => {
                let sentence = format!(
                    "{} and `account-key-file` belong together, and one of them is missing",
                    table.name("account-id")
                );
                let help = "the authority gives both with the account";
                self.say(Remark::fault(one.span(), sentence).help(help));
                return None;
            }
        };
        let key = table.name("account-key-file");
        let secret = self.secret_file(&key, &file)?;
        match TokenSecret::bytes(secret.expose()) {
            Some(bytes) if !bytes.is_empty() => Some(ExternalAccount {
                id: id.into_inner().to_owned(),
                key: bytes,
            }),
            Some(_) | None => {
                let fault =
                    Remark::fault(file.span(), format!("{key} names a file without base64"));
                self.say(fault.help("write the key (HMAC key, MAC key) as the authority gives it"));
                None
            }
        }
    }

    fn http_01(&mut self, table: &Table<'_>) -> Option<SocketAddr> {
        let written = table.text("http-01")?;
        let address: SocketAddr = written.get_ref().parse().ok()?;
        let mut listeners = self.config.listeners.iter();
        let is_taken = listeners.any(|listener| {
            let mut each = listener.transports.each();
            each.any(Transport::is_stream) && listener.covers(address)
        });
        if is_taken {
            let sentence = format!("{} is where a `[[listener]]` is", table.name("http-01"));
            let help = "give one of them another port; authorities come to port 80 of the world";
            self.say(Remark::fault(written.span(), sentence).help(help));
            return None;
        }
        Some(address)
    }

    /// TLS-ALPN-01 comes to port 443 and to no other. RFC 8737 §3.
    fn caution_unreached(&mut self, table: &Table<'_>, has_http: bool) {
        let listeners = self.config.listeners.iter();
        let takes_tls = |listener: &&Listener| {
            let mut each = listener.transports.each();
            each.any(|one| one == Transport::Tls)
        };
        let mut heard = listeners.clone().filter(takes_tls);
        if !listeners.clone().any(Listener::is_secure) {
            let sentence = "no listener takes TLS, so that this certificate is shown to nobody";
            let help = "write transport = \"tls\" or \"auto\" in a `[[listener]]`";
            self.say(Remark::caution(table.at.clone(), sentence).help(help));
        } else if !has_http && !heard.any(|listener| listener.listen.port() == HTTPS) {
            let sentence = "the authority comes to port 443, and no listener takes TLS there";
            let help = "write a `[[listener]]` with transport = \"tls\" or \"auto\" on port 443, have \
                        that port led to one, or give `http-01` a port 80";
            self.say(Remark::caution(table.at.clone(), sentence).help(help));
        }
    }
}

const KEYS: &[&str] = &[
    "names",
    "contact",
    "directory",
    "ca-file",
    "profile",
    "account-id",
    "account-key-file",
    "http-01",
];

const HTTPS: u16 = 443;
