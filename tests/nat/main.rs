//! NATs that Linux makes, and the findings of `hairpin probe` about each; then calls between two of
//! them.

#[expect(dead_code, reason = "the other tests use the rest of the lab")]
#[path = "../lab/mod.rs"]
mod lab;

#[path = "../browsers/board.rs"]
mod board;
#[expect(dead_code, reason = "the browsers' own tests use the rest")]
#[path = "../browsers/browser.rs"]
mod browser;
mod calls;
mod dns;
mod lifetime;
mod meeting;
mod names;
mod nats;
mod net;
mod output;
mod own_nats;
mod probe;
mod servers;
mod sizes;
mod tls;
mod verdicts;
mod ways;
