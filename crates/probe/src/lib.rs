//! What a NAT does to UDP, and what that means for a WebRTC call. RFC 4787, RFC 5780.
//!
//! [`Discovery`] owns no socket, clock, thread or source of randomness: it says which datagram
//! leaves which [`Socket`], is told what came back, and in the end has [`Findings`]. What cannot be
//! known is said to be [`Unknown`], with the reason; nothing is guessed.
//!
//! One law: **one call, then drain**. After [`Discovery::new`], a `handle_*`, take what
//! [`Discovery::poll_transmit`] has, then sleep until [`Discovery::poll_timeout`] or the next input.
//! It is over when there is nothing to wait for. [`probe`] runs it on this host: [`Resolver`] finds
//! the servers of a [`Uri`], and TCP and TLS are asked beside.

mod discovery;
pub mod doctor;
mod escape;
mod findings;
mod host;
mod inquiry;
mod notes;
mod resolve;
mod uri;
mod verdict;

pub use discovery::{Config, Discovery, Progress, Transmit};
pub use findings::{
    Behaviour, ClassicName, DoubleNat, Findings, Lifetime, Mapping, Outcome, Ports, Unknown,
};
pub use host::{
    Bind, Families, Family, Fault, NoAnswer, Options, Report, Stream, StreamAnswer, probe,
};
pub use inquiry::Socket;
pub use resolve::{Resolver, Target, Unresolved};
pub use uri::{Host, NotAUri, Service, Transport, Uri};
pub use verdict::Verdict;
