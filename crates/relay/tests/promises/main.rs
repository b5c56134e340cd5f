//! The server's promises, one file per subject, one sentence per test. RFC 8489, RFC 8656, RFC
//! 6062.
//!
//! All of it happens in [`sim::World`], in virtual time.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod addresses;
mod allocate;
mod authentication;
mod bad_input;
mod bandwidth;
mod binding;
mod budget;
mod caps;
mod channels;
mod clients;
mod credentials;
mod data;
mod dont_fragment;
mod draining;
mod dual;
mod endings;
mod failures;
mod hairpin;
mod icmp;
mod integrity;
mod journeys;
mod loops;
mod messages;
mod mobility;
mod moving;
mod nat_discovery;
mod nonces_of_several_servers;
mod partners;
mod permissions;
mod ports;
mod quality;
mod quotas;
mod realms;
mod redirects;
mod refresh;
mod remote_keys;
mod reservations;
mod rules;
mod selections;
mod sha256;
mod snapshots;
mod stories;
mod tcp;
mod tokens;
mod traces;
