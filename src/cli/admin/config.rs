//! `hairpin config`: the configuration in force.

use std::process::ExitCode;

use admin::api::configuration::Configuration;
use clap::Args;
use hyper::Method;

use super::Asking;
use crate::cli::Failure;

/// Show the configuration that the running server uses: the keys of its file, and the values of
/// those that the file leaves out. Secrets are hidden.
///
/// A key whose new value waits for a restart is shown with its old one. Later changes of the
/// file are found by `hairpin check --against-running`.
#[derive(Args)]
#[command(after_long_help = "Examples:\n  hairpin config\n  hairpin config --json")]
pub(in crate::cli) struct ShowConfig {
    #[command(flatten)]
    asking: Asking,
}

impl ShowConfig {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        self.asking.run(Method::GET, "/v1/config", &(), words)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn words(configuration: Configuration) -> String {
    let mut text = format!("# in force, from {}\n", configuration.source);
    for key in configuration.needs_restart {
        text += &format!("# {key} was changed, and needs a restart\n");
    }
    // No value of a configuration is null.
    text + "\n" + &toml::to_string_pretty(&configuration.values).unwrap_or_default()
}
