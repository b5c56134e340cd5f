//! Findings that only the host can give: its ports, limits, buffers, firewall, and the unit's
//! sandbox.

mod process;
mod sockets;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use probe::Uri;
use probe::doctor::{Code, Finding, reflexive_address};
use relay::Transport;
use relay::policy::block;

use crate::config::{Config, Listener, Machine};
use crate::serve::buffers::UdpMemory;
use crate::serve::external::Question;
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
    let lack = UdpMemory::here().lack(config);
    findings.extend(lack.map(|lack| finding(Code::LittleUdpMemory, lack)));
    findings.extend(firewall());
    match nftables() {
        Some(chains) => findings.extend(closed(&chains)),
        None => findings.push(finding(
            Code::FirewallUnread,
            "nft lists no rules".to_owned(),
        )),
    }
    if let Some(server) = server {
        findings.extend(files(config, &server));
        findings.extend(sandbox(&server));
    }
    // Found out by the server at its start.
    let mut config = config.clone();
    let found = Question::of(&config).ask(&[]).await;
    config.relay.follow(&Machine::anywhere(), &found);
    findings.extend(compare_external(&config, outside).await);
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
        match seen.await.unwrap_or_else(|panic| Err(panic.into())) {
            Err(why) => {
                let sentence = format!("{outside}, asked from {local}: {why}");
                findings.push(finding(Code::ExternalUnknown, sentence));
                findings.extend(suspect(local, external));
            }
            Ok(seen) if seen != external => {
                let sentence = format!("{outside} sees {seen} when {local} asks");
                let sentence = format!("{sentence}, and {external} is configured");
                findings.push(finding(Code::ExternalDiffers, sentence));
            }
            Ok(_) => {}
        }
    }
    findings
}

/// The finding about an external address that nobody outside confirms and that cannot be right.
fn suspect(local: IpAddr, external: IpAddr) -> Option<Finding> {
    let is_example = block(external)?.is_documentation();
    if !is_example {
        let sentence = format!("peers are told {external}, which only its own network reaches");
        return Some(finding(Code::ExternalPrivate, sentence));
    }
    // An address that the host itself has was not copied from anywhere.
    (is_example && external != local).then(|| {
        let sentence = format!("relay.external is {external}");
        finding(Code::ExternalExample, sentence)
    })
}

fn listeners(config: &Config, table: &UdpTable) -> Vec<Finding> {
    let udp = config
        .listeners
        .iter()
        .filter(|listener| listener.transports.has(Transport::Udp));
    let closed = udp.filter(|listener| table.owner_now(listener.listen).is_none());
    let sentence = |listener: &Listener| format!("no UDP socket is bound to {}", listener.listen);
    closed
        .map(|listener| finding(Code::ListenerClosed, sentence(listener)))
        .collect()
}

/// Ports of the range that other programs hold: sockets of other users than the listener's.
fn relay_ports(config: &Config, table: &UdpTable) -> Option<Finding> {
    let mut listeners = config.listeners.iter();
    let server = listeners.find_map(|listener| table.owner_now(listener.listen));
    let ports = config.relay.ports.first()..=config.relay.ports.last();
    let relays = config.relay.addresses.iter().map(|relay| relay.local);
    let relays: Vec<_> = relays.collect();
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
    let has_ufw = read("/etc/ufw/ufw.conf").is_some_and(|conf| ufw_is_enabled(&conf));
    let has_iptables = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"].map(tables);
    let is_active = [
        ("ufw", has_ufw),
        ("firewalld", Path::new("/run/firewalld").exists()),
        ("iptables", has_iptables.contains(&true)),
    ];
    let active = is_active.into_iter().filter(|(_, is_active)| *is_active);
    let names: Vec<_> = active.map(|(name, _)| name).collect();
    let sentence = format!("{} is active on this host", names.join(" and "));
    (!names.is_empty()).then(|| finding(Code::FirewallHint, sentence))
}

/// The rules of nftables; `None` if they cannot be read.
fn nftables() -> Option<String> {
    // Users' paths often lack the second.
    let programs = ["nft", "/usr/sbin/nft"].into_iter();
    let run = |nft| Command::new(nft).args(["list", "ruleset"]).output().ok();
    let output = programs.filter_map(run).find(|it| it.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// The finding about chains that drop what comes in, unless a rule of theirs accepts it: by their
/// policy, or by a rule that everything matches. nft(8).
fn closed(ruleset: &str) -> Option<Finding> {
    let (mut table, mut chain, mut is_before) = ("", "", false);
    let mut closed = Vec::new();
    for line in ruleset
        .lines()
        .map(|line| line.trim().trim_end_matches(" {"))
    {
        if line.starts_with("table ") {
            table = line;
        } else if line.starts_with("chain ") {
            (chain, is_before) = (line, false);
        }
        is_before |= line.contains(" hook input ") || line.contains(" hook prerouting ");
        let last = line.rsplit(' ').next().unwrap_or_default();
        let is_for_all = line == last || line.starts_with("counter ");
        if is_before && (last == "drop;" || is_for_all && ["drop", "reject"].contains(&last)) {
            closed.push(format!("{table}, {chain}"));
        }
    }
    let sentence = format!("nftables drops what no rule accepts: {}", closed.join("; "));
    (!closed.is_empty()).then(|| finding(Code::FirewallHint, sentence))
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

pub(super) fn finding(code: Code, sentence: String) -> Finding {
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

    #[test]
    fn a_chain_that_ends_in_a_drop_is_closed_whether_by_its_policy_or_by_its_last_rule() {
        let found = |policy: &str, rule: &str| {
            let hook = format!("type filter hook input priority filter; policy {policy};");
            let rules = format!("\t\ttcp dport 22 accept\n\t\t{rule}\n\t}}\n}}\n");
            let of = closed(&format!(
                "table inet filter {{\n\tchain in {{\n\t\t{hook}\n{rules}"
            ));
            of.map(|finding| finding.sentence)
        };
        let chain = "nftables drops what no rule accepts: table inet filter, chain in";
        assert_eq!(found("drop", "").as_deref(), Some(chain));
        for rule in ["drop", "counter packets 7 bytes 420 drop", "reject"] {
            assert_eq!(found("accept", rule).as_deref(), Some(chain), "{rule}");
        }
        assert_eq!(found("accept", "ip saddr 192.0.2.0/24 drop"), None);
    }
}
