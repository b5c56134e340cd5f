//! STUN and TURN from the client's side, as a value. RFC 8489, RFC 8656.
//!
//! [`Client`] owns no socket, clock, thread or source of randomness: bytes and the time go in,
//! bytes and [`Event`]s come out, and all random choices come from a seed. The same calls give the
//! same results, so a test may run through hours at once and a failure may be replayed.
//!
//! One rule: **one change, then drain**. After a request, [`Client::handle_input`] or
//! [`Client::handle_timeout`], take everything from [`Client::poll_transmit`] and
//! [`Client::poll_event`], then sleep until [`Client::poll_timeout`] or the next input.
//!
//! ```
//! # use std::time::Instant;
//! # use client::{AllocateOptions, Client, Config, Credentials, Event, Transport};
//! # fn turn(now: Instant, received: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new(Transport::Udp);
//! config.credentials = Some(Credentials::new("alice", "wonderland")?);
//! let mut client = Client::new(config, [7; 32]);
//!
//! client.allocate(now, AllocateOptions::default());
//! while let Some(packet) = client.poll_transmit() {
//!     // send `packet` to the server
//! }
//! client.handle_input(now, received);
//! while let Some(event) = client.poll_event() {
//!     if let Event::Allocated { relayed, .. } = event {
//!         // peers reach this client at `relayed`
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A 401 is answered with the credentials and a 438 with the new nonce, once each per request, with
//! SHA-256 where the server offers it ([`Sha256`]); the caller sees only the result. Every request
//! ends in exactly one event. Packets that the client ignores, as the RFCs demand, are counted:
//! [`Client::dropped`].

mod answer;
mod challenge;
mod channels;
mod client;
mod config;
mod credentials;
mod drops;
mod event;
mod exchange;
mod keep_alive;
mod request;
mod sha256;
mod ticket;
mod transaction;

pub use client::{Client, TooLong};
pub use config::Config;
pub use credentials::{Credentials, CredentialsError};
pub use drops::DropReason;
pub use event::{Event, Failure};
pub use request::{AllocateOptions, Request};
pub use sha256::Sha256;
pub use ticket::Ticket;
pub use transaction::Retransmission;
pub use wire::Transport;
