//! Listeners that come and go at a reload.

use std::net::SocketAddr;

use net::{ListenerOptions, Prepared, Relistened, Running, Transports};
use tracing::info;

use super::addresses::say_awaited;
use super::certificates::Shown;
use crate::config::{Config, Listener, Machine};

/// The listeners of a configuration.
pub(super) fn options(config: &Config) -> Vec<ListenerOptions> {
    let options =
        |&Listener { transports, listen }: &Listener| ListenerOptions { transports, listen };
    config.listeners.iter().map(options).collect()
}

/// The addresses of UDP listeners that were taken away, and serve what there is to its end.
pub(super) fn retiring(running: &Running) -> Vec<SocketAddr> {
    let retiring = running.retiring();
    retiring.into_iter().map(|(_, listen)| listen).collect()
}

/// Binds the listeners that a new configuration has beyond those in effect, and puts back into it
/// those that only a restart takes away.
///
/// # Errors
/// A sentence that names the key, if one cannot be had. Nothing has changed then.
pub(super) fn prepare(
    running: &Running,
    shown: &Shown,
    new: &mut Config,
) -> Result<Prepared, String> {
    let is_certified =
        !shown.is_empty() || !new.tls.certificates.is_empty() || new.tls.acme.is_some();
    let mut secure = new.listeners.iter().filter(|listener| listener.is_secure());
    if let (false, Some(Listener { listen, .. })) = (is_certified, secure.next()) {
        let fault = net::Fault::NoCertificate { listen: *listen };
        return Err(fault.to_string());
    }
    let prepared = running
        .prepare(&options(new))
        .map_err(|fault| fault.to_string())?;
    let passed = prepared.passed().iter();
    new.listeners.extend(
        passed.map(|&ListenerOptions { transports, listen }| Listener { transports, listen }),
    );
    Ok(prepared)
}

/// The key whose new value waits where sockets that systemd passed are not wanted any more.
pub(super) const PASSED: &str = "[[listener]] (a socket that was passed to the server)";

/// Logs a listener that clients are served at.
pub(super) fn say(transports: Transports, listen: SocketAddr) {
    info!(
        transport = transports.name(),
        protocol = transports.protocol(),
        %listen,
        "server.listening"
    );
}

/// Logs what became of the listeners.
pub(super) fn say_what_changed(changes: &Relistened, host: &Machine) {
    for &(transports, listen) in &changes.opened {
        let ip = listen.ip().to_canonical();
        if host.has(ip) {
            say(transports, listen);
        } else {
            say_awaited(ip);
        }
    }
    for (transports, listen) in &changes.retired {
        info!(
            transport = transports.name(),
            protocol = transports.protocol(),
            %listen,
            "listener.retired: it grants nothing new, and the allocations on it go on to their end"
        );
    }
}

/// Logs listeners whose last allocation has ended.
pub(super) fn say_what_closed(closed: &[(Transports, SocketAddr)]) {
    for (transports, listen) in closed {
        info!(
            transport = transports.name(),
            protocol = transports.protocol(),
            %listen,
            "listener.closed: its last allocation has ended"
        );
    }
}
