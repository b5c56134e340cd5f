//! Certificates and versions of TLS.

use std::path::{Path, PathBuf};

use super::super::draft::Value;
use super::super::regular;
use super::{Translation, from};

/// The certificate that the file names.
pub(super) enum Certificate {
    /// coturn serves no TLS without both files.
    None,
    /// Both are there and can be read.
    Found { cert: PathBuf, key: PathBuf },
    /// One is not there, or not for this user, or has a password: why, for the certificate and for the key.
    Missing([Option<String>; 2]),
}

impl Certificate {
    pub(super) fn is_found(&self) -> bool {
        matches!(self, Self::Found { .. })
    }
}

impl Translation<'_> {
    pub(super) fn find_certificate(&mut self) {
        let texts = ["cert", "pkey"].map(|name| self.file.text_of(name));
        let [Some(cert), Some(key)] = texts else {
            return;
        };
        let key = self.find(key).and_then(|key| match has_password(&key) {
            true => Err(WITH_PASSWORD.to_owned()),
            false => Ok(key),
        });
        self.certificate = match (self.find(cert), key) {
            (Ok(cert), Ok(key)) => Certificate::Found { cert, key },
            (cert, key) => Certificate::Missing([cert.err(), key.err()]),
        };
    }

    pub(super) fn tls(&mut self) {
        self.versions();
        let lines: Vec<_> = ["cert", "pkey"]
            .iter()
            .filter_map(|name| self.file.last(&[name]))
            .collect();
        let are_off = self.file.is_on("no-tls") && self.file.is_on("no-dtls");
        match &self.certificate {
            Certificate::None => {
                for line in lines {
                    self.dropped(line, "coturn serves no TLS without both `cert` and `pkey`");
                }
            }
            Certificate::Found { .. } | Certificate::Missing(_) if are_off => {
                for line in lines {
                    self.dropped(
                        line,
                        "no-tls and no-dtls are set, so that nobody is shown a certificate",
                    );
                }
            }
            Certificate::Found { cert, key } => {
                let [cert, key] = [cert, key].map(|path| path.display().to_string());
                let table = self.draft.another("[[tls.certificates]]");
                table.set("cert", Value::Text(cert), from(lines));
                table.set("key", Value::Text(key), Vec::new());
                self.mapped_all(&["cert"], "[[tls.certificates]] cert");
                self.mapped_all(&["pkey"], "[[tls.certificates]] key");
            }
            Certificate::Missing(reasons) => {
                let reasons = reasons.clone();
                let mut comments = from(lines.iter().copied());
                let all: Vec<&str> = reasons.iter().flatten().map(String::as_str).collect();
                comments.push(format!(
                    "Not in effect: {}. Without a certificate nobody is served over TLS.",
                    all.join("; ")
                ));
                comments.push("[[tls.certificates]]".to_owned());
                for (key, line) in ["cert", "key"].iter().zip(&lines) {
                    let value = super::super::draft::quoted(&line.value);
                    comments.push(format!("{key} = {value}"));
                }
                let table = self.draft.table("[tls]");
                table.remark(comments);
                for (line, why) in lines.into_iter().zip(reasons) {
                    match why {
                        Some(why) => self.undecided(line, &why),
                        None => self.dropped(line, "the other file of the pair is of no use"),
                    }
                }
            }
        }
    }

    fn versions(&mut self) {
        let Some(line) = self.file.last(&["no-tlsv1_2"]) else {
            return;
        };
        if !self.certificate.is_found() || !matches!(line.flag(), Ok(true)) {
            return;
        }
        let version = Value::Text("1.3".to_owned());
        let table = self.draft.table("[tls]");
        table.set("minimum-version", version, from([line]));
        self.mapped(line, "[tls] minimum-version");
    }
}

/// Whether the file has a key that needs a password, by the words that PEM has for it.
fn has_password(key: &Path) -> bool {
    let text = regular::read(key, LONGEST_KEY).unwrap_or_default();
    String::from_utf8_lossy(&text).contains("ENCRYPTED")
}

const WITH_PASSWORD: &str =
    "the key has a password, which is not read here: write it without one, with `openssl pkey`";

/// No key is longer, in bytes.
const LONGEST_KEY: u64 = 1 << 20;
