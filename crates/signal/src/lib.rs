//! Signaling: rooms in which browsers exchange offers, answers and candidates. `docs/signaling.md` is
//! the protocol.
//!
//! [`Rooms`] is the whole of it as a value: messages and the time go in, frames and deadlines come
//! out; it owns no socket, clock, task or random source. [`Signaling`] is the host around it: WebSockets
//! and one task for each.
//!
//! Strangers cannot make memory grow without bound: connections and members by number, in all and of a
//! network; what waits for a member by a share for each other member, and in all. A member that sends
//! too fast is read more slowly, and only a member of a room can name another one of it.

mod access;
#[cfg(feature = "client")]
mod client;
mod counters;
mod limits;
mod message;
mod notice;
mod origin;
mod pace;
mod refusal;
mod rooms;
mod signaling;
mod socket;
mod told;

pub use access::{Access, Secrets, TokenKeys};
#[cfg(feature = "client")]
pub use client::{Client, ClientError};
pub use counters::Counters;
pub use limits::Limits;
pub use message::{Decoded, Malformed, Message};
pub use origin::is_welcome;
pub use refusal::Refusal;
pub use rooms::{ConnectionId, Frame, Full, Report, Rooms};
pub use signaling::{Options, Signaling};

/// A browser's credentials: the array of `RTCConfiguration.iceServers`, and how long its credential lives.
#[derive(Clone, Debug)]
pub struct Ice {
    /// The array.
    pub servers: serde_json::Value,
    /// From now on.
    pub lifetime: std::time::Duration,
}

/// Mints for a user: a name that no other member of any room has at the same time.
pub type Mint = std::sync::Arc<dyn Fn(&str) -> Ice + Send + Sync>;
