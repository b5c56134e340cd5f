//! The certificates that clients are shown, and the log's word on when they end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use net::{Certificates, TlsOptions};
use probe::UriHost;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::tickets::Tickets;
use crate::certificate::{Certificate, Validity};
use crate::config::{Config, Filed, Listener};
use crate::log::TlsReporter;

/// The certificates that clients are shown.
pub(super) struct Shown {
    /// As the shards have them.
    certificates: Certificates,
    /// The same, with their times.
    all: Mutex<Vec<Certificate>>,
    sources: Mutex<Sources>,
    /// One that was made because there is no other.
    made: Option<Certificate>,
    /// Tells that others are shown.
    replaced: Notify,
}

/// Where certificates are from.
#[derive(Default)]
struct Sources {
    files: Vec<Certificate>,
    /// By an authority that was asked.
    issued: Option<Certificate>,
}

impl Shown {
    /// Those of a configuration, or else the one that was made.
    pub(super) fn new(files: &[Filed], made: Option<Certificate>) -> Self {
        let shown = Self {
            certificates: Certificates::new(Vec::new()),
            all: Mutex::default(),
            sources: Mutex::default(),
            made,
            replaced: Notify::new(),
        };
        shown.follow(files);
        shown
    }

    /// Shows those of these files from now on. Sessions go on.
    pub(super) fn follow(&self, files: &[Filed]) {
        let filed = files.iter().map(|filed| &filed.certificate);
        let files = filed.cloned().collect();
        self.change(|sources| sources.files = files);
    }

    /// Shows one that an authority issued from now on, behind those of files; or none.
    pub(super) fn issue(&self, issued: Option<Certificate>) {
        self.change(|sources| sources.issued = issued);
    }

    /// The certificates by which this host proves its names to an authority. RFC 8737.
    pub(super) fn challenges(&self) -> Certificates {
        self.certificates.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let mut all = sources.files.clone();
        all.extend(sources.issued.clone());
        if all.is_empty() {
            all.extend(self.made.clone());
        }
        // With --dev a reload may take away what a listener needs: it keeps what it has.
        if all.is_empty() {
            return;
        }
        self.certificates
            .replace(all.iter().map(Certificate::shown).collect());
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = all;
        self.replaced.notify_one();
    }

    /// As whoever serves TLS has them: these follow every change.
    pub(super) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// The options that the shards are started with. Listeners for TLS may come later.
    pub(super) fn options(&self, config: &Config, tickets: Arc<Tickets>) -> TlsOptions {
        let reporter = TlsReporter::new(config, self.certificates.clone());
        TlsOptions {
            certificates: self.certificates.clone(),
            minimum: config.tls.minimum,
            dtls: config.dtls,
            tickets,
            tell: Arc::new(move |event| reporter.report(event)),
        }
    }

    /// Whether there is none, not even one that was made.
    pub(super) fn is_empty(&self) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.is_empty()
    }

    /// Whether one of them is for a host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let host = UriHost::Name(host.to_owned());
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|one| one.is_for(&host))
    }

    /// All of them, each with the time that it has, which metrics show.
    pub(super) fn validities(&self, now: SystemTime) -> Vec<(Certificate, Validity)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let timed = all.iter().map(|one| (one.clone(), one.validity(now)));
        timed.collect()
    }
}

/// Whether any listener takes TLS.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.listeners.iter().any(Listener::is_secure)
}

/// The keys of tickets, in the state directory if any listener takes TLS.
pub(super) fn tickets(config: &Config, directory: Option<PathBuf>) -> Arc<Tickets> {
    Arc::new(Tickets::begin(directory.filter(|_| is_wanted(config))))
}

/// Logs which certificates are shown, and each day which of them end soon or have ended.
pub(super) async fn watch(shown: Arc<Shown>) {
    let mut said: Vec<Said> = Vec::new();
    loop {
        let now = SystemTime::now();
        let all = shown.validities(now);
        said.retain(|said| all.iter().any(|(one, _)| *one == said.certificate));
        let mut wait = LOOK;
        for (certificate, validity) in all {
            let stage = Stage::of(validity);
            wait = wait.min(stage.left(validity));
            let before = said.iter().position(|said| said.certificate == certificate);
            let before = before.map(|at| said.swap_remove(at));
            let is_due = before.as_ref().is_none_or(|before| before.is_over(stage));
            let at = match before {
                Some(before) if !is_due => before.at,
                Some(_) | None => {
                    say(&certificate, validity, stage, before.is_none());
                    Instant::now()
                }
            };
            said.push(Said {
                certificate,
                stage,
                at,
            });
        }
        // Whichever of both it was, all is looked at again.
        let _ = timeout(wait, shown.replaced.notified()).await;
    }
}

/// The last words about a certificate, and when they were logged.
struct Said {
    certificate: Certificate,
    stage: Stage,
    at: Instant,
}

impl Said {
    /// Whether it is time for another line.
    fn is_over(&self, stage: Stage) -> bool {
        stage != self.stage || stage != Stage::Good && self.at.elapsed() >= DAY
    }
}

/// How a certificate stands with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Early,
    Good,
    EndsSoon,
    Expired,
}

impl Stage {
    fn of(validity: Validity) -> Self {
        match validity {
            Validity::Early(_) => Self::Early,
            Validity::Good(left) if left > SOON => Self::Good,
            Validity::Good(_) => Self::EndsSoon,
            Validity::Expired(_) => Self::Expired,
        }
    }

    /// How long until the next one.
    fn left(self, validity: Validity) -> Duration {
        match validity {
            Validity::Good(left) if self == Self::Good => left - SOON,
            Validity::Early(left) | Validity::Good(left) => left,
            Validity::Expired(_) => Duration::MAX,
        }
    }
}

fn say(certificate: &Certificate, validity: Validity, stage: Stage, is_new: bool) {
    let expires = humantime::format_rfc3339_seconds(certificate.last_second());
    let names = certificate.listed_names();
    if is_new {
        info!(%certificate, names, %expires, "certificate.shown");
    }
    let (Validity::Early(span) | Validity::Good(span) | Validity::Expired(span)) = validity;
    let days = span.as_secs() / DAY.as_secs();
    match stage {
        Stage::Good => {}
        Stage::Early => warn!(
            %certificate,
            days,
            "certificate.early: clients refuse it, for its time has not begun by this host's clock"
        ),
        Stage::EndsSoon => warn!(
            %certificate,
            %expires,
            days,
            "certificate.ends-soon: renew it; new files are taken without a restart"
        ),
        Stage::Expired => error!(
            %certificate,
            %expires,
            days,
            "certificate.expired: clients refuse it; renew it, new files are taken without a restart"
        ),
    }
}

/// The days before its end from which on a certificate is warned of: programs that renew
/// certificates do so earlier.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time between two looks, since the clock may be set.
const LOOK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_from_two_weeks_before_its_end() {
        let second = Duration::from_secs(1);
        for (validity, stage, left) in [
            (Validity::Good(SOON + second), Stage::Good, second),
            (Validity::Good(SOON), Stage::EndsSoon, SOON),
            (Validity::Good(second), Stage::EndsSoon, second),
            (Validity::Expired(second), Stage::Expired, Duration::MAX),
            (Validity::Early(second), Stage::Early, second),
        ] {
            assert_eq!(Stage::of(validity), stage);
            assert_eq!(stage.left(validity), left);
        }
    }
}
