//! `cargo xtask bench flood`: the effect of many strangers' requests on running sessions.
//!
//! The measurement is a test of `tests/hostile`, which is left out of test runs because its numbers
//! depend on the machine. The server has processor 0 to itself; strangers, clients and peers share
//! processor 1, in a network namespace of their own.

use super::processors::Processors;
use crate::command::{cargo, run};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The size of the flood.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Flood {
    /// Requests of strangers a second
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
    /// How long they ask
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// Runs the measurement, which prints what it finds.
pub(super) fn measure(flood: Flood, workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(workspace).args(["build", "--release", "--bin", "hairpin"]))?;
    run(cargo(workspace).args(["test", "--test", "hostile", "--no-run"]))?;
    let cargo_itself = cargo(workspace)
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut measuring = Processors::of_this_process().for_load(&cargo_itself);
    measuring
        .current_dir(workspace.root())
        .args(["test", "--test", "hostile", "--"])
        .args(["--ignored", "--exact", "--nocapture", MEASUREMENT])
        .env("HAIRPIN_BIN", workspace.target().join("release/hairpin"))
        .env("HAIRPIN_FLOOD_RATE", flood.rate.to_string())
        .env("HAIRPIN_FLOOD_SECONDS", flood.seconds.to_string());
    run(&mut measuring)
}

const MEASUREMENT: &str = "reflection::twenty_sessions_beside_a_flood_are_measured";
