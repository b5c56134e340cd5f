//! `hairpin policy`: ask the peer policy what it would do.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use relay::policy::{self, IpRuling};

use super::{ConfigFile, Failure, print};
use crate::config::Machine;

/// Ask the peer policy.
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
}

/// A peer, with its port if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Host(IpAddr),
    Socket(SocketAddr),
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
        let host = Machine::here()?;
        let policy = self.config.load(&host)?.config.policy(&host);
        let (allowed, why) = verdict(&policy, self.peer);
        print(&format!("{why}\n"))?;
        Ok(if allowed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn verdict(policy: &policy::Policy, peer: Peer) -> (bool, String) {
    match peer {
        Peer::Socket(peer) => match policy.judge(peer) {
            Ok(permit) => (true, permit.to_string()),
            Err(denial) => (false, format!("{denial:#}")),
        },
        Peer::Host(ip) => match policy.judge_ip(ip) {
            IpRuling::EveryPort(permit) => (true, permit.to_string()),
            IpRuling::SomePorts => (true, by_port(policy, ip)),
            IpRuling::NoPort(denial) => (false, format!("{denial:#}")),
        },
    }
}

/// One line per range of ports with the same ruling.
fn by_port(policy: &policy::Policy, ip: IpAddr) -> String {
    let mut lines = String::from("allowed on some ports:");
    for span in policy.spans(ip) {
        let why = match span.ruling {
            Ok(permit) => permit.to_string(),
            Err(denial) => format!("{denial:#}"),
        };
        let (first, last) = span.ports.into_inner();
        let ports = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        lines.push_str(&format!("\n  {ports:<11}  {why}"));
    }
    lines
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ip = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = ip.parse() {
            return Ok(Self::Host(ip));
        }
        let socket = text.parse().map(Self::Socket);
        socket.map_err(|_| "write an IP address, or an IP address and a port, such as 192.0.2.7:3478 or [2001:db8::7]:3478")
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin policy explain 8.8.8.8
  hairpin policy explain 10.1.2.3:10000 --config turnserver.toml
  hairpin policy explain ::ffff:127.0.0.1

Exit codes: 0 allowed, 1 denied, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use relay::policy::{Mode, Own};

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
        verdict(&policy, peer.parse().unwrap())
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
