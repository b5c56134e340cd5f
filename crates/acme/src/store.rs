//! The state directory: the account at each authority, and the certificate with its key. Files are
//! written whole under another name first, and only their owner may read them.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::AccountCredentials;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::wanted::Ordered;
use crate::{Certificate, Wanted};

/// The directory with the files.
#[derive(Clone, Debug)]
pub(crate) struct Store(PathBuf);

/// A certificate, and what was known of it when it was kept.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) certificate: Certificate,
    pub(crate) ordered: Ordered,
    pub(crate) renewal: Renewal,
}

/// The authority's suggestion for the renewal. RFC 9773 §4.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) window: Option<Range<SystemTime>>,
    /// When to ask again; at once if nobody was asked yet.
    pub(crate) look: Option<SystemTime>,
}

/// An account at an authority.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptAccount {
    pub(crate) credentials: AccountCredentials,
    pub(crate) contact: Vec<String>,
}

/// A file of the certificate. Times are seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct KeptCertificate {
    #[serde(flatten)]
    ordered: Ordered,
    certificate: String,
    key: String,
    window: Option<[u64; 2]>,
    look: Option<u64>,
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// The certificate, if there is one that can be read.
    ///
    /// # Errors
    /// If there is a file, and it cannot be used.
    pub(crate) fn certificate(&self) -> io::Result<Option<Held>> {
        let path = self.certificate_path();
        let Some(kept) = read::<KeptCertificate>(&path)? else {
            return Ok(None);
        };
        let certificate =
            Certificate::read(kept.certificate, kept.key).map_err(|unfit| bad(&path, unfit))?;
        Ok(Some(Held {
            certificate,
            ordered: kept.ordered,
            renewal: Renewal {
                window: kept
                    .window
                    .and_then(|[start, end]| Some(time(start)?..time(end)?)),
                look: kept.look.and_then(time),
            },
        }))
    }

    /// The same without keeping the control side waiting, as all that follows.
    ///
    /// # Errors
    /// As before.
    pub(crate) async fn find(&self) -> io::Result<Option<Held>> {
        self.apart(Self::certificate).await
    }

    pub(crate) async fn keep_certificate(&self, held: Held) -> io::Result<()> {
        let window = held.renewal.window;
        let kept = KeptCertificate {
            ordered: held.ordered,
            certificate: held.certificate.chain,
            key: held.certificate.key,
            window: window.map(|window| [seconds(window.start), seconds(window.end)]),
            look: held.renewal.look.map(seconds),
        };
        self.apart(move |store| store.write(&store.certificate_path(), &kept))
            .await
    }

    /// The account for a certificate, if there is one.
    ///
    /// # Errors
    /// If there is a file, and it cannot be used.
    pub(crate) async fn account(&self, wanted: &Wanted) -> io::Result<Option<KeptAccount>> {
        let path = self.account_path(wanted);
        self.apart(move |_| read(&path)).await
    }

    pub(crate) async fn keep_account(
        &self,
        wanted: &Wanted,
        account: KeptAccount,
    ) -> io::Result<()> {
        let path = self.account_path(wanted);
        self.apart(move |store| store.write(&path, &account)).await
    }

    /// On a thread that may wait for the file system.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let store = self.clone();
        spawn_blocking(move || work(&store)).await?
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        self.replace(path, value).map_err(|error| bad(path, error))
    }

    fn replace(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        let mut directory = fs::DirBuilder::new();
        directory.recursive(true).mode(0o700).create(&self.0)?;
        let mut file = NamedTempFile::new_in(&self.0)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The name is on the disk when the directory is.
        fs::File::open(&self.0)?.sync_all()
    }

    pub(crate) fn certificate_path(&self) -> PathBuf {
        self.0.join("certificate.json")
    }

    /// Each directory has an account of its own, and each account elsewhere that it belongs to.
    pub(crate) fn account_path(&self, wanted: &Wanted) -> PathBuf {
        let belongs = wanted.external_account.as_ref();
        let whose = format!(
            "{}\n{}",
            wanted.directory,
            belongs.map_or("", |account| account.id.as_str())
        );
        let digest = digest(&SHA256, whose.as_bytes());
        let tag: String = digest.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.0.join(format!("account-{tag}.json"))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(path, error)),
    };
    // The error of serde would show a part of the file, which holds a key.
    let value = serde_json::from_slice(&bytes);
    let value = value.map_err(|_| bad(path, "is not as this server writes it"))?;
    Ok(Some(value))
}

fn bad(path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// `None` beyond the year 9999, where no certificate ends and sums would overflow.
fn time(seconds: u64) -> Option<SystemTime> {
    let seconds = Some(seconds).filter(|seconds| *seconds < 253_402_300_800)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tests::{HOUR, held, wanted};

    #[tokio::test]
    async fn what_is_kept_is_read_again_and_only_its_owner_may() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(&home.path().join("deep/acme"));
        assert!(store.find().await.unwrap().is_none());
        let mut held = held(&["turn.example.org"], HOUR);
        let whole = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        held.renewal.window = Some(whole(1000)..whole(2000));
        held.renewal.look = Some(whole(500));
        store.keep_certificate(held.clone()).await.unwrap();
        let read = store.find().await.unwrap().unwrap();
        assert_eq!(read.certificate, held.certificate);
        assert_eq!(read.ordered, held.ordered);
        assert_eq!(read.renewal, held.renewal);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.certificate_path()), 0o600);
        assert_eq!(mode(&home.path().join("deep/acme")), 0o700);
        // No other name is left.
        assert_eq!(
            fs::read_dir(home.path().join("deep/acme")).unwrap().count(),
            1
        );
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_is_told_without_its_key() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let held = held(&["turn.example.org"], HOUR);
        store.keep_certificate(held.clone()).await.unwrap();
        let whole = fs::read(store.certificate_path()).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            fs::write(store.certificate_path(), &whole[..length]).unwrap();
            let told = store.certificate().unwrap_err().to_string();
            assert!(told.ends_with("is not as this server writes it"), "{told}");
        }
    }

    #[test]
    fn each_directory_and_each_account_elsewhere_has_an_account_of_its_own() {
        let store = Store::new(Path::new("/state"));
        let one = wanted(&["turn.example.org"]);
        let mut other = one.clone();
        other.directory.push_str("-2");
        let mut external = one.clone();
        external.external_account = Some(crate::ExternalAccount {
            id: "kid".to_owned(),
            key: vec![1],
        });
        let paths = [&one, &other, &external].map(|wanted| store.account_path(wanted));
        assert!(paths[0] != paths[1] && paths[0] != paths[2] && paths[1] != paths[2]);
        let mut names = one.clone();
        names.names.push("203.0.113.7".parse().unwrap());
        assert_eq!(store.account_path(&names), paths[0]);
    }
}
