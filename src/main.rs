//! Hairpin, a STUN and TURN relay server. The binary is thin: the command line,
//! the configuration, and the wiring of shards; no packet is seen here.

mod browsers;
mod certificate;
mod cli;
mod config;
mod coturn;
mod ice_servers;
mod log;
mod netlink;
mod serve;
mod shown;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
