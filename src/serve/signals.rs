//! Signals. SIGTERM and SIGINT end the server, SIGUSR1 drains it, SIGHUP has the configuration read
//! again; no other ends a call.
//!
//! Scripts written for other servers send signals to this one: coturn reopens its log at SIGHUP,
//! reads its certificates at SIGUSR2 and drains at SIGUSR1, and hooks of logrotate and certbot do so
//! daily. By default most signals end a process, so each is caught. Left alone are those that tell of
//! a fault in this process (SIGABRT among them, by which systemd's watchdog ends it), those that
//! cannot be caught, and those that do nothing by default or stop a job of a shell. SIGPIPE is ignored
//! by Rust.

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::Fault;

/// The signals of this process.
pub(super) struct Signals {
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    pub(super) drain: Signal,
    pub(super) reload: Signal,
    /// Those that do nothing.
    pub(super) idle: Vec<Idle>,
}

/// A signal that does nothing.
pub(super) struct Idle {
    signal: Signal,
    number: i32,
}

impl Signals {
    /// From now on these signals no longer kill the process.
    pub(super) fn new() -> Result<Self, Fault> {
        let caught = |kind| signal(kind).map_err(Fault::Control);
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            drain: caught(SignalKind::user_defined1())?,
            reload: caught(SignalKind::hangup())?,
            idle: idle_numbers().filter_map(Idle::caught).collect(),
        })
    }
}

impl Idle {
    /// `None` for a number that is no signal on this system.
    fn caught(number: i32) -> Option<Self> {
        let signal = signal(SignalKind::from_raw(number)).ok()?;
        Some(Self { signal, number })
    }

    /// Logs each of these signals.
    pub(super) async fn say(mut self) {
        while self.signal.recv().await.is_some() {
            // A line about a log file that may not grow would send the signal again.
            if self.number != Number::XFSZ.as_raw() {
                info!(
                    signal = self.number,
                    "server.signal: this signal does nothing: SIGHUP reads the configuration again, SIGUSR1 \
                     drains, SIGTERM ends the server"
                );
            }
        }
        std::future::pending().await
    }
}

fn idle_numbers() -> impl Iterator<Item = i32> {
    let named = [
        Number::USR2,
        Number::QUIT,
        Number::ALARM,
        Number::VTALARM,
        Number::PROF,
        Number::IO,
        Number::STKFLT,
        Number::POWER,
        Number::XCPU,
        Number::XFSZ,
    ];
    named.map(Number::as_raw).into_iter().chain(REAL_TIME)
}

/// Real-time signals. The C library keeps those below for itself; tokio cannot catch the last, 64.
const REAL_TIME: std::ops::Range<i32> = if cfg!(target_env = "musl") {
    35..64
} else {
    34..64
};
