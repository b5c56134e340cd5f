//! Messages that wait for a member: sent or not, until it is acknowledged. A connection that breaks loses
//! nothing of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Messages of a session in their order.
#[derive(Debug)]
pub(super) struct Outbox {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// The number of the next one to be sent over the connection.
    next: u64,
    bytes: usize,
    /// Bytes by the member whose message it is.
    by_member: BTreeMap<u32, usize>,
}

#[derive(Debug)]
struct Entry {
    body: Arc<str>,
    from: Option<u32>,
    since: Instant,
}

impl Entry {
    fn cost(&self) -> usize {
        cost(&self.body)
    }
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            first: 1,
            next: 1,
            bytes: 0,
            by_member: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, now: Instant, body: Arc<str>, from: Option<u32>) {
        let entry = Entry {
            body,
            from,
            since: now,
        };
        self.bytes += entry.cost();
        if let Some(from) = from {
            *self.by_member.entry(from).or_default() += entry.cost();
        }
        self.entries.push_back(entry);
    }

    /// The next message to send, and its number.
    pub(super) fn pop_unsent(&mut self) -> Option<(u64, Arc<str>)> {
        let number = self.next;
        let at = usize::try_from(number - self.first).ok()?;
        let body = Arc::clone(&self.entries.get(at)?.body);
        self.next += 1;
        Some((number, body))
    }

    /// Forgets what was received. Only what was sent can have been.
    pub(super) fn acknowledge(&mut self, number: u64) {
        while self.first <= number && self.first < self.next {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.first += 1;
            self.bytes -= entry.cost();
            self.forget(&entry);
        }
        if self.entries.capacity() > SPARE && self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Begins again with the first message that was not acknowledged.
    pub(super) const fn rewind(&mut self) {
        self.next = self.first;
    }

    /// Since when the first message waits, sent or not.
    pub(super) fn since(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.since)
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that one member has waiting here.
    pub(super) fn bytes_of(&self, member: u32) -> usize {
        self.by_member.get(&member).copied().unwrap_or_default()
    }

    fn forget(&mut self, entry: &Entry) {
        let Some(from) = entry.from else {
            return;
        };
        if let Some(bytes) = self.by_member.get_mut(&from) {
            *bytes -= entry.cost();
            if *bytes == 0 {
                self.by_member.remove(&from);
            }
        }
    }
}

/// The bytes that a waiting message takes.
pub(super) const fn cost(body: &str) -> usize {
    body.len() + ENTRY
}

/// An entry, and what the allocator keeps beside a text.
const ENTRY: usize = 80;

/// Entries for which room is kept while nothing waits.
const SPARE: usize = 16;
