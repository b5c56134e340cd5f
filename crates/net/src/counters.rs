//! Counters of the sockets, beside those of the core: one list for the fields, their names and their
//! order.

use zerocopy::{FromBytes, Immutable, IntoBytes, transmute, transmute_ref};

use crate::sys::Runs;

macro_rules! net_counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Plain integers, one set per shard.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes,
        )]
        #[repr(C)]
        pub struct NetCounters { $($(#[$doc])* pub $field: u64,)* }

        impl NetCounters {
            /// How many there are.
            pub(crate) const WORDS: usize = [$($name),*].len();

            /// Every counter with its name.
            pub const fn named(&self) -> [(&'static str, u64); Self::WORDS] {
                [$(($name, self.$field)),*]
            }

            /// The numbers of [`NetCounters::named`], in that order, where they lie.
            pub(crate) const fn words(&self) -> &[u64; Self::WORDS] {
                transmute_ref!(self)
            }

            /// Counters from the numbers that [`NetCounters::named`] told, in its order.
            pub(crate) const fn from_words(words: [u64; Self::WORDS]) -> Self {
                transmute!(words)
            }

            /// Adds those of another shard.
            pub const fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

net_counters! {
    /// Datagrams that the kernel dropped because a receive buffer was full (`SO_RXQ_OVFL`).
    receive_overflow = "receive-overflow",
    /// Datagrams that could not be read whole.
    receive_failed = "receive-failed",
    /// Datagrams that the kernel would not send: no route, a firewall, a full send buffer.
    send_failed = "send-failed",
    /// Packets for a client or a relay socket that is gone.
    send_gone = "send-gone",
    /// Packets of clients that move between shards, dropped because a shard's inbox was full.
    inbox_full = "inbox-full",
    /// Data between clients of two shards, dropped because the other shard had so much to read of its sender.
    crossing_full = "crossing-full",
    /// Media frames dropped because a TCP client reads too slowly.
    queue_dropped = "queue-dropped",
    /// TCP connections accepted.
    connections = "connections",
    /// TCP connections refused by a cap.
    connections_refused = "connections-refused",
    /// TCP connections ended because of bytes that are no frame, or a frame that is too long.
    connections_broken = "connections-broken",
    /// TLS handshakes that were done.
    handshakes = "handshakes",
    /// TLS handshakes that failed: no version or key in common, or a certificate that the client does
    /// not trust.
    handshakes_failed = "handshakes-failed",
    /// Connections and datagrams of proxies without the header that they should have.
    proxy_header_missing = "proxy-header-missing",
    /// Connections and datagrams with the header of a proxy, of hosts that are none.
    proxy_header_foreign = "proxy-header-foreign",
    /// Datagrams of clients that come by a proxy and another way at once.
    proxied_elsewhere = "proxied-elsewhere",
    /// Connections passed to the web server.
    web_connections = "web-connections",
    /// Connections that the web server did not take.
    web_unreachable = "web-unreachable",
    /// Connections left to the server for browsers.
    browsers = "browsers",
    /// Connections that the server for browsers had no room for.
    browsers_refused = "browsers-refused",
    /// Clients whose QUIC is passed to the HTTP/3 server.
    quic_flows = "quic-flows",
    /// QUIC datagrams of clients that there was no room for, or that do not begin a connection.
    quic_refused = "quic-refused",
    /// QUIC datagrams that the HTTP/3 server did not take.
    quic_lost = "quic-lost",
    /// QUIC datagrams to clients that have not shown yet that they get them, beyond what those may be
    /// sent.
    quic_held_back = "quic-held-back",
    /// Hellos over DTLS that were asked for a cookie.
    dtls_cookies = "dtls-cookies",
    /// DTLS sessions that were set up.
    dtls_sessions = "dtls-sessions",
    /// Hellos over DTLS that do not offer version 1.2.
    dtls_other_version = "dtls-other-version",
    /// DTLS handshakes refused by a bound.
    dtls_refused = "dtls-refused",
    /// DTLS handshakes that failed, and sessions that broke.
    dtls_failed = "dtls-failed",
    /// DTLS handshakes given up because they took too long, or to make room for newer ones.
    dtls_half_open_dropped = "dtls-half-open-dropped",
    /// DTLS sessions ended because they were silent.
    dtls_idle = "dtls-idle",
    /// DTLS sessions ended because they had no allocation for too long.
    dtls_overdue = "dtls-overdue",
    /// DTLS records dropped: where no DTLS is served, of no session, or too many of a stranger.
    dtls_dropped = "dtls-dropped",
    /// TCP connections ended because they were silent.
    connections_idle = "connections-idle",
    /// TCP connections ended because they had no allocation for too long.
    connections_overdue = "connections-overdue",
    /// TCP connections ended because their clients, or neighbours of them, failed to authenticate too
    /// often.
    connections_failed = "connections-failed",
    /// Calls in which the kernel took several datagrams of one flow (GSO).
    runs_sent = "runs-sent",
    /// The datagrams of these calls.
    run_datagrams_sent = "run-datagrams-sent",
    /// Messages in which the kernel brought several datagrams of one flow (GRO).
    runs_received = "runs-received",
    /// The datagrams of these messages.
    run_datagrams_received = "run-datagrams-received",
}

impl NetCounters {
    /// Counts a call that took so many datagrams.
    pub(crate) const fn count_run_sent(&mut self, datagrams: usize) {
        self.runs_sent += 1;
        self.run_datagrams_sent += datagrams as u64;
    }

    /// Counts so many messages, each of several datagrams, of which there were so many.
    pub(crate) const fn count_runs_received(
        &mut self,
        Runs {
            messages,
            datagrams,
        }: Runs,
    ) {
        self.runs_received += messages as u64;
        self.run_datagrams_received += datagrams as u64;
    }
}
