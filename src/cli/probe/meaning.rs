//! The verdict in sentences, and the `iceServers` that would help.

use probe::{Behaviour, Family, Findings, Mapping, Results, Uri, Verdict};
use serde_json::{Value, json};

/// The verdict in a line.
pub(super) const fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Direct => "Direct calls work.",
        Verdict::Mostly => "Direct calls work with most peers.",
        Verdict::NeedsTurn => "Calls need a TURN server.",
        Verdict::NeedsTurnOverTcp => "Calls need a TURN server over TCP or TLS.",
        Verdict::Undecided => "Whether direct calls work cannot be told from this.",
        Verdict::Blocked => "No server was reached.",
    }
}

/// The name of a verdict, for scripts.
pub(super) const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Direct => "direct",
        Verdict::Mostly => "mostly-direct",
        Verdict::NeedsTurn => "needs-turn",
        Verdict::NeedsTurnOverTcp => "needs-turn-over-tcp",
        Verdict::Undecided => "undecided",
        Verdict::Blocked => "blocked",
    }
}

/// The reason for the verdict.
pub(super) fn because(report: &Results) -> &'static str {
    let verdict = report.verdict();
    let families = [&report.v4, &report.v6].into_iter().flatten();
    // The family that the verdict is from.
    let findings = families.filter_map(|family| match family {
        Family::Probed { findings, .. } if Verdict::of(findings, false) == verdict => {
            Some(&**findings)
        }
        Family::Probed { .. } | Family::NoServer | Family::NoRoute => None,
    });
    match verdict {
        Verdict::Direct | Verdict::Mostly => findings.map(why_direct).next().unwrap_or_default(),
        Verdict::NeedsTurn => {
            "The NAT makes another mapping for each destination (a symmetric NAT), so a peer cannot \
             know where to answer. Only peers without a NAT, or with a very open one, are reached \
             directly."
        }
        Verdict::NeedsTurnOverTcp => {
            "UDP does not pass, TCP does: a firewall. Media must go through a relay that listens on \
             TCP, or on TLS at port 443 where only web traffic is let through."
        }
        Verdict::Undecided if !report.is_udp_asked() && report.is_tls_refused() => {
            "A server was reached over TCP, but TLS with it failed: see below. UDP was not asked."
        }
        Verdict::Undecided if !report.is_udp_asked() => {
            "UDP was not asked: name a stun: server, too."
        }
        Verdict::Undecided => {
            "One ordinary STUN server sees one mapping. Name a second one at another address, or a \
             server that speaks RFC 5780."
        }
        Verdict::Blocked => {
            "Neither UDP nor TCP brought an answer: the servers are down, misspelled, or a firewall \
             lets nothing through."
        }
    }
}

fn why_direct(findings: &Findings) -> &'static str {
    let is_open = matches!(
        findings.filtering,
        Ok(Behaviour::EndpointIndependent | Behaviour::AddressDependent)
    );
    match (findings.mapping, is_open) {
        (Ok(Mapping::NoNat), true) => "This host has no NAT, and nothing that keeps peers out.",
        (Ok(Mapping::NoNat), false) => {
            "This host has no NAT. A firewall may let in only hosts to which this host has sent \
             first; ICE does that. A peer behind a symmetric NAT may need a TURN server."
        }
        (_, true) => {
            "The NAT keeps one mapping for all destinations and lets peers in from any port."
        }
        (_, false) => {
            "The NAT keeps one mapping for all destinations, so ICE finds a way. A peer behind a \
             symmetric NAT still needs a TURN server, so name one for those calls."
        }
    }
}

/// The argument for `new RTCPeerConnection(…)`. The STUN servers are those that answered; no TURN
/// server is known here, so a placeholder stands for it.
pub(super) fn ice_servers(report: &Results) -> Value {
    let mut servers = Vec::new();
    let stun = answering(report);
    if !stun.is_empty() {
        servers.push(json!({ "urls": stun }));
    }
    let turn: &[&str] = match report.verdict() {
        Verdict::Direct => &[],
        Verdict::NeedsTurnOverTcp | Verdict::Blocked => &[
            "turn:turn.example.org:3478?transport=tcp",
            "turns:turn.example.org:443?transport=tcp",
        ],
        Verdict::Mostly | Verdict::NeedsTurn | Verdict::Undecided => &[
            "turn:turn.example.org:3478?transport=udp",
            "turn:turn.example.org:3478?transport=tcp",
        ],
    };
    if !turn.is_empty() {
        servers.push(json!({ "urls": turn, "username": "USER", "credential": "PASSWORD" }));
    }
    Value::Array(servers)
}

/// The URIs of servers that answered over UDP: what a browser asks.
fn answering(report: &Results) -> Vec<String> {
    let mut uris: Vec<String> = Vec::new();
    for family in [&report.v4, &report.v6].into_iter().flatten() {
        let Family::Probed { servers, findings } = family else {
            continue;
        };
        for ((uri, _), outcome) in servers.iter().zip(&findings.servers) {
            if matches!(outcome, probe::Outcome::Answered { .. }) {
                push_once(&mut uris, uri);
            }
        }
    }
    uris
}

fn push_once(uris: &mut Vec<String>, uri: &Uri) {
    let uri = uri.to_string();
    if !uris.contains(&uri) {
        uris.push(uri);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_page_names_networks_as_the_probe_does() {
        let page = include_str!("../../../crates/httpd/static/network.js");
        // That direct calls work whatever the other side has cannot be found out by a page.
        for verdict in [
            Verdict::Mostly,
            Verdict::Undecided,
            Verdict::NeedsTurn,
            Verdict::NeedsTurnOverTcp,
            Verdict::Blocked,
        ] {
            let row = format!("\"{}\": \"{}\",", name(verdict), headline(verdict));
            assert!(page.contains(&row), "missing in network.js: {row}");
        }
    }
}
