//! Options of the commands that ask servers: the way to them.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use probe::{Bind, Families};

/// Where to send from, over which address families, and whose certificates to believe.
#[derive(Args)]
pub(super) struct Way {
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

impl Way {
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
    // What Linux lets an interface be called.
    if (1..=15).contains(&text.len()) && !text.contains(['/', ' ']) {
        return Ok(Bind::Interface(text.to_owned()));
    }
    Err("expected an IP address or the name of an interface")
}
