//! NATs that Linux makes, and the findings of `hairpin probe` about each; then calls between two of
//! them.

mod calls;
mod dns;
mod lifetime;
mod meeting;
mod names;
mod output;
mod own_nats;
mod probe;
mod sizes;
mod tls;
mod verdicts;
mod ways;
