//! Shards: sockets around the relay core.
//!
//! One shard per core: a thread with a current-thread runtime, one [`relay::Server`], its own
//! listeners (`SO_REUSEPORT`, so a 5-tuple stays with its shard) and its own relay sockets. Shards
//! share nothing on the packet path but the lanes of `crossings`. This crate moves packets and performs effects; it knows no
//! attribute, no user and no policy.
#![deny(unsafe_code)]

mod admission;
mod bind;
mod bundle;
mod clock;
mod connection;
mod counters;
mod crossings;
mod demultiplexer;
mod dtls;
mod egress;
mod fault;
mod first_bytes;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod inbox;
mod key_request;
mod launch;
mod life;
mod listeners;
mod local;
mod marking;
mod offload;
mod opening;
mod options;
mod passed;
mod peers;
mod proxied;
pub mod proxy;
mod published;
mod quic;
mod refusals;
mod relays;
mod run;
mod running;
mod seldom;
mod send_queue;
mod shard;
mod splice;
mod stream;
#[expect(unsafe_code, reason = "the system calls that std has no words for")]
mod sys;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod transports;
mod turn;
mod udp;
mod web;

pub use bind::SOCKET_BUFFER;
pub use counters::NetCounters;
pub use fault::Fault;
pub use key_request::KeyRequest;
pub use launch::{start, start_on};
pub use listeners::{Prepared, Relistened};
pub use offload::{Offload, Together};
pub use options::{
    Browser, Browsers, KeyStore, ListenerOptions, Options, ProxyOptions, StreamLimits, WebOptions,
};
pub use passed::{Passed, passed};
pub use quic::FLOWS as QUIC_FLOWS;
pub use running::{Answers, Bounds, Cursor, Ended, Failed, Lately, Load, Page, Running};
pub use tls::{Certificate, Certificates, Lack, TlsEvent, TlsOptions, TlsVersion};
pub use traces::{TRACES, Told, Tracing};
pub use transports::Transports;
