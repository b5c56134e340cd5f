//! `hairpin probe`: what NAT this host is behind, and what that means for a call.

mod human;
mod json;
mod meaning;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use probe::{Bind, Options, Results, Uri, Verdict};

use super::asking::Asking;
use super::{Failure, print, print_styled, runtime};

/// Find out the kind of the NAT in front of this host, and its effect on a WebRTC call.
///
/// Asks STUN servers over UDP, TCP and TLS and compares what they see. A server that
/// speaks RFC 5780 (Hairpin with [nat-discovery] does) tells everything; two ordinary
/// servers tell whether a direct call has a chance. An answer that cannot be known is said to be
/// unknown.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Probe {
    /// STUN servers: `stun:HOST[:PORT]` asks over UDP and TCP, `stuns:HOST[:PORT]` over TLS.
    /// Without any, two public ones are asked: stun.cloudflare.com and stun.l.google.com.
    #[arg(value_name = "URI")]
    servers: Vec<Uri>,

    /// Time to wait for each reply; three attempts within it.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = timeout)]
    timeout: Duration,

    /// Also measure how long an unused mapping lives, up to this time. The measurement takes up
    /// to twice as long.
    #[arg(long, value_name = "MAX", num_args = 0..=1, default_missing_value = "5m",
          require_equals = true, value_parser = lifetime)]
    lifetime: Option<Duration>,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    asking: Asking,
}

impl Probe {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(Bind::Address(ip)) = self.asking.bind
            && (self.asking.v4 && ip.is_ipv6() || self.asking.v6 && ip.is_ipv4())
        {
            return Err(Failure::Usage(
                "--bind names an address of the family that -4 or -6 leaves out",
            ));
        }
        let is_json = self.json;
        let options = self.options();
        let report = Self::probe(&options)?;
        if is_json {
            print(&json::text(&report))?;
        } else {
            print_styled(&human::text(&report))?;
        }
        Ok(exit_code(report.verdict()))
    }

    fn options(self) -> Options {
        let servers = if self.servers.is_empty() {
            let public = PUBLIC.iter().map(|uri| uri.parse());
            public.map(|uri| uri.expect("a STUN URI")).collect()
        } else {
            self.servers
        };
        Options {
            servers,
            families: self.asking.families(),
            bind: self.asking.bind.unwrap_or_default(),
            timeout: self.timeout,
            lifetime: self.lifetime,
            roots: self.asking.ca,
        }
    }

    fn probe(options: &Options) -> Result<Results, Failure> {
        let runtime = runtime()?;
        let bar = if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} questions, {elapsed}");
            ProgressBar::new(0).with_style(style.expect("a template"))
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let report = runtime.block_on(probe::probe(options, |progress| {
            bar.set_length(progress.questions.into());
            bar.set_position(progress.ended.into());
        }));
        bar.finish_and_clear();
        Ok(report?)
    }
}

fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Direct | Verdict::Mostly => 0,
        Verdict::Undecided => 1,
        Verdict::NeedsTurn | Verdict::NeedsTurnOverTcp => 10,
        Verdict::Blocked => 20,
    })
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(100), Duration::from_secs(60))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_secs(10), Duration::from_secs(7_200))
}

fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text);
    let duration = duration.map_err(|_| "write a number and a unit, such as 500ms, 3s or 5m")?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [least, most].map(humantime::format_duration);
    Err(format!("expected {least} to {most}"))
}

/// Servers of the operators of the largest browsers' and networks' services.
const PUBLIC: [&str; 2] = [
    "stun:stun.cloudflare.com:3478",
    "stun:stun.l.google.com:19302",
];

const AFTER_HELP: &str = "\
Examples:
  hairpin probe                              ask two public servers
  hairpin probe stun:stun.example.org        ask your own
  hairpin probe stun:a.example.org stuns:a.example.org:443 -4
                                             over UDP, TCP and TLS, IPv4 only
  hairpin probe stun:a.example.org --lifetime
                                             also how often to send a keepalive
  hairpin probe --json | jq -r .verdict      for scripts

Exit codes:
  0   direct calls work, with most peers at least
  1   too little is known, or the probe failed
  2   the command line is wrong
  10  a TURN server is needed
  20  no server was reached, over UDP or TCP";
