//! Options of the commands that ask servers: how to reach them.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use probe::{Bind, Families};

/// The address to send from, the address families, and the certificates to trust.
#[derive(Args)]
pub(super) struct Asking {
    /// Send from this address or interface.
    #[arg(long, value_name = "IP|INTERFACE", value_parser = bind)]
    pub(super) bind: Option<Bind>,

    /// Trust the certificates in this PEM file instead of those that browsers trust.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// Ask over IPv4 only.
    #[arg(short = '4', conflicts_with = "v6")]
    pub(super) v4: bool,

    /// Ask over IPv6 only.
    #[arg(short = '6')]
    pub(super) v6: bool,
}

impl Asking {
    /// The address families to ask over.
    pub(super) const fn families(&self) -> Families {
        Families {
            v4: !self.v6,
            v6: !self.v4,
        }
    }
}

fn bind(text: &str) -> Result<Bind, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Bind::Address(ip));
    }
    // The length and characters that Linux allows in an interface's name.
    if (1..=15).contains(&text.len()) && !text.contains(['/', ' ']) {
        return Ok(Bind::Interface(text.to_owned()));
    }
    Err("expected an IP address or the name of an interface")
}
