//! `cargo xtask bench`: Hairpin, coturn and plain forwarders under the same loads, by turns, as a table.
//!
//! Each measurement starts a server and puts `hairpin bench` on it ([`turn`]), in a network namespace of its own in which
//! there is only loopback. The server has one processor and the load another one ([`processors`]), except in rows that
//! say otherwise ([`rows`]). Servers go by turns, so that a machine whose speed changes is the same to all of them, and
//! the table has medians ([`table`]). [`soak`] is a load for minutes, [`flood`] one of strangers.

mod flood;
mod found;
mod machine;
mod processors;
mod rows;
mod servers;
mod soak;
mod table;
mod turn;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::failure::Failure;
use crate::namespaces;
use crate::tools;
use crate::workspace::Workspace;
use found::Results;
use machine::Machine;
use rows::{ROWS, Row};
use servers::{Kind, Programs};
use turn::Turn;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(flatten)]
    table: Table,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// Another measurement in place of the table.
#[derive(clap::Subcommand)]
enum Instead {
    /// Holds Hairpin at 80 % of its highest rate for minutes, with allocations that come and go, and fails if it loses
    /// packets or keeps memory
    Soak(soak::Soak),
    /// Floods Hairpin with strangers' requests beside twenty sessions, and tells what those notice
    Flood(flood::Flood),
}

/// The size of the table.
#[derive(clap::Args)]
struct Table {
    /// Measure these rows only; a beginning is enough, as in `--only burst,tcp`
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure these servers only
    #[arg(long, value_name = "SERVER", value_delimiter = ',', value_enum)]
    servers: Vec<Kind>,
    /// Turns of each server; the table has the median, the lowest and the highest
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement, after a tenth of it to warm up
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    duration: Duration,
    /// Write every measurement to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the names of the rows with their loads, and measure nothing
    #[arg(long)]
    list: bool,
}

/// Carries out what the command line asks for.
pub(crate) fn run(bench: Bench, workspace: &Workspace) -> Result<(), Failure> {
    match bench.instead {
        None if bench.table.list => {
            print!("{}", rows::list());
            Ok(())
        }
        None => measure(&bench.table, workspace),
        Some(Instead::Soak(soak)) => soak.run(workspace),
        Some(Instead::Flood(flood)) => flood::measure(flood, workspace),
    }
}

/// Measures all rows and prints the table.
fn measure(table: &Table, workspace: &Workspace) -> Result<(), Failure> {
    let rows = chosen(&table.only)?;
    let programs = prepare(workspace)?;
    let machine = Machine::look(&programs, workspace);
    let mut results = Results::default();
    for round in 1..=table.rounds {
        for row in &rows {
            eprint!("{round}/{} {:<18}", table.rounds, row.name);
            let wanted = |kind: &&Kind| table.servers.is_empty() || table.servers.contains(kind);
            for kind in row.servers.iter().filter(wanted).copied() {
                let turn = Turn::new(&programs, row, kind);
                match turn.measure(table.duration) {
                    Ok(found) => {
                        eprint!("  {kind} {}", found.told(row));
                        results.add(row, kind, found);
                    }
                    Err(failure) => {
                        eprint!("  {kind} failed");
                        results.fail(row, kind, &failure);
                    }
                }
            }
            eprintln!();
        }
    }
    let size = format!(
        "Rounds by turns: {}, of {} s each",
        table.rounds,
        table.duration.as_secs_f64()
    );
    print!("{}", table::markdown(&machine, &size, &rows, &results));
    if let Some(path) = &table.json {
        let text = table::json(&machine, &size, &rows, &results);
        fs::write(path, text).map_err(|source| Failure::File {
            path: path.clone(),
            source,
        })?;
    }
    Failure::unless_empty(results.failures)
}

/// Installs and builds what is measured, and enters a network namespace.
fn prepare(workspace: &Workspace) -> Result<Programs, Failure> {
    tools::install_programs(&["ip", "openssl", "taskset", "turnserver"])?;
    let programs = Programs::prepare(workspace)?;
    namespaces::enter_own()?;
    allow_many_files();
    Ok(programs)
}

/// Thousands of clients are as many sockets, of the load and of the servers, which have the limit of this process.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it cannot be, the rows that need it fail and say so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// The rows whose names begin so; all of them if no beginning is given.
fn chosen(only: &[String]) -> Result<Vec<&'static Row>, Failure> {
    let unknown = |beginning: &&String| !ROWS.iter().any(|row| row.name.starts_with(*beginning));
    Failure::unless_empty(only.iter().filter(unknown).map(|beginning| {
        format!("no row begins with `{beginning}`; `cargo xtask bench --list` names them")
    }))?;
    let is_chosen = |row: &&Row| only.is_empty() || only.iter().any(|it| row.name.starts_with(it));
    Ok(ROWS.iter().filter(is_chosen).collect())
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err("expected seconds, as 2 or 0.5"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_their_beginnings_and_an_unknown_one_is_refused() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|it| (*it).to_owned()).collect();
            chosen(&only).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&["up-1", "idle-tcp"]).unwrap(),
            ["up-160", "up-1200", "idle-tcp"]
        );
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        let refused = names(&["up", "sideways"]).unwrap_err().to_string();
        assert!(refused.contains("`sideways`"), "{refused}");
    }

    #[test]
    fn a_duration_is_a_number_of_seconds_above_none() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "2s", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
