//! Counters of the sockets, beside those of the core.

/// Plain integers, one set per shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Datagrams that the kernel dropped because a receive buffer was full (`SO_RXQ_OVFL`).
    pub receive_overflow: u64,
    /// Datagrams that could not be read whole.
    pub receive_failed: u64,
    /// Datagrams that the kernel would not send: no route, a firewall, a full send buffer.
    pub send_failed: u64,
    /// Packets for a client or a relay socket that is gone.
    pub send_gone: u64,
    /// Packets of clients that move between shards, dropped because a shard's inbox was full.
    pub inbox_full: u64,
    /// Media frames dropped because a TCP client reads too slowly.
    pub queue_dropped: u64,
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections refused by a cap.
    pub connections_refused: u64,
    /// TCP connections ended because of bytes that are no frame, or a frame that is too long.
    pub connections_broken: u64,
    /// TCP connections ended because they were silent.
    pub connections_idle: u64,
    /// TCP connections ended because they had no allocation for too long.
    pub connections_overdue: u64,
}

impl NetCounters {
    /// Every counter with its name.
    pub const fn named(&self) -> [(&'static str, u64); Self::WORDS] {
        [
            ("receive-overflow", self.receive_overflow),
            ("receive-failed", self.receive_failed),
            ("send-failed", self.send_failed),
            ("send-gone", self.send_gone),
            ("inbox-full", self.inbox_full),
            ("queue-dropped", self.queue_dropped),
            ("connections", self.connections),
            ("connections-refused", self.connections_refused),
            ("connections-broken", self.connections_broken),
            ("connections-idle", self.connections_idle),
            ("connections-overdue", self.connections_overdue),
        ]
    }

    /// What [`NetCounters::named`] told, from the numbers in that order.
    pub(crate) const fn from_words(words: &[u64; Self::WORDS]) -> Self {
        Self {
            receive_overflow: words[0],
            receive_failed: words[1],
            send_failed: words[2],
            send_gone: words[3],
            inbox_full: words[4],
            queue_dropped: words[5],
            connections: words[6],
            connections_refused: words[7],
            connections_broken: words[8],
            connections_idle: words[9],
            connections_overdue: words[10],
        }
    }

    /// How many there are.
    pub(crate) const WORDS: usize = 11;

    /// Adds those of another shard.
    pub const fn add(&mut self, other: &Self) {
        self.receive_overflow += other.receive_overflow;
        self.receive_failed += other.receive_failed;
        self.send_failed += other.send_failed;
        self.send_gone += other.send_gone;
        self.inbox_full += other.inbox_full;
        self.queue_dropped += other.queue_dropped;
        self.connections += other.connections;
        self.connections_refused += other.connections_refused;
        self.connections_broken += other.connections_broken;
        self.connections_idle += other.connections_idle;
        self.connections_overdue += other.connections_overdue;
    }
}
