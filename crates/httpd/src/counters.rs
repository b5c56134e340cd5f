//! Counters of what the server has done and refused, each under a name.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Counts since the start, by any thread.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $field: Count,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($field: self.$field.0.load(Ordering::Relaxed),)* }
            }
        }

        /// The counts until now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$doc])* pub $field: u64,)* }

        impl Snapshot {
            /// Every number with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Connections taken in, of which some are refused below.
    connections = "connections",
    /// Connections refused because there are too many in all.
    refused_full = "refused-full",
    /// Connections, and requests that a proxy brings, refused because their network has too many.
    refused_prefix = "refused-prefix",
    /// The same, because their network comes too fast.
    refused_rate = "refused-rate",
    /// Connections that were accepted and could not be served: the system has not what they take.
    accept_failed = "accept-failed",
    /// Connections that said nothing for too long.
    silent = "silent",
    /// TLS handshakes that were done.
    handshakes = "handshakes",
    /// TLS handshakes that failed or took too long.
    handshakes_failed = "handshakes-failed",
    /// Requests that were read whole.
    requests = "requests",
    /// Bytes that are no request, or one that says two things.
    malformed = "malformed",
    /// Connections in HTTP/2, which is not spoken.
    http2 = "http2",
    /// Requests whose head is too long.
    head_too_large = "head-too-large",
    /// Requests whose head took too long.
    head_late = "head-late",
    /// Requests whose body is too long.
    body_too_large = "body-too-large",
    /// Requests whose body took too long, or ended early.
    body_late = "body-late",
    /// Connections ended because the client does not read its answers.
    slow_reader = "slow-reader",
    /// Connections that became WebSockets.
    upgrades = "upgrades",
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
