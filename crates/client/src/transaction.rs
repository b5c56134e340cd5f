//! One request on its way: sent, sent again, given up. RFC 8489 §6.2.

use std::time::{Duration, Instant};

use wire::TransactionId;

use crate::Transport;

/// When a request is sent again and when it is given up. The default is the RFC's.
/// RFC 8489 §6.2.1, §6.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmission {
    /// RTO: the wait after the first request; it doubles with each further one.
    pub rto: Duration,
    /// Rc: how many times a request is sent in all.
    pub requests: u32,
    /// Rm: the wait after the last request, in RTOs.
    pub last_wait: u32,
    /// Ti: the wait for an answer on a stream, where nothing is sent again.
    pub stream_timeout: Duration,
}

impl Default for Retransmission {
    fn default() -> Self {
        Self {
            rto: Duration::from_millis(500),
            requests: 7,
            last_wait: 16,
            stream_timeout: Duration::from_millis(39_500),
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Transaction {
    id: TransactionId,
    request: Vec<u8>,
    deadline: Instant,
    /// How often the request may be sent again.
    resends: u32,
    /// The wait after the next resend, unless that is the last.
    wait: Duration,
    last_wait: Duration,
}

/// The action that is due for a transaction.
#[derive(Debug)]
pub(crate) enum Turn<'t> {
    /// None yet.
    Wait,
    /// Send these bytes again.
    Resend(&'t [u8]),
    /// No answer will come.
    GiveUp,
}

impl Transaction {
    /// The transaction of a request that is sent now.
    pub(crate) fn start(
        now: Instant,
        transport: Transport,
        schedule: &Retransmission,
        id: TransactionId,
        request: Vec<u8>,
    ) -> Self {
        let (resends, last_wait) = if transport.is_stream() {
            (0, schedule.stream_timeout)
        } else {
            (
                schedule.requests.saturating_sub(1),
                schedule.rto.saturating_mul(schedule.last_wait),
            )
        };
        let mut transaction = Self {
            id,
            request,
            deadline: now,
            resends,
            wait: schedule.rto,
            last_wait,
        };
        transaction.rearm(now);
        transaction
    }

    pub(crate) fn id(&self) -> TransactionId {
        self.id
    }

    /// When [`Transaction::handle_timeout`] has an action next.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Turn<'_> {
        if now < self.deadline {
            return Turn::Wait;
        }
        if self.resends == 0 {
            return Turn::GiveUp;
        }
        self.resends -= 1;
        self.rearm(now);
        Turn::Resend(&self.request)
    }

    fn rearm(&mut self, now: Instant) {
        if self.resends == 0 {
            self.deadline = now + self.last_wait;
        } else {
            self.deadline = now + self.wait;
            self.wait = self.wait.saturating_mul(2);
        }
    }
}
