//! `cargo xtask load`: the cost of a relayed packet, Hairpin beside Debian's coturn, in one run.
//!
//! Both servers run by turns on processor 0 under the same load from coturn's own client and echo
//! peer on processor 1, through channels and both ways. The result is the processor time of the
//! server, as the kernel accounts it: that is reliable on a busy machine, too. All traffic stays on
//! loopback.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::background::Background;
use crate::command::{cargo, output, run};
use crate::failure::Failure;
use crate::flood::{self, Flood};
use crate::workspace::{self, Workspace};

/// The size of the load.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Load {
    /// Turns of each server
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Clients that send at once
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Messages of each client; each is relayed to the peer and back
    #[arg(long, default_value_t = 3000)]
    messages: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 1000)]
    length: usize,
    #[command(flatten)]
    flood: Flood,
}

/// Compares servers, or floods one.
pub(crate) fn measure(load: Load, workspace: &Workspace) -> Result<(), Failure> {
    if load.flood.flood {
        flood::measure(load.flood, workspace)
    } else {
        compare(load, workspace)
    }
}

/// Runs both servers by turns and prints their costs.
fn compare(load: Load, workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(workspace).args(["build", "--release", "--bin", "hairpin"]))?;
    let place = workspace.target().join("load");
    let config = place.join("turnserver.toml");
    write(&place, &config)?;
    let hairpin = workspace.target().join("release/hairpin");
    let mut costs: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=load.rounds {
        let servers = [hairpin_command(&hairpin, &config), coturn_command(&place)];
        for (mut server, costs) in servers.into_iter().zip(&mut costs) {
            costs.push(cost(&mut server, load)?);
        }
        let [ours, theirs] = costs.each_ref().map(|costs| costs[round - 1]);
        println!(
            "round {round}: hairpin {ours:.2}, coturn {theirs:.2} CPU seconds per million packets"
        );
    }
    let [ours, theirs] = costs.map(median);
    println!(
        "median: hairpin {ours:.2}, coturn {theirs:.2}, ratio {:.2}",
        ours / theirs
    );
    Ok(())
}

/// CPU seconds of the server per million relayed packets.
fn cost(server: &mut Command, load: Load) -> Result<f64, Failure> {
    let server = start(server)?;
    let mut peer = pinned("1", "turnutils_peer");
    let _peer = start(peer.args(["-L", LOOPBACK, "-p", PEER_PORT]))?;
    sleep(START_UP);
    let before = cpu_seconds(&server)?;
    let mut client = pinned("1", "turnutils_uclient");
    let Load {
        clients,
        messages,
        length,
        ..
    } = load;
    let line = format!(
        "-c -u {USER} -w {PASSWORD} -z 1 -e {LOOPBACK} -r {PEER_PORT} -m {clients} -n {messages} -l {length} {LOOPBACK}"
    );
    client.args(line.split(' '));
    let told = output(&mut client)?;
    let spent = cpu_seconds(&server)? - before;
    // Each message passes the server on its way out, and each that came back once more.
    let packets = last_number(&told, "tot_send_msgs=") + last_number(&told, "tot_recv_msgs=");
    Ok(spent / packets * 1e6)
}

fn hairpin_command(binary: &Path, config: &Path) -> Command {
    let mut command = pinned("0", binary);
    command.arg("serve").arg("--config").arg(config);
    command
}

fn coturn_command(place: &Path) -> Command {
    let mut command = pinned("0", "turnserver");
    let line = format!(
        "-n --no-cli --no-tls --no-dtls --lt-cred-mech --realm load.test --user {USER}:{PASSWORD} \
         -L {LOOPBACK} -E {LOOPBACK} --allow-loopback-peers --relay-threads 1 --log-file stdout"
    );
    command.args(line.split(' '));
    command
        .arg("--pidfile")
        .arg(place.join("pid"))
        .arg("--userdb")
        .arg(place.join("users"));
    command
}

pub(crate) fn pinned(processor: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", processor]).arg(program);
    command
}

fn write(place: &Path, config: &Path) -> Result<(), Failure> {
    let failure = |source| Failure::File {
        path: place.to_owned(),
        source,
    };
    fs::create_dir_all(place).map_err(failure)?;
    fs::write(config, CONFIG).map_err(failure)
}

/// Starts a program whose output nobody reads.
fn start(command: &mut Command) -> Result<Background, Failure> {
    let program = Background::start(command.stdin(Stdio::null()), "/dev/null".into());
    sleep(START_UP);
    program
}

/// User and system time of a program so far; `taskset` has become the program itself.
fn cpu_seconds(program: &Background) -> Result<f64, Failure> {
    let stat = workspace::read(Path::new(&format!("/proc/{}/stat", program.id())))?;
    // The second field, a name in parentheses, may hold spaces. proc_pid_stat(5)
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// The number behind the last place where `name` stands: the client repeats its totals.
fn last_number(told: &str, name: &str) -> f64 {
    let digits = told.rsplit(name).next().unwrap_or_default();
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(f64::NAN)
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().unwrap_or(f64::NAN)
}

const LOOPBACK: &str = "127.0.0.1";
const PEER_PORT: &str = "3490";
const USER: &str = "alice";
const PASSWORD: &str = "wonderland";
const START_UP: Duration = Duration::from_millis(500);

/// The unit of the kernel's accounts, which is the same for every program.
const TICKS_PER_SECOND: f64 = 100.0;

const CONFIG: &str = r#"
realm = "load.test"
threads = 1
[[listener]]
transport = "udp"
listen = "127.0.0.1:3478"
[relay]
addresses = ["127.0.0.1"]
[auth.users]
alice = "wonderland"
[peers]
allow = ["127.0.0.0/8"]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_total_counts() {
        let told =
            "tot_send_msgs=10, tot_recv_msgs=9\n0: tot_send_msgs=60000, tot_recv_msgs=59999\n";
        assert_eq!(last_number(told, "tot_send_msgs="), 60_000.0);
        assert_eq!(last_number(told, "tot_recv_msgs="), 59_999.0);
        assert!(last_number("nothing", "tot_recv_msgs=").is_nan());
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
