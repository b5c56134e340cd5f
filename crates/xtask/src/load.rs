//! `cargo xtask load`: the cost of a relayed packet, Hairpin beside Debian's coturn, in one run.
//!
//! Both servers run by turns on processor 0 under the same load from coturn's own client and echo
//! peer on processor 1, through channels and both ways, over each transport that is asked for. The
//! result is the processor time of the server, as the kernel accounts it: that is reliable on a busy
//! machine, too. Over TLS a handshake has its cost, and on streams a client its memory. All traffic
//! stays on loopback.

mod over;
mod sessions;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::background::Background;
use crate::command::{cargo, output, run};
use crate::failure::Failure;
use crate::flood::{self, Flood};
use crate::workspace::{self, Workspace};
use over::Over;

/// The size of the load.
#[derive(Clone, clap::Args)]
pub(crate) struct Load {
    /// Transports of the clients, one after the other
    #[arg(long, value_delimiter = ',', default_value = "udp")]
    over: Vec<Over>,
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
        compare(&load, workspace)
    }
}

/// Runs both servers by turns and prints their costs.
fn compare(load: &Load, workspace: &Workspace) -> Result<(), Failure> {
    let servers = Servers::prepare(workspace)?;
    println!(
        "load average: {}",
        workspace::read(Path::new("/proc/loadavg"))?.trim()
    );
    for over in load.over.iter().copied() {
        in_rounds(over, "CPU seconds per million packets", load.rounds, || {
            servers.each(|server| cost(server, over, load))
        })?;
        if over.is_stream() {
            in_rounds(over, "KiB of memory per client", 1, || {
                servers.each(|server| sessions::memory(server, over))
            })?;
        }
        if over == Over::Tls {
            in_rounds(over, "CPU milliseconds per handshake", load.rounds, || {
                servers.each(sessions::handshake)
            })?;
        }
    }
    Ok(())
}

/// Measures both servers by turns, ours first, and prints what was found.
fn in_rounds(
    over: Over,
    unit: &str,
    rounds: usize,
    measure: impl Fn() -> Result<[f64; 2], Failure>,
) -> Result<(), Failure> {
    let mut found: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        let both = measure()?;
        for (all, one) in found.iter_mut().zip(both) {
            all.push(one);
        }
        let [ours, theirs] = both;
        println!("{over}, round {round}: hairpin {ours:.2}, coturn {theirs:.2} {unit}");
    }
    let [ours, theirs] = found.map(median);
    println!(
        "{over}, median: hairpin {ours:.2}, coturn {theirs:.2} {unit}, ratio {:.2}",
        ours / theirs
    );
    Ok(())
}

/// The servers' programs and files.
struct Servers {
    hairpin: PathBuf,
    place: PathBuf,
}

impl Servers {
    fn prepare(workspace: &Workspace) -> Result<Self, Failure> {
        let place = workspace.target().join("load");
        let failure = |source| Failure::File {
            path: place.clone(),
            source,
        };
        fs::create_dir_all(&place).map_err(failure)?;
        fs::write(place.join("turnserver.toml"), CONFIG).map_err(failure)?;
        let [certificate, key] = [CERTIFICATE, KEY].map(|name| place.join(name));
        let mut openssl = Command::new("openssl");
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                    -subj /CN=load.test -addext subjectAltName=IP:127.0.0.1,DNS:load.test";
        openssl.args(line.split_whitespace());
        openssl.arg("-out").arg(certificate).arg("-keyout").arg(key);
        output(&mut openssl)?;
        let hairpin = match env::var_os("HAIRPIN_BIN") {
            Some(named) => named.into(),
            None => {
                run(cargo(workspace).args(["build", "--release", "--bin", "hairpin"]))?;
                workspace.target().join("release/hairpin")
            }
        };
        Ok(Self { hairpin, place })
    }

    /// What is measured of each, while it runs.
    fn each(
        &self,
        measure: impl Fn(&Background) -> Result<f64, Failure>,
    ) -> Result<[f64; 2], Failure> {
        let mut found = [0.0; 2];
        for (mut command, found) in [self.hairpin(), self.coturn()].into_iter().zip(&mut found) {
            let server = start(&mut command)?;
            *found = measure(&server)?;
        }
        Ok(found)
    }

    fn hairpin(&self) -> Command {
        let mut command = pinned("0", &self.hairpin);
        command.current_dir(&self.place);
        command.args(["serve", "--config", "turnserver.toml"]);
        command
    }

    fn coturn(&self) -> Command {
        let mut command = pinned("0", "turnserver");
        command.current_dir(&self.place);
        let line = format!(
            "-n --no-cli --no-dtls --lt-cred-mech --realm load.test --user {USER}:{PASSWORD} \
             -L {LOOPBACK} -E {LOOPBACK} --allow-loopback-peers --relay-threads 1 --min-port 20000 --max-port 29999 --log-file stdout \
             --cert {CERTIFICATE} --pkey {KEY} --pidfile pid --userdb users"
        );
        command.args(line.split_whitespace());
        command
    }
}

/// CPU seconds of the server per million relayed packets.
fn cost(server: &Background, over: Over, load: &Load) -> Result<f64, Failure> {
    let mut peer = pinned("1", "turnutils_peer");
    let _peer = start(peer.args(["-L", LOOPBACK, "-p", PEER_PORT]))?;
    let before = cpu_seconds(server)?;
    let Load {
        clients,
        messages,
        length,
        ..
    } = *load;
    let line = format!("-z 1 -m {clients} -n {messages} -l {length}");
    let told = output(&mut client(over, &line))?;
    let spent = cpu_seconds(server)? - before;
    // Each message passes the server on its way out, and each that came back once more.
    let packets = last_number(&told, "tot_send_msgs=") + last_number(&told, "tot_recv_msgs=");
    Ok(spent / packets * 1e6)
}

/// Coturn's client over a transport, whose messages the peer on this host sends back.
fn client(over: Over, more: &str) -> Command {
    let mut client = pinned("1", "turnutils_uclient");
    let line = format!(
        "-c -u {USER} -w {PASSWORD} -e {LOOPBACK} -r {PEER_PORT} {more} {} {LOOPBACK}",
        over.flags()
    );
    client.args(line.split_whitespace());
    client
}

pub(crate) fn pinned(processor: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", processor]).arg(program);
    command
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
const CERTIFICATE: &str = "load.pem";
const KEY: &str = "load.key";
const START_UP: Duration = Duration::from_millis(500);

/// The unit of the kernel's accounts, which is the same for every program.
const TICKS_PER_SECOND: f64 = 100.0;

const CONFIG: &str = r#"
realm = "load.test"
threads = 1
[[listener]]
transport = "udp"
listen = "127.0.0.1:3478"
[[listener]]
transport = "tcp"
listen = "127.0.0.1:3478"
[[listener]]
transport = "tls"
listen = "127.0.0.1:5349"
[[tls.certificates]]
cert = "load.pem"
key = "load.key"
[tcp]
# The handshakes of one network are bounded with its connections.
per-prefix = 1000000
[unauthenticated]
per-prefix = "unlimited"
total = "unlimited"
[allocation]
per-user = 0
[relay]
addresses = ["127.0.0.1"]
# Below those that clients get from the system.
ports = "20000-29999"
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
