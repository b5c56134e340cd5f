//! Events as lines of the log: without addresses and names. Rooms have numbers there, since in
//! an open one the name is all that is needed to enter; only `debug` shows it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::Report;

/// Writes reports, as many as strangers may cause.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    members: Mutex<Thinned>,
    refusals: Mutex<Thinned>,
}

impl Notices {
    pub(crate) fn write(&self, now: Instant, report: &Report) {
        let thinned = match report {
            Report::Refused { .. } => &self.refusals,
            Report::Opened { .. }
            | Report::Joined { .. }
            | Report::Away { .. }
            | Report::Resumed { .. }
            | Report::Left { .. } => &self.members,
        };
        let mut thinned = thinned.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(silent) = thinned.may_log(now) else {
            return;
        };
        let silent = (silent > 0).then_some(silent);
        match report {
            Report::Opened { room, name } => debug!(room, name = &**name, silent, "signal.opened"),
            Report::Joined {
                room,
                member,
                user,
                members,
            } => info!(room, member, user, members, silent, "signal.joined"),
            Report::Away { room, member } => debug!(room, member, silent, "signal.away"),
            Report::Resumed { room, member } => debug!(room, member, silent, "signal.resumed"),
            Report::Left {
                room,
                member,
                user,
                cause,
                seconds,
                messages,
            } => info!(
                room,
                member, user, cause, seconds, messages, silent, "signal.left"
            ),
            Report::Refused { code, reason } => info!(code, reason, silent, "signal.refused"),
        }
    }
}

/// [`BURST`] lines at once, and one more after each [`EACH`].
#[derive(Debug, Default)]
struct Thinned {
    earned: Option<Instant>,
    silent: u64,
}

impl Thinned {
    /// Whether a line is written now, and how many were not since the last one.
    fn may_log(&mut self, now: Instant) -> Option<u64> {
        let earned = self.earned.map_or(now, |earned| earned.max(now)) + EACH;
        if earned > now + EACH * BURST {
            self.silent += 1;
            return None;
        }
        self.earned = Some(earned);
        Some(std::mem::take(&mut self.silent))
    }
}

const BURST: u32 = 500;
const EACH: Duration = Duration::from_millis(50);
