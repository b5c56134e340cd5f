//! NATs that Linux makes, and what `hairpin probe` says of each; then calls between two of them.

#[expect(dead_code, reason = "the other tests use the rest of the lab")]
#[path = "../lab/mod.rs"]
mod lab;

mod dns;
mod lifetime;
mod names;
mod nats;
mod net;
mod own_nats;
mod probe;
mod servers;
mod tls;
mod verdicts;
mod ways;
