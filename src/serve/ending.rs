//! The end of the server: at once, or when its last allocation ends.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::Running;
use relay::DropReason;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{Interval, interval};
use tracing::info;

use super::control::Control;
use super::systemd;

/// The signals that end the server.
pub(super) struct Ending {
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    /// SIGUSR1.
    pub(super) drain: Signal,
}

/// Waits until the server is to end.
pub(super) async fn wait(
    control: Arc<Control>,
    mut signals: Ending,
    mut wishes: mpsc::Receiver<bool>,
) {
    let running = &control.running;
    let mut draining: Option<Draining> = None;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.drain.recv() => {
                // A second signal means that the operator does not want to wait.
                if draining.is_some() {
                    return;
                }
                draining = Some(Draining::begin(running));
            }
            Some(is_to_drain) = wishes.recv() => match (is_to_drain, &draining) {
                (true, None) => draining = Some(Draining::begin(running)),
                (false, Some(_)) => {
                    draining = None;
                    running.undrain();
                    systemd::serving();
                    info!("draining no more: allocations are granted again");
                }
                (true, Some(_)) | (false, None) => {}
            },
            () = next_look(&mut draining) => {
                if draining.as_mut().is_some_and(|draining| draining.is_over(running)) {
                    return;
                }
            }
        }
    }
}

/// A server that grants nothing new and waits for its last allocation to end.
struct Draining {
    looks: Interval,
    said: Instant,
}

impl Draining {
    fn begin(running: &Running) -> Self {
        running.drain();
        systemd::draining();
        info!(
            allocations = running.allocations(),
            "draining: nothing new is granted; SIGTERM, or SIGUSR1 again, ends it at once"
        );
        Self {
            looks: interval(LOOK),
            said: Instant::now(),
        }
    }

    /// Whether the last allocation has ended.
    fn is_over(&mut self, running: &Running) -> bool {
        if running.is_drained() {
            info!("drained");
            return true;
        }
        if self.said.elapsed() >= SAY {
            self.said = Instant::now();
            info!(allocations = running.allocations(), "draining");
        }
        false
    }
}

/// Waits until the next look at a server that drains; for ever at one that does not.
async fn next_look(draining: &mut Option<Draining>) {
    match draining {
        Some(draining) => {
            draining.looks.tick().await;
        }
        None => pending().await,
    }
}

/// Stops the shards.
pub(super) fn say_what_was_done(running: &Running) {
    let (relay, net) = running.stop();
    for why in DropReason::ALL {
        let packets = relay.dropped(*why);
        if packets > 0 {
            info!(cause = why.name(), packets, "dropped");
        }
    }
    for (what, count) in net.named() {
        if count > 0 {
            info!(what, count, "sockets");
        }
    }
    if relay.connected + relay.accepted > 0 {
        info!(
            connected = relay.connected,
            accepted = relay.accepted,
            bound = relay.bound,
            unbound = relay.unbound,
            "connections with peers"
        );
    }
    info!(
        allocations = relay.opened(),
        bindings = relay.bindings,
        challenges = relay.challenges(),
        refused = relay.refused(),
        failed = relay.failed,
        redirected = relay.redirected(),
        sent_bytes = relay.sent.bytes,
        received_bytes = relay.received.bytes,
        icmp = relay.icmp,
        "stopped"
    );
}

/// How often a server that drains is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How often it logs what it waits for.
const SAY: Duration = Duration::from_secs(60);
