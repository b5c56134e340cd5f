//! The project's own checks and its test command: `cargo xtask`.
//!
//! A *step* is a name and a verdict. Steps that read the workspace are values in, findings out, each in a file of its
//! own ([`layers`], [`purity`], [`paths`], [`links`], [`promised`]); the rest run a program ([`check`], [`suite`],
//! [`tools`], [`mod@bench`], [`package`]). [`steps`] times them and sums up.

mod background;
mod bench;
mod check;
mod clients;
mod command;
mod failure;
mod layers;
mod links;
mod load;
mod logs;
mod markdown;
mod namespaces;
mod one_test;
mod package;
mod paths;
mod promised;
mod purity;
mod python;
mod semver;
mod steps;
mod suite;
mod tables;
mod told;
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
    /// Measures Hairpin, coturn and plain forwarders under the same loads, by turns, and prints a table
    ///
    /// It installs coturn if it is missing (as root on Debian), builds the release server, and measures in a network
    /// namespace of its own: the server on one processor, the load on another one. HAIRPIN_BIN and HAIRPIN_TEST_FORWARDER
    /// name programs that are built already. The table is Markdown; progress goes to the error output.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(bench::Bench),
    /// Makes the packages of a release: deb, rpm, static archive, container image
    #[command(
        after_help = "Examples:\n  cargo xtask package deb\n  cargo xtask package static container --target aarch64-unknown-linux-musl --out packages"
    )]
    Package(package::Package),
    /// Compares the crates that others embed with an earlier release: a change that breaks them needs another version
    #[command(after_help = "Example:\n  cargo xtask semver v0.1.0")]
    Semver {
        /// A tag or another commit
        since: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut steps = Steps::begin();
    let outcome = Workspace::load().and_then(|workspace| match arguments.task {
        Task::Check { checks } => {
            let chosen = |check| checks.is_empty() || checks.contains(&check);
            check::run(chosen, &workspace, &mut steps)
        }
        Task::Test { name: None } => suite::run(&workspace, &mut steps),
        Task::Test { name: Some(part) } => one_test::run(&part, &workspace, &mut steps),
        Task::Bench(bench) => bench::run(bench, &workspace),
        Task::Package(package) => package::make(package, &workspace),
        Task::Semver { since } => semver::check(&since, &workspace),
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

const BENCH_EXAMPLES: &str = "\
Examples:
  cargo xtask bench                               all rows, five rounds of 2 s: about 20 minutes
  cargo xtask bench --rounds 3 --duration 1       the same in about 8 minutes
  cargo xtask bench --only burst,relay            the rows whose names begin so
  cargo xtask bench --only up-160 --servers hairpin,forwarder
  cargo xtask bench --list                        the names of the rows
  cargo xtask bench soak --minutes 10             80 % of the highest rate, held
  cargo xtask bench flood --rate 100000           strangers' requests beside twenty sessions

The machine should be quiet: the first line of the result says whether it was.";
