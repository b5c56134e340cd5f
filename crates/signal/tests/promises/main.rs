//! The promises of the rooms to their members, in virtual time.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod access;
mod bounds;
mod documented;
mod entering;
mod resuming;
mod shares;
mod speaking;
mod world;
