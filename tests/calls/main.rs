//! Calls between clients that were not written here, each on a host of its own behind a NAT.
//!
//! The clients are programs of `tests/clients`. No two of them can reach each other except through
//! relayed addresses.

#[expect(dead_code, reason = "the other tests use the rest of the lab")]
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/turn_client.rs"]
mod turn_client;

#[expect(dead_code, reason = "the tests of NATs use the rest")]
#[path = "../nat/nats.rs"]
mod nats;
#[expect(dead_code, reason = "the tests of NATs use the rest")]
#[path = "../nat/net.rs"]
mod net;
#[expect(dead_code, reason = "the tests of NATs use the rest")]
#[path = "../nat/servers.rs"]
mod servers;

#[path = "../browsers/board.rs"]
mod board;
#[path = "../browsers/browser.rs"]
mod browser;
#[expect(dead_code, reason = "the browsers' own tests use the rest")]
#[path = "../browsers/talks.rs"]
mod talks;

mod browsers;
mod call;
mod limits;
mod mixed;
mod page;
mod peer;
mod redirects;
mod restarts;
mod sdp;
mod stack;
mod ten_minutes;
mod third_parties;
mod turn_crate;
