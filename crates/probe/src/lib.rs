//! The behaviour of a NAT for UDP, and what that means for a WebRTC call. RFC 4787, RFC 5780.
//!
//! [`Discovery`] owns no socket, clock, thread or source of randomness: it names the datagrams that
//! leave each [`Socket`], is given the answers, and in the end has [`Findings`]. A behaviour that
//! cannot be known is [`Unknown`], with the reason; nothing is guessed.
//!
//! One rule: **one call, then drain**. After [`Discovery::new`] or a `handle_*`, take everything
//! from [`Discovery::poll_transmit`], then sleep until [`Discovery::poll_timeout`] or the next
//! input. It is over when there is nothing to wait for. [`probe`] runs it on this host:
//! [`Resolver`] finds the servers of a [`Uri`], and TCP and TLS are asked beside.

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
pub use escape::{escaped, is_unseen};
pub use findings::{
    Behaviour, ClassicName, DoubleNat, Findings, Lifetime, Mapping, Outcome, Ports, Unknown,
};
pub use host::{
    Bind, Families, Family, Fault, NoAnswer, Options, Results, Stream, StreamAnswer, probe,
};
pub use inquiry::Socket;
pub use resolve::{Resolver, Target, Unresolved};
pub use uri::{NotAUri, Service, Transport, Uri, UriHost};
pub use verdict::Verdict;
