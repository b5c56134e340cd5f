//! The promises of the discovery, in virtual time. The NATs are those of `webrtc-util`: written by
//! others, and sure to behave as they are named.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod hops;
mod lifetime;
mod nats;
mod noise;
mod script;
mod servers;
mod sizes;
mod verdicts;
mod world;
