//! What the discovery promises, in virtual time. The NATs are those of `webrtc-util`: written by
//! others, and sure to be what they are called.

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
