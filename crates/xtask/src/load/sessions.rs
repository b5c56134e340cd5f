//! The cost of a client beside its packets: its memory, and its handshake.

use std::path::Path;

use super::over::Over;
use super::{LOOPBACK, PEER_PORT, client, cpu_seconds, pinned, start};
use crate::background::Background;
use crate::command::output;
use crate::failure::Failure;
use crate::workspace;

/// The most memory of the server while many clients have an allocation each, in KiB per client.
pub(super) fn memory(server: &Background, over: Over) -> Result<f64, Failure> {
    let mut peer = pinned("1", "turnutils_peer");
    let _peer = start(peer.args(["-L", LOOPBACK, "-p", PEER_PORT]))?;
    // What the first clients cost is not theirs alone.
    output(&mut client(over, "-z 20 -m 10 -n 10 -l 100"))?;
    let before = peak(server)?;
    output(&mut client(
        over,
        &format!("-z 100 -m {CLIENTS} -n 20 -l 100"),
    ))?;
    Ok((peak(server)? - before) / f64::from(CLIENTS))
}

/// CPU milliseconds of the server per whole handshake of TLS 1.3, as fast as one client makes them.
pub(super) fn handshake(server: &Background) -> Result<f64, Failure> {
    let before = cpu_seconds(server)?;
    let mut client = pinned("1", "openssl");
    let line = format!("s_time -new -time {SECONDS} -connect {LOOPBACK}:5349");
    let told = output(client.args(line.split(' ')))?;
    let spent = cpu_seconds(server)? - before;
    Ok(spent * 1000.0 / handshakes(&told))
}

/// The client says last how many there were, and in how many seconds.
fn handshakes(told: &str) -> f64 {
    let line = told
        .lines()
        .rev()
        .find(|line| line.contains(" real seconds"));
    let first = line.and_then(|line| line.split_whitespace().next());
    first
        .and_then(|count| count.parse().ok())
        .unwrap_or(f64::NAN)
}

/// The most memory that a program had, in KiB.
fn peak(program: &Background) -> Result<f64, Failure> {
    let path = format!("/proc/{}/status", program.id());
    let status = workspace::read(Path::new(&path))?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = size.and_then(|size| size.split_whitespace().next());
    Ok(size.and_then(|size| size.parse().ok()).unwrap_or(f64::NAN))
}

const CLIENTS: u32 = 400;
const SECONDS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_handshakes_is_the_last_one() {
        let told = "\n2931 connections in 1.63s; 1798.16 connections/user sec, bytes read 0\n\
                    2931 connections in 5 real seconds, 0 bytes read per connection\n";
        assert_eq!(handshakes(told), 2931.0);
        assert!(handshakes("nothing").is_nan());
    }
}
