//! `hairpin doctor`: whether a STUN or TURN server works, and what to change if not.

mod host;
mod human;
mod json;
mod own;

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use probe::doctor::{Examination, Examined, Finding, Login, Severity};
use probe::{NotAUri, Service, Uri};

use super::asking::Asking;
use super::login::Login as LoginOptions;
use super::{Failure, print, print_styled, runtime};
use crate::config::{self, Config, Loaded, Machine};

/// Find out whether a STUN or TURN server works from here, and how to repair it if not.
///
/// Acts as a client does, at any server: a Binding, the challenge, an allocation, data to
/// another allocation and to a plain socket and back, a refresh, the end; for turns: also the
/// certificate, as browsers judge it. Each finding has a code, which docs/doctor.md explains.
/// Takes at most 15 seconds and sends some 200 datagrams.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Doctor {
    /// Servers: `turn:HOST[:PORT][?transport=udp|tcp]`, `turns:…`, `stun:…`, `stuns:…`. A bare HOST
    /// is taken as `turn:` where credentials are given, else as `stun:`.
    #[arg(value_name = "URI", required_unless_present = "config", value_parser = a_uri)]
    servers: Vec<String>,

    #[command(flatten)]
    login: LoginOptions,

    /// The configuration of the Hairpin on this host: its listeners are examined with its own
    /// credentials, and the host with them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The realm that the servers should have.
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,

    /// A STUN server outside, to compare external addresses with (with --config).
    #[arg(
        long,
        value_name = "URI",
        default_value = "stun:stun.cloudflare.com:3478",
        requires = "config"
    )]
    outside: Uri,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    asking: Asking,
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let loaded = self.own_config()?;
        let login = self.login.read("doctor")?;
        let uris = self.uris(login.as_ref())?;
        let mut examination = Examination {
            servers: uris.into_iter().map(Examined::from).collect(),
            login,
            realm: self.realm.clone(),
            bind: self.asking.bind.clone().unwrap_or_default(),
            families: self.asking.families(),
            roots: self.asking.ca.clone(),
        };
        let config = loaded.as_ref().map(|loaded| &loaded.config);
        let mut findings = match &loaded {
            Some(loaded) => own::complete(&mut examination, loaded),
            None => Vec::new(),
        };
        findings.extend(self.examine(&examination, config)?);
        if let Some(config) = config {
            own::explain(&mut findings, config);
        }
        if self.json {
            print(&json::text(&findings))?;
        } else {
            print_styled(&human::text(&examination, &findings))?;
        }
        Ok(u8::from(count(&findings, Severity::Error) > 0).into())
    }

    /// The configuration as the server would read it, except for its listeners' ports, which the
    /// server itself uses.
    fn own_config(&self) -> Result<Option<Loaded>, Failure> {
        let Some(path) = &self.config else {
            return Ok(None);
        };
        Ok(Some(config::load(Some(path), &Machine::anywhere())?))
    }

    /// The servers that are named. Credentials that none of them takes are not dropped in silence.
    fn uris(&self, login: Option<&Login>) -> Result<Vec<Uri>, Failure> {
        let uri = |text: &String| match format!("turn:{text}").parse() {
            Ok(bare) if login.is_some() || self.config.is_some() => Ok(bare),
            Ok(_) | Err(_) => text.parse(),
        };
        let uris: Result<Vec<Uri>, NotAUri> = self.servers.iter().map(uri).collect();
        let uris = uris.expect("they were parsed as arguments");
        let is_stun = |uri: &Uri| uri.service == Service::Stun;
        let is_for_turn = login.is_some() || self.realm.is_some();
        if is_for_turn && !uris.is_empty() && uris.iter().all(is_stun) {
            return Err(Failure::Usage(STUN_ONLY));
        }
        Ok(uris)
    }

    fn examine(
        &self,
        examination: &Examination,
        config: Option<&Config>,
    ) -> Result<Vec<Finding>, Failure> {
        let runtime = runtime()?;
        let bar = if stderr().is_terminal() {
            ProgressBar::new_spinner().with_message("examining")
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let servers = probe::doctor::examine(examination, |uri| {
            bar.set_message(format!("examined {uri}"));
        });
        // All at the same time, so that everything ends in time.
        let host = async {
            match config {
                Some(config) => host::examine(config, &self.outside).await,
                None => Vec::new(),
            }
        };
        let (servers, host) = runtime.block_on(async { tokio::join!(servers, host) });
        bar.finish_and_clear();
        let mut findings = servers?;
        findings.extend(host);
        Ok(findings)
    }
}

/// How many findings of a severity there are.
fn count(findings: &[Finding], severity: Severity) -> usize {
    let of = findings.iter();
    of.filter(|it| it.code.severity() == severity).count()
}

/// Refuses what is no URI while the command line is read.
fn a_uri(text: &str) -> Result<String, NotAUri> {
    text.parse::<Uri>().map(|_| text.to_owned())
}

const STUN_ONLY: &str = "stun: and stuns: servers take neither credentials nor realm: \
    name the server as turn: or turns:";

const AFTER_HELP: &str = "\
Examples:
  hairpin doctor turn:turn.example.org --secret-file secret
  hairpin doctor turn:turn.example.org turns:turn.example.org:443?transport=tcp \\
      --user alice --password-file pw
  sudo hairpin doctor --config /etc/hairpin/turnserver.toml
                                             on the server itself
  hairpin doctor stun:stun.example.org       as a client without credentials

Exit codes:
  0  no errors; there may be warnings
  1  at least one error, or the examination failed
  2  the command line or the configuration is wrong";
