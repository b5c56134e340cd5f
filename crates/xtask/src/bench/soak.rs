//! `cargo xtask bench soak`: minutes at 80 % of the highest rate, while allocations come and go.

use std::path::Path;
use std::time::Duration;

use super::found::Found;
use super::rows::{Place, Way};
use super::servers::{Kind, Programs};
use super::{machine::Machine, prepare, turn};
use crate::background::Background;
use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// How long, and how much.
#[derive(clap::Args)]
pub(super) struct Soak {
    /// How long the load is held
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Packets a second, in place of 80 % of the highest rate at which at most 0.5 % are lost
    #[arg(long)]
    rate: Option<u64>,
    /// Allocations that come and go, a second, beside the packets
    #[arg(long, default_value_t = 100)]
    cycles: u64,
}

impl Soak {
    /// Holds the load and judges.
    pub(super) fn run(&self, workspace: &Workspace) -> Result<(), Failure> {
        let programs = prepare(workspace)?;
        println!("{}", Machine::look(&programs, workspace).paragraph());
        let server = programs.start(Kind::Hairpin, Place::Pinned)?;
        let rate = match self.rate {
            Some(rate) => rate,
            None => {
                let highest = load(&programs, &server, RAMP, "--rate ramp")?.rate();
                println!("highest rate: {highest:.0} packets a second");
                (highest * SHARE) as u64
            }
        };
        // The first load of all takes memory that stays, for buffers and tables; so the second one is compared with it.
        let short = Duration::from_secs(1);
        self.beside(&programs, &server, short, rate)?;
        let before = resident(&server)?;
        let duration = Duration::from_secs_f64(self.minutes * 60.0);
        let found = self.beside(&programs, &server, duration, rate)?;
        let grown = resident(&server)?.saturating_sub(before);
        let latency = found.latency.map_or(f64::NAN, |latency| latency.p99);
        let loss = found.loss();
        println!(
            "{rate} packets a second for {} s beside {} allocations a second that came and went: {:.4} % of {} lost, {} damaged, \
             p99 {latency:.0} µs; the server was busy for {:.0} % of the time; memory {before} bytes before, {grown} more \
             after",
            duration.as_secs(),
            self.cycles,
            loss * 100.0,
            found.packets.sent,
            found.packets.damaged,
            found.processors().unwrap_or(f64::NAN) * 100.0,
        );
        let complaints = [
            (loss >= MOST_LOSS).then(|| format!("more than {} % was lost", MOST_LOSS * 100.0)),
            (found.packets.damaged > 0).then(|| "packets were damaged".to_owned()),
            (found.packets.astray > 0).then(|| "packets came to others".to_owned()),
            (grown > MOST_GROWN)
                .then(|| format!("more than {MOST_GROWN} bytes of memory did not return")),
        ];
        Failure::unless_empty(complaints.into_iter().flatten())
    }

    /// Packets at this rate, and allocations that come and go meanwhile.
    fn beside(
        &self,
        programs: &Programs,
        server: &Background,
        duration: Duration,
        rate: u64,
    ) -> Result<Found, Failure> {
        let mut cycles = turn::load(programs, Place::Pinned, duration);
        let line = format!("--mode allocate --flows 4 --rate {}", self.cycles);
        cycles.args(line.split(' '));
        turn::aim(&mut cycles, Way::Udp);
        let coming_and_going = Background::start(&mut cycles, "/dev/null".into())?;
        let found = load(programs, server, duration, &format!("--rate {rate}"))?;
        coming_and_going.join()?;
        Ok(found)
    }
}

/// Packets both ways.
fn load(
    programs: &Programs,
    server: &Background,
    duration: Duration,
    rate: &str,
) -> Result<Found, Failure> {
    let mut load = turn::load(programs, Place::Pinned, duration);
    load.args("--mode both --flows 100 --payload 1000".split(' '));
    load.args(rate.split(' '));
    turn::aim(&mut load, Way::Udp);
    turn::found(load, server)
}

/// The memory of the server, in bytes.
fn resident(server: &Background) -> Result<u64, Failure> {
    let status = workspace::read(Path::new(&format!("/proc/{}/status", server.id())))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(size.unwrap_or(0) * 1024)
}

/// The time in which the highest rate is searched.
const RAMP: Duration = Duration::from_secs(16);
/// The share of it that is held.
const SHARE: f64 = 0.8;
/// One packet in a thousand.
const MOST_LOSS: f64 = 0.001;
/// The most that an allocator may keep of some ten thousand allocations, in bytes.
const MOST_GROWN: u64 = 4 * 1024 * 1024;
