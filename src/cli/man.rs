//! `hairpin man`: the manual, made of the help texts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};

use super::{Cli, Failure, print};

/// Print the man page, or write one per subcommand.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Man {
    /// Write hairpin.1 and a page per subcommand into this directory instead.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.output {
            Some(directory) => write_pages(&directory)?,
            None => print_page()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_page() -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(Failure::Output)?;
    print(&String::from_utf8_lossy(&page))
}

fn write_pages(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|source| Failure::ManPages {
            path: directory.to_owned(),
            source,
        })
}

const AFTER_HELP: &str = "\
Examples:
  hairpin man | man -l -
  hairpin man --output /usr/local/share/man/man1";
