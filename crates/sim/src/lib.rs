//! A virtual world around the relay core: servers, clients and peers, and a clock that only a test
//! moves.
//!
//! Nothing here waits, opens a socket or draws a random number, so a test may live through hours
//! in no time and always sees the same:
//!
//! ```
//! use relay::DropReason;
//! use sim::{Outcome::Lost, World, minutes};
//!
//! let mut world = World::new();
//! let (alice, peer) = (world.client("alice"), world.peer());
//! let relayed = alice.allocate(&mut world, minutes(10));
//! alice.bind(&mut world, peer);
//! assert_eq!(alice.send(&mut world, peer, b"hi"), peer.hears(relayed, b"hi"));
//! world.advance(minutes(10));
//! assert_eq!(alice.send(&mut world, peer, b"hi"), Lost(DropReason::NoChannel));
//! ```
//!
//! After every step of a test the world checks its books, and panics if they do not balance: each
//! allocation has one count in the quotas, each of its relay sockets one port, an answer belongs to
//! its request, nothing leaves for a peer that the policy denies, and nothing that is due stays
//! undone.

mod answer;
mod choices;
mod client;
mod clock;
mod machine;
mod model;
mod network;
mod outcome;
mod peer;
mod request;
mod setting;
pub mod trial;
mod world;

use std::time::Duration;

pub use answer::Answer;
pub use choices::{Choices, Dice};
pub use client::Client;
pub use clock::Clock;
pub use outcome::{Outcome, assert_lost};
pub use peer::Peer;
pub use request::{AccessGrant, Proof, Request};
pub use setting::{
    EXTERNAL, LISTENER, LOCAL, LOCAL_V6, REALM, SERVER_NAME, config, own_addresses, password,
    policy,
};
pub use world::World;

/// So many minutes.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// So many seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
