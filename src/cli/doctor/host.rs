//! Findings that only the host can give: its ports, limits, buffers, firewall, and the unit's
//! sandbox.

mod process;
mod sockets;

use std::fs;
use std::path::Path;

use probe::Uri;
use probe::doctor::{Code, Finding, reflexive_address};
use relay::Transport;

use crate::config::{Config, Listener};
use process::Process;
use sockets::UdpTable;

/// Examines this host by its configuration.
pub(super) async fn examine(config: &Config, outside: &Uri) -> Vec<Finding> {
    let mut findings = Vec::new();
    let table = UdpTable::read();
    let server = Process::serving();
    findings.extend(listeners(config, &table));
    findings.extend(relay_ports(config, &table));
    findings.extend(buffers(server.as_ref()));
    findings.extend(firewall());
    if let Some(server) = server {
        findings.extend(files(config, &server));
        findings.extend(sandbox(&server));
    }
    findings.extend(compare_external(config, outside).await);
    findings
}

/// Compares this host's addresses, as the Internet sees them, with `[relay] external`.
async fn compare_external(config: &Config, outside: &Uri) -> Vec<Finding> {
    let mut findings = Vec::new();
    // All at the same time: there may be more addresses than can be waited for one by one.
    let asked = config.relay.addresses.iter().map(|relay| {
        let (local, external, outside) = (relay.local, relay.external, outside.clone());
        let seen = tokio::spawn(async move { reflexive_address(&outside, local).await });
        (local, external, seen)
    });
    for (local, external, seen) in asked.collect::<Vec<_>>() {
        match seen.await.ok().flatten() {
            None => {
                let sentence = format!("{outside} does not answer {local}");
                findings.push(finding(Code::ExternalUnknown, sentence));
            }
            Some(seen) if seen != external => {
                let sentence = format!(
                    "{outside} sees {seen} when {local} asks, and {external} is configured"
                );
                findings.push(finding(Code::ExternalDiffers, sentence));
            }
            Some(_) => {}
        }
    }
    findings
}

fn listeners(config: &Config, table: &UdpTable) -> Vec<Finding> {
    let udp = config
        .listeners
        .iter()
        .filter(|listener| listener.transport == Transport::Udp);
    let closed = udp.filter(|listener| table.owner(listener.listen).is_none());
    let sentence = |listener: &Listener| format!("no UDP socket is bound to {}", listener.listen);
    closed
        .map(|listener| finding(Code::ListenerClosed, sentence(listener)))
        .collect()
}

/// Ports of the range that other programs hold: sockets of other users than the listener's.
fn relay_ports(config: &Config, table: &UdpTable) -> Option<Finding> {
    let mut listeners = config.listeners.iter();
    let server = listeners.find_map(|listener| table.owner(listener.listen));
    let ports = config.relay.ports.first()..=config.relay.ports.last();
    let relays: Vec<_> = config
        .relay
        .addresses
        .iter()
        .map(|relay| relay.local)
        .collect();
    let taken = table.ports_of_others(ports.clone(), &relays, server);
    let first = taken.first()?;
    let sentence = format!(
        "{} of the relay ports {}-{} are in use by other programs, {first} for one",
        taken.len(),
        ports.start(),
        ports.end()
    );
    // The server skips a few taken ports by itself.
    (taken.len() * FEW > config.relay.ports.count())
        .then(|| finding(Code::RelayPortsTaken, sentence))
}

/// Compares the limit of open files with the relay sockets, each of which is a file.
fn files(config: &Config, server: &Process) -> Option<Finding> {
    let limit = server.open_files()?;
    let ports = config.relay.ports.count() as u64 * config.relay.addresses.len() as u64;
    let wanted = config
        .allocation
        .total
        .map_or(ports, |total| u64::from(total).min(ports));
    let sentence = format!(
        "the server may open {limit} files, and its configuration allows {wanted} allocations"
    );
    (limit < wanted).then(|| finding(Code::FewFiles, sentence))
}

/// Compares the limit of socket buffers with the server's. A process with CAP_NET_ADMIN is not
/// bound to it. socket(7), SO_RCVBUFFORCE.
fn buffers(server: Option<&Process>) -> Option<Finding> {
    if server.and_then(Process::may_force_buffers) == Some(true) {
        return None;
    }
    let limit: u64 = read("/proc/sys/net/core/rmem_max")?.trim().parse().ok()?;
    let sentence = format!("net.core.rmem_max is {limit}, the server asks for {BUFFER}");
    (limit < BUFFER).then(|| finding(Code::SmallBuffers, sentence))
}

fn firewall() -> Option<Finding> {
    let is_active = [
        (
            "ufw",
            read("/etc/ufw/ufw.conf").is_some_and(|conf| ufw_is_enabled(&conf)),
        ),
        ("firewalld", Path::new("/run/firewalld").exists()),
        (
            "iptables",
            tables("/proc/net/ip_tables_names") || tables("/proc/net/ip6_tables_names"),
        ),
    ];
    let names: Vec<_> = is_active
        .iter()
        .filter(|(_, active)| *active)
        .map(|(name, _)| *name)
        .collect();
    let sentence = format!("{} is active on this host", names.join(" and "));
    (!names.is_empty()).then(|| finding(Code::FirewallHint, sentence))
}

fn tables(path: &str) -> bool {
    read(path).is_some_and(|names| filters(&names))
}

fn ufw_is_enabled(conf: &str) -> bool {
    conf.lines().any(|line| line.trim() == "ENABLED=yes")
}

/// Whether a list of the tables in use has the table that filters.
fn filters(names: &str) -> bool {
    names.lines().any(|name| name == "filter")
}

fn sandbox(server: &Process) -> Option<Finding> {
    let is_sandboxed = server.is_sandboxed()?;
    let sentence = format!(
        "process {} has neither NoNewPrivileges nor a system call filter",
        server.pid()
    );
    (!is_sandboxed).then(|| finding(Code::NotSandboxed, sentence))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn finding(code: Code, sentence: String) -> Finding {
    Finding {
        code,
        uri: None,
        sentence,
    }
}

/// Bytes of receive buffer that the server asks for.
const BUFFER: u64 = net::SOCKET_BUFFER as u64;

/// One port in so many may be another program's.
const FEW: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_counts_where_it_is_switched_on() {
        assert!(ufw_is_enabled("# ufw\nENABLED=yes\nLOGLEVEL=low\n"));
        assert!(!ufw_is_enabled(
            "# set ENABLED=yes to start it\nENABLED=no\n"
        ));
        assert!(filters("nat\nfilter\n"));
        assert!(!filters("nat\nmangle\n"));
        assert!(!filters(""));
    }
}
