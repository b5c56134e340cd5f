//! Messages to systemd. Without systemd they are not sent.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::warn;

/// Whether standard output goes to the journal, where no credential should be.
pub(super) fn owns_output() -> bool {
    // The variable names the stream as `device:inode`, and is inherited by shells that write
    // elsewhere. systemd.exec(5)
    let Ok(stdout) = std::fs::metadata("/proc/self/fd/1") else {
        return false;
    };
    let stream = format!("{}:{}", stdout.dev(), stdout.ino());
    std::env::var("JOURNAL_STREAM").is_ok_and(|journal| journal == stream)
}

/// Clients are served from now on. Returns the watchdog, which must be notified.
pub(super) fn ready() -> Watchdog {
    tell(&[NotifyState::Ready]);
    let period = sd_notify::watchdog_enabled();
    Watchdog(period.map(|period| {
        // Twice as often as required, as sd_watchdog_enabled(3) recommends.
        let period = (period / 2).max(Duration::from_millis(1));
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }))
}

/// No new client is served; those that are served may go on.
pub(super) fn draining() {
    tell(&[NotifyState::Status("draining: no new allocations")]);
}

/// New clients are served again.
pub(super) fn serving() {
    tell(&[NotifyState::Status("")]);
}

/// The configuration is read again, until [`reloaded`]. systemd 253 and later wants the time to
/// tell this notice from one of an earlier reload.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// It has been read, or refused.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The service was told to stop and waits for its last clients: it is not killed for the next ten
/// seconds. systemd.service(5), `TimeoutStopSec`
pub(super) fn extend_stop() {
    tell(&[NotifyState::ExtendTimeoutUsec(10_000_000)]);
}

/// No client is served any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Proves to systemd that the process is alive.
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Waits until the next notification is due; for ever if systemd wants none. The first is due
    /// after one period.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Notifies systemd.
    pub(super) fn notify(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd.untold: cannot tell systemd");
    }
}
