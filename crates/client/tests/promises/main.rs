//! The client's promises, proved against a scripted server, a module per subject.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod answers;
mod authentication;
mod keep_alive;
mod moving;
mod noise;
mod relaying;
mod retransmission;
mod server;
mod sha256;
mod streams;
mod tcp;
mod world;
