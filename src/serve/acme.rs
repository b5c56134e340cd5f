//! The certificate that comes by itself (`[tls.acme]`): where it goes, and what the log says of it.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ::acme::{Duties, Event, Failure, Name, Wanted};
use humantime::{format_duration, format_rfc3339_seconds};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::certificates::Shown;
use super::control::Control;
use crate::certificate::Certificate;

/// The certificate that is wanted, and how often an authority was asked for one.
pub(super) struct Orders {
    wanted: watch::Sender<Option<Wanted>>,
    /// Account and certificates. `None` if there is no place for them.
    directory: Option<PathBuf>,
    counts: Arc<Counts>,
}

/// The outcomes of orders since the start, which metrics show.
#[derive(Debug, Default)]
struct Counts {
    issued: AtomicU64,
    failed: AtomicU64,
}

impl Orders {
    /// `state` is the state directory.
    pub(super) fn new(wanted: Option<Wanted>, state: Option<PathBuf>) -> Self {
        Self {
            wanted: watch::Sender::new(wanted),
            directory: state.map(|state| state.join("acme")),
            counts: Arc::default(),
        }
    }

    /// Shows the certificate of the last run, if one is wanted, and says that another is awaited if
    /// that one does not do.
    pub(super) fn begin(&self, shown: &Shown) {
        let is_wanted = self.wanted.borrow().is_some();
        let directory = self.directory.as_ref().filter(|_| is_wanted);
        if let Some(held) = directory.and_then(|directory| ::acme::held(directory)) {
            serve(shown, Some(&held));
        }
        self.say_what_is_awaited(shown);
    }

    /// Wants this certificate from now on, and at once.
    pub(super) fn want(&self, wanted: Option<Wanted>, shown: &Shown) {
        self.wanted.send_replace(wanted);
        self.say_what_is_awaited(shown);
    }

    /// Says that a certificate is ordered, if the one of an earlier order was ordered otherwise.
    fn say_what_is_awaited(&self, shown: &Shown) {
        let wanted = self.wanted.borrow();
        let Some((wanted, directory)) = wanted.as_ref().zip(self.directory.as_ref()) else {
            return;
        };
        if ::acme::is_held(wanted, directory) {
            return;
        }
        let (names, directory) = (listed(&wanted.names), wanted.directory.as_str());
        if shown.is_empty() {
            info!(
                names,
                directory,
                "certificate.awaited: clients over TLS are refused until the one that is ordered now has come"
            );
        } else {
            info!(
                names,
                directory,
                "certificate.awaited: clients over TLS are shown another one until the one that is ordered now has come"
            );
        }
    }

    /// How many were issued, and how many failed.
    pub(super) fn counts(&self) -> [u64; 2] {
        [&self.counts.issued, &self.counts.failed].map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn say_what_was_done(&self) {
        let [issued, failed] = self.counts();
        if issued + failed > 0 {
            info!(issued, failed, "server.certificates");
        }
    }
}

/// Keeps the certificate that is wanted. Never returns.
pub(super) async fn keep(control: Arc<Control>) {
    let orders = &control.orders;
    let mut wanted = orders.wanted.subscribe();
    let Some(directory) = orders.directory.clone() else {
        loop {
            if wanted.borrow_and_update().is_some() {
                error!(
                    "certificate.failed: there is no place for an account and certificates; name one \
                     with --state-dir ([tls.acme])"
                );
            }
            if wanted.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    };
    let challenges = control.shown.challenges();
    let shown = Arc::clone(&control.shown);
    let counts = Arc::clone(&orders.counts);
    let asked = orders.wanted.subscribe();
    let duties = Duties {
        show: Arc::new(move |proofs| challenges.set_challenges(proofs)),
        serve: Arc::new(move |issued| serve(&shown, issued.as_ref())),
        tell: Arc::new(move |event| tell(event, asked.borrow().as_ref(), &counts)),
    };
    ::acme::keep(wanted, directory, duties).await;
}

/// Shows a certificate in place of the one before. One that clients would not take changes nothing.
fn serve(shown: &Shown, issued: Option<&::acme::Certificate>) {
    let Some(issued) = issued else {
        return shown.issue(None);
    };
    match Certificate::read(issued.chain.as_bytes(), issued.key.as_bytes()) {
        Ok(certificate) => shown.issue(Some(certificate)),
        Err(flaw) => {
            let flaw = flaw.to_string();
            error!(
                flaw,
                "certificate.unfit: the authority sent one that clients would refuse, so the one \
                 before stays ([tls.acme])"
            );
        }
    }
}

/// Logs what became of an order for the certificate that is wanted.
fn tell(event: Event, wanted: Option<&Wanted>, counts: &Counts) {
    match event {
        // A line says of each certificate that it is shown.
        Event::Found { .. } => {}
        Event::Issued {
            names,
            expires,
            renewal,
        } => {
            counts.issued.fetch_add(1, Ordering::Relaxed);
            info!(
                names = listed(&names),
                expires = %format_rfc3339_seconds(expires),
                renewal = %format_rfc3339_seconds(renewal),
                "certificate.issued"
            );
        }
        Event::Failed {
            failure,
            again,
            expires,
        } => {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            say_failure(&failure, wanted, again, expires);
        }
        Event::NotKept(why) => error!(
            why,
            "certificate.not-kept: the state directory cannot be used, so that the next start has to \
             order again ([tls.acme], option --state-dir)"
        ),
    }
}

fn say_failure(
    failure: &Failure,
    wanted: Option<&Wanted>,
    again: Duration,
    expires: Option<SystemTime>,
) {
    let reason = failure.reason.as_str();
    let directory = wanted.map(|wanted| wanted.directory.as_str());
    let names = wanted.map(|wanted| listed(&wanted.names));
    let again = format_duration(Duration::from_secs(again.as_secs())).to_string();
    let hint = hint(reason);
    let is_good = expires.is_some_and(|expires| expires > SystemTime::now());
    match expires {
        Some(expires) if is_good => warn!(
            reason,
            directory,
            names,
            again,
            expires = %format_rfc3339_seconds(expires),
            "certificate.failed: none came, and the one that there is stays ([tls.acme]){hint}"
        ),
        Some(_) | None => error!(
            reason,
            directory,
            names,
            again,
            "certificate.failed: none came, and there is no good one ([tls.acme]){hint}"
        ),
    }
}

/// The key that a failure comes from, where it can be told.
fn hint(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") {
        "; nobody that browsers trust has signed the directory's own certificate: name its root by `ca-file`"
    } else {
        ""
    }
}

fn listed(names: &[Name]) -> String {
    let names: Vec<String> = names.iter().map(Name::to_string).collect();
    names.join(", ")
}
