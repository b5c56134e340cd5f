//! `hairpin completions`: a script with which a shell completes this command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, print};

/// Print a completion script for a shell.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Completions {
    /// The shell to complete in.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "hairpin", &mut script);
        print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin completions bash > ~/.local/share/bash-completion/completions/hairpin
  hairpin completions zsh > ~/.zfunc/_hairpin
  hairpin completions fish > ~/.config/fish/completions/hairpin.fish";
