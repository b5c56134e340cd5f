//! The client's promises, proved against a scripted server, a module per subject.

#![allow(missing_docs, reason = "tests name their promise")]

#[cfg(test)]
mod answers;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod keep_alive;
mod moving;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod relaying;
#[cfg(test)]
mod retransmission;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sha256;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod world;
