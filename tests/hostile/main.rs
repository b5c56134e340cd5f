//! Hostile clients against the running server: meaningless bytes, streams that stand still, frames
//! cut anywhere, peers that cannot be reached.
//!
//! Every test has a host of its own, on which all of 127.0.0.0/8 can be client or peer.

mod admin;
mod bad_input;
mod bans;
mod bystander;
mod clients;
mod crowds;
mod descriptors;
mod flood;
mod frames;
mod guessing;
mod http;
mod journal;
mod loops;
mod lost_log;
mod lost_sends;
mod memory;
mod newcomers;
mod one_port;
mod one_user;
mod oracle;
mod own_addresses;
mod reflection;
mod server;
mod silence;
mod strangers;
mod stream;
mod tls;
mod watched;
mod zero_configuration;
