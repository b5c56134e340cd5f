//! `hairpin check`: whether the configuration is right, and what it means.

mod keys;
mod summary;

use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, Failure, print};
use crate::config::Machine;
use summary::Summary;

/// Check the configuration and say what it means.
///
/// Every mistake is shown with its file, line and column and what to write
/// instead. A file without mistakes is followed by the configuration in effect.
/// Secrets and passwords are never shown.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,

    /// Instead, list the keys that a configuration may have: those with these words in their name,
    /// help or coturn's name, or all.
    #[arg(long, value_name = "WORDS", num_args = 0..=1, default_missing_value = "")]
    keys: Option<String>,

    /// List the keys as JSON.
    #[arg(long, requires = "keys")]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(words) = &self.keys {
            return keys::list(words, self.json);
        }
        let host = Machine::here()?;
        let loaded = self.config.load(&host)?;
        let summary = Summary {
            config: &loaded.config,
            has_file: self.config.path().is_some(),
        };
        print(&format!("ok: {}\n{summary}", loaded.source))?;
        Ok(ExitCode::SUCCESS)
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin check
  hairpin check --config turnserver.toml && systemctl restart hairpin
  hairpin check --keys                     every key, its default and what it is for
  hairpin check --keys user-quota          what is coturn's user-quota here

Exit codes: 0 right, 1 failed, 2 wrong usage or configuration.";
