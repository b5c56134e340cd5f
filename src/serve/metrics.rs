//! `[metrics]`: what is scraped, gathered from all over the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use admin::metrics::{Certificate, ControlCounters, Process, Sample, router};
use httpd::{Fault, Options, Running};
use tracing::info;

use super::control::Control;
use super::http::{oldest_tls, signaling};
use crate::config::Config;

/// Starts what metrics are scraped from, if there is anything.
pub(super) fn begin(control: &Arc<Control>, config: &Config) -> Result<Option<Running>, Fault> {
    let metrics = &config.metrics;
    if metrics.listen.is_empty() {
        return Ok(None);
    }
    let sampled = Arc::clone(control);
    let token = metrics.token.as_ref();
    let token = token.map(|token| token.expose().as_bytes().into());
    let routes = router(Arc::new(move || sample(&sampled)), token);
    let certificates = Arc::new(control.shown.certificates());
    let listen = metrics.listen.clone();
    let options = Options::new("metrics", listen, certificates, oldest_tls(config));
    let running = httpd::start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP and HTTPS", %listen, path = "/metrics", "listening");
    }
    Ok(Some(running))
}

/// How often the configuration was read again.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    done: AtomicU64,
    failed: AtomicU64,
    /// Seconds since the Unix epoch.
    last: AtomicU64,
}

impl Reloads {
    /// A configuration takes effect: the first one at the start.
    pub(super) fn now(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last
            .store(now.unwrap_or_default().as_secs(), Ordering::Relaxed);
    }

    pub(super) fn count(&self, is_done: bool) {
        let counter = if is_done { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        if is_done {
            self.now();
        }
    }
}

/// The server at this moment.
pub(super) fn sample(control: &Control) -> Sample {
    let (relay, net) = control.running.snapshot();
    let [certificates_issued, certificates_failed] = control.orders.counts();
    let validities = control.shown.validities(SystemTime::now());
    let certificates = validities.into_iter().map(|(certificate, _)| {
        let names = certificate.names();
        let name = names.first().map(ToString::to_string).unwrap_or_default();
        Certificate {
            name,
            key: certificate.algorithm().name(),
            ends: certificate.last_second(),
        }
    });
    let reloads = &control.reloads;
    Sample {
        relay,
        net,
        load: control.running.load(),
        certificates: certificates.collect(),
        control: ControlCounters {
            reloads: reloads.done.load(Ordering::Relaxed),
            reloads_failed: reloads.failed.load(Ordering::Relaxed),
            reloaded: Duration::from_secs(reloads.last.load(Ordering::Relaxed)),
            certificates_issued,
            certificates_failed,
            log_lines_lost: control.log.lost_lines() as u64,
        },
        signaling: signaling::counted(control.browsers.signaling.as_ref()),
        http: control.browsers.outcomes(),
        process: Process::now(),
    }
}
