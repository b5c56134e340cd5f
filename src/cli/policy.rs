//! `hairpin policy`: ask the peer policy what it would do.

use std::process::ExitCode;

use ::admin::api::policy::{Explained, Peer};
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::admin::Asking;
use super::{ConfigFile, Failure};
use crate::config::Machine;

/// Look up the peer policy: which peers clients may reach.
///
/// The policy decides to which peers clients may send, and from which they
/// receive. It is closed: private, special and own addresses are denied until
/// `[peers] allow` names them.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP, arg_required_else_help = true)]
pub(super) struct Policy {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    Explain(Explain),
}

/// Say whether clients may reach a peer, and why.
///
/// With a port the answer is for that port, as in ChannelBind and Send. Without
/// one it is for the address, as in CreatePermission.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
struct Explain {
    /// The peer, such as 192.0.2.7, 192.0.2.7:3478 or `[2001:db8::7]:3478`.
    #[arg(value_name = "IP[:PORT]")]
    peer: Peer,

    #[command(flatten)]
    config: ConfigFile,

    /// Ask the running server, whose policy may be another than that of the file.
    #[arg(long, conflicts_with = "path")]
    running: bool,

    #[command(flatten)]
    asking: Asking,
}

impl Policy {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.question {
            Question::Explain(explain) => explain.run(),
        }
    }
}

impl Explain {
    fn run(self) -> Result<ExitCode, Failure> {
        let explained: Explained = if self.running {
            let peer = match self.peer {
                Peer::Host(ip) => ip.to_string(),
                Peer::Socket(socket) => socket.to_string(),
            };
            let peer = utf8_percent_encode(&peer, NON_ALPHANUMERIC);
            self.asking.get(&format!("/v1/policy?peer={peer}"))?
        } else {
            let host = Machine::here()?;
            let loaded = self.config.load(&host)?;
            let is_default = self.config.path().is_none() && loaded.text.expose().is_empty();
            eprintln!("{}", asked(&loaded.source, is_default));
            let policy = loaded.config.policy(&host);
            Explained::of(&policy, self.peer)
        };
        self.asking.print(&explained, Explained::words)?;
        Ok(if explained.allowed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Which configuration answers; the running server may have another.
fn asked(source: &str, is_default: bool) -> String {
    if is_default {
        return format!(
            "note: by the defaults ({source}): --config FILE asks a file, --running the running server"
        );
    }
    format!("note: by {source}: --running asks the running server")
}

const AFTER_HELP: &str = "\
Examples:
  hairpin policy explain 8.8.8.8
  hairpin policy explain 10.1.2.3:10000 --config turnserver.toml
  hairpin policy explain ::ffff:127.0.0.1
  hairpin policy explain 10.1.2.3 --running

Exit codes: 0 allowed, 1 denied, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use relay::policy::{self, Mode, Own};

    use super::*;

    fn explained(peer: &str) -> (bool, String) {
        let own = Own {
            listeners: vec!["0.0.0.0:3478".parse().unwrap()],
            addresses: vec!["198.18.0.5/32".parse().unwrap()],
            relays: vec!["198.18.0.5".parse().unwrap()],
            relay_ports: 50000..=50009,
        };
        let allow = vec!["10.1.2.0/24:10000-20000".parse().unwrap()];
        let policy = policy::Policy::new(Mode::Closed, allow, Vec::new(), own);
        let explained = Explained::of(&policy, peer.parse().unwrap());
        (explained.allowed, explained.words())
    }

    #[test]
    fn a_peer_is_an_address_with_or_without_a_port() {
        for right in [
            "8.8.8.8",
            "8.8.8.8:53",
            "2001:db8::7",
            "[2001:db8::7]",
            "[2001:db8::7]:53",
        ] {
            assert!(right.parse::<Peer>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "example.org",
            "8.8.8.8:",
            "8.8.8.8:70000",
            "2001:db8::7:99999",
            "10.0.0.0/8",
        ] {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_answer_says_which_configuration_was_asked() {
        let defaults = asked("no configuration file", true);
        assert!(defaults.contains("by the defaults") && defaults.contains("--running"));
        assert!(asked("turnserver.toml", false).contains("by turnserver.toml"));
    }

    #[test]
    fn the_verdict_comes_with_its_reason() {
        let (allowed, why) = explained("9.9.9.9:53");
        assert!(allowed && why.starts_with("allowed: "), "{why}");
        let (allowed, why) = explained("::ffff:10.0.0.7");
        assert!(!allowed && why.starts_with("denied: 10.0.0.7"), "{why}");
        let (allowed, why) = explained("10.1.2.3:15000");
        assert!(allowed && why.contains("10.1.2.0/24:10000-20000"), "{why}");
    }

    #[test]
    fn an_address_allowed_on_some_ports_is_explained_range_by_range() {
        let (allowed, why) = explained("10.1.2.3");
        assert!(allowed, "{why}");
        let lines: Vec<&str> = why.lines().collect();
        assert_eq!(lines[0], "allowed on some ports:");
        assert!(lines[1].starts_with("  1-9999       denied: "), "{why}");
        assert!(lines[2].starts_with("  10000-20000  allowed: "), "{why}");
        assert!(lines[3].starts_with("  20001-65535  denied: "), "{why}");
    }
}
