//! The project's own checks and its test command: `cargo xtask`.
//!
//! A *step* is a name and a verdict. Steps that read the workspace are values in, findings out, each in a file of its
//! own ([`layers`], [`purity`], [`paths`], [`links`], [`promised`]); the rest run a program ([`check`], [`suite`],
//! [`tools`], [`load`]). [`steps`] times them and sums up.

mod background;
mod check;
mod clients;
mod command;
mod failure;
mod flood;
mod layers;
mod links;
mod load;
mod namespaces;
mod one_test;
mod paths;
mod promised;
mod purity;
mod python;
mod steps;
mod suite;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use check::Check;
use steps::Steps;
use workspace::Workspace;

/// The project's own checks and its test command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks what can be read off the sources: format, lints, documentation, architecture, licences
    #[command(after_help = "Examples:\n  cargo xtask check\n  cargo xtask check layers licences")]
    Check {
        /// The checks to run; all of them when none is named
        checks: Vec<Check>,
    },
    /// Installs what the tests need, then checks, then runs every test; this is what CI runs
    ///
    /// As root on Debian, missing tools are installed. Otherwise the line that installs them is printed and the command
    /// fails: no test is skipped for want of a tool.
    Test {
        /// Only the tests with this in their names, in debug; nothing is installed outside of target/
        name: Option<String>,
    },
    /// Installs what the tests need and nothing else
    Tools,
    /// Measures what a relayed packet costs, against Debian's coturn (package coturn) in the same run, or what a flood
    /// costs
    Load(load::Load),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut steps = Steps::default();
    let outcome = Workspace::load().and_then(|workspace| match arguments.task {
        Task::Check { checks } => {
            let chosen = |check| checks.is_empty() || checks.contains(&check);
            check::run(chosen, &workspace, &mut steps)
        }
        Task::Test { name: None } => suite::run(&workspace, &mut steps),
        Task::Test { name: Some(part) } => one_test::run(&part, &workspace, &mut steps),
        Task::Load(load) => load::measure(load, &workspace),
        Task::Tools => steps.run("tools", || tools::install(&workspace)),
    });
    steps.sum_up();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
