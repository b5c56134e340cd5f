//! Timers: one queue of deadlines for everything that ends by itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::{AddressFamily, ChannelNumber};

use crate::{AllocationId, ConnectionId, RelayId, UserName};

/// The thing that a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The lifetime of an allocation, which may differ between its families.
    Relay(RelayId),
    /// A channel's lifetime.
    Channel(AllocationId, ChannelNumber),
    /// A peer of a TCP allocation is to answer, or the client to bind the connection with it.
    Connection(ConnectionId),
    /// A port that another program had may be free again. It is boxed, as it is rare and would make
    /// every other timer as large.
    ForeignPort(Box<SocketAddr>),
    /// Reserved ports that were not redeemed are free again.
    Reservations,
    /// A keepalive to the partner of this family.
    Partner(AddressFamily),
    /// A second of the traces is over.
    Traces,
    /// A key that was asked for; boxed as rare, too.
    Key(Box<UserName>),
}

/// Deadlines in order. A timer that is removed leaves nothing behind: a client that allocates and
/// deletes in a loop cannot make the queue grow.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    /// The first deadline of the queue, kept apart because every packet looks at it.
    next: Option<Instant>,
}

impl Timers {
    pub(crate) fn arm(&mut self, deadline: Instant, timer: Timer) {
        self.queue.insert((deadline, timer));
        self.note_next();
    }

    pub(crate) fn disarm(&mut self, deadline: Instant, timer: Timer) {
        self.queue.remove(&(deadline, timer));
        self.note_next();
    }

    /// When the next timer is due.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether a timer is due.
    #[inline]
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Takes a timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if !self.are_due(now) {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.note_next();
        Some(timer)
    }

    /// The ports of other programs that are to be tried again, and when.
    pub(crate) fn foreign_ports(&self) -> impl Iterator<Item = (SocketAddr, Instant)> {
        self.queue.iter().filter_map(|(then, timer)| match timer {
            Timer::ForeignPort(local) => Some((**local, *then)),
            Timer::Relay(_)
            | Timer::Channel(..)
            | Timer::Connection(_)
            | Timer::Reservations
            | Timer::Partner(_)
            | Timer::Traces
            | Timer::Key(_) => None,
        })
    }

    /// Whether only timers of ports, foreign or reserved, of partners and of traces are left.
    pub(crate) fn is_idle(&self) -> bool {
        let mut timers = self.queue.iter().map(|(_, timer)| timer);
        timers.all(|timer| match timer {
            Timer::ForeignPort(_) | Timer::Reservations | Timer::Partner(_) | Timer::Traces => true,
            Timer::Relay(_) | Timer::Channel(..) | Timer::Connection(_) | Timer::Key(_) => false,
        })
    }

    fn note_next(&mut self) {
        self.next = self.queue.first().map(|(deadline, _)| *deadline);
    }
}

/// How long a port is left alone that another program was found to use.
pub(crate) const FOREIGN_PORT: Duration = Duration::from_secs(60);
