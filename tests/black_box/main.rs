//! Clients that were not written here, and promises to the operator, against the built server.

mod addresses;
mod aioice;
mod capture;
mod credentials;
mod draining;
mod environment;
mod families;
mod far;
mod losses;
mod marks;
mod mobility;
mod nat_discovery;
mod policy;
mod realms;
mod redirects;
mod reload;
mod service;
mod sha256;
mod signals;
mod tokens;
mod turn_crate;
mod turn_proto;
mod turnutils;
mod turnutils_oddities;
mod two_processes;
mod uclient;
