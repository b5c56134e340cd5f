//! Calls between clients that were not written here, each on a host of its own behind a NAT.
//!
//! The clients are programs of `tests/clients`. No two of them can reach each other except through
//! relayed addresses.

mod browsers;
mod call;
mod dtls;
mod limits;
mod mixed;
mod page;
mod peer;
mod redirects;
mod restarts;
mod stack;
mod ten_minutes;
mod third_parties;
mod turn_crate;
mod web_only;
