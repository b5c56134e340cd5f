//! `[metrics]`: what is scraped, gathered from all over the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use admin::metrics::{Certificate, ControlCounters, Process, Sample, router};
use axum::middleware::from_fn_with_state;
use httpd::{Fault, Options, Running};
use tracing::info;

use super::access::{Access, let_in};
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
    let mut routes = router(Arc::new(move || sample(&sampled)));
    if let Some(access) = Access::of_scrapes(config) {
        routes = routes.layer(from_fn_with_state(Arc::new(access), let_in));
    }
    let certificates = Arc::new(control.shown.certificates());
    let listen = metrics.listen.clone();
    let mut options = Options::new("metrics", listen, certificates, oldest_tls(config));
    options.authorities = metrics.client_ca.clone();
    let running = httpd::start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP and HTTPS", %listen, path = "/metrics", "server.listening");
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
        bounds: control.running.bounds(),
        certificates: certificates.collect(),
        control: ControlCounters {
            reloads: reloads.done.load(Ordering::Relaxed),
            reloads_failed: reloads.failed.load(Ordering::Relaxed),
            reloaded: Duration::from_secs(reloads.last.load(Ordering::Relaxed)),
            certificates_issued,
            certificates_failed,
            log_lines_lost: control.log.lost_lines() as u64,
        },
        quality: control.qualities.sample(),
        signaling: signaling::counted(control.browsers.signaling.as_ref()),
        http: control.browsers.outcomes(),
        usage: control.usage.sample(),
        process: Process::now(),
    }
}
