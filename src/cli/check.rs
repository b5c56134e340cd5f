//! `hairpin check`: whether the configuration is right, and what it means.

mod keys;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};

use super::admin::{Asking, Difference, against_running};
use super::{ConfigFile, Failure, print};
use crate::config::{Loaded, Machine};
use crate::serve::buffers::UdpMemory;
use summary::Summary;

/// Check the configuration and say what it means.
///
/// Every mistake is shown with its file, line and column, and with a correction. For a file
/// without mistakes the configuration in effect is shown. Secrets and passwords are never
/// shown.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP, group = ArgGroup::new("listed").args(["keys", "against_running"]))]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,

    /// List the keys that a configuration may have, in place of the check: all of them, or
    /// those with these words in their name, their help or coturn's name.
    #[arg(long, value_name = "WORDS", num_args = 0..=1, default_missing_value = "")]
    keys: Option<String>,

    /// Also list the keys that a reload would change in the running server, and those that would
    /// need a restart. Nothing changes. FILE must be the file that the server uses; without
    /// --config it is that one.
    #[arg(long, conflicts_with = "keys")]
    against_running: bool,

    /// The socket of the running server, as for `hairpin status`.
    #[arg(long, value_name = "PATH", env = "HAIRPIN_SOCKET")]
    socket: Option<PathBuf>,

    /// List the keys as JSON; with --against-running the difference, in place of the
    /// configuration in effect.
    #[arg(long, requires = "listed")]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(words) = &self.keys {
            return keys::list(words, self.json);
        }
        let host = Machine::here()?;
        if self.against_running && self.config.path().is_none() {
            return check_running(&Asking::at(self.socket, self.json), &host);
        }
        let loaded = self.config.load(&host)?;
        let is_written = self.config.path().is_some() || !loaded.text.expose().is_empty();
        say(&loaded, is_written, self.json)?;
        if let Some(file) = self.config.path().filter(|_| self.against_running) {
            against_running(&Asking::at(self.socket.clone(), self.json), file)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks the file of the running server, whose path only that server knows. The defaults of a
/// server without a file are not what runs, so they are never said here.
fn check_running(asking: &Asking, host: &Machine) -> Result<ExitCode, Failure> {
    let difference = Difference::ask(asking)?;
    match difference.file() {
        Some(file) => {
            let config = ConfigFile::at(file);
            say(&config.load(host)?, true, asking.is_json())?;
        }
        None if asking.is_json() => {}
        None => print("the running server reads no file: its environment configures it\n")?,
    }
    difference.print(asking)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what a configuration means, unless only its warnings are wanted.
fn say(loaded: &Loaded, has_file: bool, warnings_only: bool) -> Result<(), Failure> {
    let summary = Summary {
        config: &loaded.config,
        has_file,
        ungenerated: loaded.ungenerated.as_deref(),
        together: loaded.config.offload.find(),
        memory: UdpMemory::here(),
    };
    if let Some(lack) = summary.memory.lack(&loaded.config) {
        eprintln!("warning: {lack}\n");
    }
    if summary.serves_nobody() {
        eprintln!(
            "warning: nobody can allocate: there are neither secrets nor users\n  \
             = help: add `secrets`, `generated-secret-file` or `[auth.users]` under `[auth]`, unless this is to \
             be a STUN server only\n"
        );
    }
    if warnings_only {
        return Ok(());
    }
    print(&format!("ok: {}\n{summary}", loaded.source))
}

const AFTER_HELP: &str = "\
Examples:
  hairpin check
  hairpin check --config turnserver.toml && systemctl restart hairpin
  hairpin check --against-running          the file of the running server, and the keys that
                                           a reload of it would change
  hairpin check --keys                     every key, its default and its purpose
  hairpin check --keys user-quota          the key for coturn's user-quota

Exit codes: 0 right, 1 failed, 2 wrong usage or configuration.";
