//! `hairpin bans`: networks that are banned for a time.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asking, api, span};
use crate::cli::Failure;

/// List the networks that the running server has banned, or lift a ban.
///
/// A network is banned for a time when it keeps failing to authenticate, if `ban-after`
/// in `[clients]` says so. Sessions that it has go on. To ban a network by hand, write
/// it into `deny` of `[clients]` and reload: that ends its sessions, too.
#[derive(Args)]
#[command(after_long_help = "Examples:\n  hairpin bans\n  hairpin bans --lift 198.51.100.0/24")]
pub(in crate::cli) struct Bans {
    /// Lift the ban of this network, or of the one that this address is in.
    #[arg(long, value_name = "PREFIX")]
    lift: Option<String>,

    #[command(flatten)]
    asking: Asking,
}

impl Bans {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        match self.lift {
            Some(prefix) => {
                let prefix = utf8_percent_encode(&prefix, NON_ALPHANUMERIC);
                let words = |lifted: api::bans::Lifted| match lifted.lifted {
                    1 => "1 ban lifted\n".to_owned(),
                    count => format!("{count} bans lifted\n"),
                };
                let path = format!("/v1/bans/{prefix}");
                self.asking.run(Method::DELETE, &path, &(), words)?;
            }
            None => self.asking.run(Method::GET, "/v1/bans", &(), words)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn words(bans: api::bans::Bans) -> String {
    if bans.bans.is_empty() {
        return "no network is banned\n".to_owned();
    }
    let mut text = format!(
        "{:<24} {:>8} {:>14} {:>14}\n",
        "NETWORK", "FAILURES", "SINCE", "LEFT"
    );
    for ban in bans.bans {
        let (since, left) = (span(ban.age), span(ban.left));
        let _ = writeln!(
            text,
            "{:<24} {:>8} {since:>14} {left:>14}",
            ban.prefix, ban.failures
        );
    }
    text
}
