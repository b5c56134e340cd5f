//! The log: one line per event, with stable names. Who a client is stays out of it unless the
//! operator asks for it; passwords and keys never come near it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use relay::{Reject, Report, Traffic};
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use crate::config::{Format, Level, Log};

/// Sends the log to standard error from now on.
pub(crate) fn init(log: &Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    match log.format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
}

/// Writes what the relay core reports.
pub(crate) struct Reporter {
    addresses: bool,
    refusals: Mutex<BTreeMap<&'static str, Refusals>>,
}

/// The refusals of one cause.
struct Refusals {
    /// When one was logged last.
    logged: Instant,
    /// Those that were not, since.
    silent: u64,
}

impl Reporter {
    /// Says who the clients are only if the configuration does.
    pub(crate) const fn new(log: &Log) -> Self {
        Self {
            addresses: log.addresses,
            refusals: Mutex::new(BTreeMap::new()),
        }
    }

    /// Logs one report.
    pub(crate) fn report(&self, report: Report) {
        match report {
            Report::Opened {
                allocation,
                client,
                user,
                relayed,
                lifetime,
            } => info!(
                allocation = %allocation,
                transport = client.transport.name(),
                client = self.shown(client.client),
                ?user,
                %relayed,
                lifetime,
                "allocation.opened"
            ),
            Report::Ended {
                allocation,
                client,
                user,
                relayed,
                cause,
                age,
                sent,
                received,
            } => {
                let Traffic {
                    packets: sent_packets,
                    bytes: sent_bytes,
                } = sent;
                let Traffic {
                    packets: received_packets,
                    bytes: received_bytes,
                } = received;
                info!(
                    allocation = %allocation,
                    cause = cause.name(),
                    transport = client.transport.name(),
                    client = self.shown(client.client),
                    ?user,
                    %relayed,
                    seconds = age.as_secs(),
                    sent_packets,
                    sent_bytes,
                    received_packets,
                    received_bytes,
                    "allocation.ended"
                );
            }
            Report::Refused {
                client,
                user,
                method,
                reject,
            } => {
                let Some(silent) = self.may_log(reject.cause(), Instant::now()) else {
                    return;
                };
                warn!(
                    method = method.name(),
                    code = reject.code(),
                    cause = reject.cause(),
                    reason = %reject,
                    user = user.as_deref().map(tracing::field::debug),
                    client = self.shown(client.client),
                    peer = self.denied_peer(&reject),
                    silent = (silent > 0).then_some(silent),
                    "request.refused"
                );
            }
        }
    }

    fn shown(&self, client: SocketAddr) -> Option<tracing::field::DisplayValue<SocketAddr>> {
        self.addresses.then(|| tracing::field::display(client))
    }

    /// A peer is a person's address, too.
    fn denied_peer(&self, reject: &Reject) -> Option<tracing::field::DisplayValue<SocketAddr>> {
        if let Reject::PeerDenied { peer, .. } = reject {
            self.shown(peer.0)
        } else {
            None
        }
    }

    /// Whether a refusal of this cause is logged, and how many were not since the last one:
    /// strangers decide how often they are refused, not how long the log becomes.
    fn may_log(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(earlier) = refusals.get_mut(cause) else {
            refusals.insert(
                cause,
                Refusals {
                    logged: now,
                    silent: 0,
                },
            );
            return Some(0);
        };
        if now.saturating_duration_since(earlier.logged) < REFUSAL_PERIOD {
            earlier.silent += 1;
            return None;
        }
        earlier.logged = now;
        Some(std::mem::take(&mut earlier.silent))
    }
}

/// One line per cause of refusal in this time; the next one says how many there were.
const REFUSAL_PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_refusals_is_one_line_per_cause_and_period() {
        let log = Log {
            level: Level::Info,
            format: Format::Text,
            addresses: false,
        };
        let reporter = Reporter::new(&log);
        let start = Instant::now();
        assert_eq!(reporter.may_log("bad-integrity", start), Some(0));
        for _ in 0..1000 {
            assert_eq!(reporter.may_log("bad-integrity", start), None);
        }
        assert_eq!(reporter.may_log("unknown-user", start), Some(0));
        assert_eq!(
            reporter.may_log("bad-integrity", start + REFUSAL_PERIOD),
            Some(1000)
        );
    }
}
