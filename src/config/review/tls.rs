//! `[tls]` and `[[tls.certificates]]`: what clients over TLS are shown.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Review;
use super::net::twice;
use crate::certificate::{Certificate, Flaw, Name, Validity};
use crate::config::access::this_user;
use crate::config::remark::Remark;
use crate::config::table::Table;
use crate::config::{Filed, Listener};

/// Why two files hold no good certificate.
struct Trouble {
    /// The key whose file it is.
    key: &'static str,
    /// The sentence that follows the name of the file.
    sentence: String,
    help: String,
    /// Whether there is no such file, as while others take its place.
    is_missing: bool,
}

impl Review<'_> {
    /// The listeners and relay addresses were reviewed before.
    pub(super) fn tls(&mut self, file: &Table<'_>) {
        let table = file.table("tls");
        let entries = table.tables("certificates");
        let left_out = self.left_out(&entries);
        for entry in &entries {
            if let Some(filed) = self.certificate(entry, &left_out) {
                self.caution_foreign(file, entry, &filed.certificate);
                self.caution_hidden(entry, &filed);
                self.config.tls.certificates.push(filed);
            }
        }
        let is_secure = self.config.listeners.iter().any(Listener::is_secure);
        let comes_by_itself = table.table("acme").entries.is_some();
        if is_secure && entries.is_empty() && !comes_by_itself && !self.host.is_for_trying {
            self.say_that_there_is_none(file);
        }
        // Each of these has them, too.
        let mut others = ["http", "admin", "metrics"].into_iter();
        let is_shown =
            is_secure || others.any(|other| !file.table(other).texts("listen").is_empty());
        if let Some(first) = entries.first().filter(|_| !is_shown) {
            let sentence = "no listener takes TLS, so that this certificate is shown to nobody";
            let help = "write transport = \"tls\" or \"auto\" in a `[[listener]]`";
            self.say(Remark::caution(first.at.clone(), sentence).help(help));
        }
    }

    fn say_that_there_is_none(&mut self, file: &Table<'_>) {
        for listener in file.tables("listener") {
            let Some(word) = listener.text("transport") else {
                continue;
            };
            if matches!(*word.get_ref(), "tls" | "dtls" | "auto") {
                let sentence = format!(
                    "{} is \"{}\", and there is no certificate for it",
                    listener.name("transport"),
                    word.get_ref()
                );
                self.say(Remark::fault(word.span(), sentence).help(
                    "add [[tls.certificates]] with `cert` and `key`, or [tls.acme] with `names`, and one \
                     comes by itself; for trying, `hairpin serve --dev` makes one",
                ));
                return;
            }
        }
    }

    /// The good certificates in effect whose files no entry names any more.
    fn left_out(&self, entries: &[Table<'_>]) -> Vec<Filed> {
        let path = |entry: &Table<'_>, key| entry.text(key).and_then(|text| self.path(&text));
        let named = entries.iter();
        let named: Vec<_> = named
            .map(|entry| (path(entry, "cert"), path(entry, "key")))
            .collect();
        let now = SystemTime::now();
        let is_left_out = |filed: &&Filed| {
            let files = (Some(filed.chain.clone()), Some(filed.key.clone()));
            is_good(&filed.certificate, now) && !named.contains(&files)
        };
        let in_effect = self.host.certificates.iter();
        in_effect.filter(is_left_out).cloned().collect()
    }

    /// The certificate in effect that one in other files takes the place of: one with a name in
    /// common, or else any.
    fn replaced<'f>(&self, left_out: &'f [Filed], new: &Certificate) -> Option<&'f Filed> {
        let own = &self.config.tls.certificates;
        let free = left_out.iter().filter(|filed| !own.contains(filed));
        let shares = |filed: &&Filed| {
            let mut names = filed.certificate.names().iter();
            names.any(|name| new.names().contains(name))
        };
        free.clone().find(shares).or_else(|| free.clone().next())
    }

    /// The certificate of an entry; where its files hold none, the one that is in effect stays.
    fn certificate(&mut self, entry: &Table<'_>, left_out: &[Filed]) -> Option<Filed> {
        let chain = self.tls_file(entry, "cert")?;
        let key = self.tls_file(entry, "key")?;
        let mut others = self.config.tls.certificates.iter();
        if others.any(|other| other.chain == chain && other.key == key) {
            let first = entry.at.clone();
            self.say(twice(&entry.name("cert"), entry.at("cert")?, first));
            return None;
        }
        let mut in_effect = self.host.certificates.iter();
        let same = in_effect.find(|other| other.chain == chain && other.key == key);
        let now = SystemTime::now();
        let read = self.read_certificate(&chain, &key);
        let before = same.or_else(|| self.replaced(left_out, read.as_ref().ok()?));
        let outcome = read.and_then(|new| {
            let was_good = before.is_some_and(|before| is_good(&before.certificate, now));
            match time_flaw(&new, now) {
                Some((sentence, help)) if was_good => Err(Trouble {
                    key: "cert",
                    sentence: format!("whose {sentence}"),
                    help: help.to_owned(),
                    is_missing: false,
                }),
                _ => Ok(new),
            }
        });
        match (outcome, before) {
            (Ok(certificate), _) => {
                self.caution(entry, &certificate, now);
                self.caution_access(entry, &chain, &key);
                Some(Filed {
                    chain,
                    key,
                    certificate,
                })
            }
            (Err(trouble), Some(before)) => {
                let remark = trouble.remark(entry, [&chain, &key]);
                self.stale.push(Remark {
                    is_fault: !trouble.is_missing,
                    sentence: format!(
                        "{}; the certificate from before stays ({})",
                        remark.sentence, before.certificate
                    ),
                    ..remark
                });
                Some(before.clone())
            }
            (Err(trouble), None) => {
                self.say(trouble.remark(entry, [&chain, &key]));
                None
            }
        }
    }

    /// A file of an entry, which is looked at from now on.
    fn tls_file(&mut self, entry: &Table<'_>, key: &str) -> Option<PathBuf> {
        let written = entry.text(key)?;
        let path = self.credential_path(&entry.name(key), &written)?;
        self.watch(&path);
        Some(path)
    }

    fn read_certificate(&self, chain: &Path, key: &Path) -> Result<Certificate, Trouble> {
        let read = |place: &Path, key| {
            (self.host.read_secret)(place).map_err(|why| Trouble::unreadable(key, &why))
        };
        let chain = read(chain, "cert")?;
        let key = read(key, "key")?;
        Certificate::read(&chain, &key).map_err(|flaw| Trouble::from(&flaw))
    }

    /// The flaws of a certificate that is served all the same.
    fn caution(&mut self, entry: &Table<'_>, certificate: &Certificate, now: SystemTime) {
        let key = entry.name("cert");
        let Some(at) = entry.at("cert") else {
            return;
        };
        if let Some((sentence, help)) = time_flaw(certificate, now) {
            let sentence = format!("{key} names a file whose {sentence}");
            self.say(Remark::caution(at, sentence).help(help));
        } else if certificate.is_self_signed() {
            let sentence = format!("{key} names a certificate that nobody but itself has signed");
            self.say(
                Remark::caution(at, sentence).help(
                    "clients refuse it unless they were told to trust it: it is good for tests",
                ),
            );
        }
    }

    fn caution_access(&mut self, entry: &Table<'_>, chain: &Path, key: &Path) {
        for (name, path) in [("cert", chain), ("key", key)] {
            let Some(at) = entry.at(name) else {
                continue;
            };
            let (access, shown) = ((self.host.access)(path), path.display());
            let word = entry.name(name);
            if name == "key" && access.is_public {
                let sentence =
                    format!("{word} names {shown}, which every user of this host may read");
                let help = format!("chmod 640 {shown}");
                self.say(Remark::caution(at.clone(), sentence).help(help));
            }
            let shut = access.shut_out(path, &format!("{shown}, which {word} names"));
            self.remarks.extend(shut.map(|remark| remark.at(at)));
        }
    }

    /// One that another with the same names and the same kind of key stands before.
    fn caution_hidden(&mut self, entry: &Table<'_>, new: &Filed) {
        let mut others = self.config.tls.certificates.iter();
        let is_hidden = others.any(|other| {
            let is_for = |name| other.certificate.names().contains(name);
            other.certificate.algorithm() == new.certificate.algorithm()
                && new.certificate.names().iter().all(is_for)
        });
        if let Some(at) = entry.at("cert").filter(|_| is_hidden) {
            let sentence = format!(
                "{} names a certificate that is shown to nobody: one before it has its names and its \
                 kind of key",
                entry.name("cert")
            );
            self.say(Remark::caution(at, sentence).help("remove one of them"));
        }
    }

    /// One for names that have nothing to do with this server. A realm that is written is most often
    /// its name.
    fn caution_foreign(&mut self, file: &Table<'_>, entry: &Table<'_>, certificate: &Certificate) {
        let own = [&self.host.name].into_iter().chain(&self.realms);
        let own: Vec<&String> = own.filter(|name| name.contains('.')).collect();
        let is_ours = |name: &Name| match name {
            Name::Host(name) => own.iter().any(|own| are_related(own, name)),
            Name::Address(ip) => {
                let relays = &self.config.relay;
                let mut external = relays.addresses.iter().map(|relay| relay.external);
                relays.tellers.is_some() || self.host.has(*ip) || external.any(|own| own == *ip)
            }
        };
        let is_told = file.text("realm").is_some() && !own.is_empty();
        if !is_told || certificate.names().iter().any(is_ours) {
            return;
        }
        if let Some(at) = entry.at("cert") {
            let sentence = format!(
                "{} names a certificate for {}, and neither a realm nor an address of this server has \
                 such a name",
                entry.name("cert"),
                certificate.listed_names()
            );
            let help = "clients that come by another name than one of these refuse it";
            self.say(Remark::caution(at, sentence).help(help));
        }
    }
}

impl Trouble {
    fn unreadable(key: &'static str, why: &io::Error) -> Self {
        let help = if why.kind() == io::ErrorKind::PermissionDenied {
            format!(
                "let `{}`, as whom this runs, read it: chgrp its group and chmod 640 the file, and let \
                 it pass the directories above. Those of certbot (/etc/letsencrypt/live and archive) \
                 are for root alone: copy the files by a deploy hook, or hand them to the service with \
                 LoadCredential= (then restart it after a renewal)",
                this_user()
            )
        } else {
            "a relative path starts at the directory of the configuration file".to_owned()
        };
        Self {
            key,
            sentence: format!("which cannot be read: {why}"),
            help,
            is_missing: why.kind() == io::ErrorKind::NotFound,
        }
    }

    fn remark(&self, entry: &Table<'_>, [chain, key]: [&Path; 2]) -> Remark {
        let path = if self.key == "key" { key } else { chain };
        let name = entry.name(self.key);
        let sentence = format!("{name} names {}, {}", path.display(), self.sentence);
        let at = entry.at(self.key).unwrap_or_else(|| entry.at.clone());
        Remark::fault(at, sentence).help(&*self.help)
    }
}

impl From<&Flaw> for Trouble {
    fn from(flaw: &Flaw) -> Self {
        Self {
            key: if flaw.is_of_key() { "key" } else { "cert" },
            sentence: flaw.to_string(),
            help: flaw.help().to_owned(),
            is_missing: false,
        }
    }
}

fn is_good(certificate: &Certificate, now: SystemTime) -> bool {
    matches!(certificate.validity(now), Validity::Good(_))
}

/// The objection of clients to the time of a certificate, and the remedy. The server starts with
/// such a certificate all the same: to serve nobody would help no one.
fn time_flaw(certificate: &Certificate, now: SystemTime) -> Option<(String, &'static str)> {
    match certificate.validity(now) {
        Validity::Good(_) => None,
        Validity::Expired(_) => {
            let sentence = format!(
                "certificate expired on {}, and clients refuse it",
                shown_time(certificate.last_second())
            );
            Some((
                sentence,
                "renew it; the server takes the new files by itself",
            ))
        }
        Validity::Early(_) => {
            let sentence = format!(
                "certificate is not good before {}, and clients refuse it until then",
                shown_time(certificate.begins())
            );
            Some((sentence, "see whether the clock of this host is right"))
        }
    }
}

fn shown_time(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}

/// Whether two names have their last two labels in common.
fn are_related(one: &str, other: &str) -> bool {
    let end = |name: &str| {
        let labels: Vec<String> = name
            .trim_end_matches('.')
            .rsplit('.')
            .take(2)
            .map(str::to_ascii_lowercase)
            .collect();
        labels
    };
    end(one) == end(other)
}
