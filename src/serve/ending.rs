//! The end of the server: at once, or when its last allocation ends.

use std::future::pending;
use std::time::{Duration, Instant};

use net::Running;
use relay::DropReason;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, interval};
use tracing::{error, info};

use super::held_back::HeldBack;
use super::{Fault, systemd};

/// The signals that end the server.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGUSR1. SIGHUP is not used, as it asks servers to read their configuration again.
    drain: Signal,
}

impl Signals {
    /// From now on these signals no longer kill the process.
    pub(super) fn new() -> Result<Self, Fault> {
        let signal = |kind| signal(kind).map_err(Fault::Control);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            drain: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Waits until the server is to end, and ends it.
pub(super) async fn wait(mut running: Running, mut signals: Signals) {
    let mut watchdog = systemd::ready();
    let mut draining: Option<Draining> = None;
    let mut held_back = HeldBack::new();
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.drain.recv() => {
                // A second signal means that the operator does not want to wait.
                if draining.is_some() {
                    break;
                }
                draining = Some(Draining::begin(&running));
            }
            () = next_look(&mut draining) => {
                if draining.as_mut().is_some_and(|draining| draining.is_over(&running)) {
                    break;
                }
            }
            () = held_back.due() => held_back.look(&running),
            () = watchdog.due() => {
                if running.is_turning() {
                    watchdog.notify();
                } else {
                    error!("a shard stands still; systemd will restart the service");
                }
            }
            failed = running.failed() => error!(
                shard = failed.shard,
                error = %failed.source,
                "shard.failed: it begins anew, and its clients must allocate again"
            ),
        }
    }
    systemd::stopping();
    say_what_was_done(running);
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

fn say_what_was_done(running: Running) {
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
    info!(
        allocations = relay.opened,
        bindings = relay.bindings,
        challenges = relay.challenges,
        refused = relay.refused,
        redirected = relay.redirected,
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
