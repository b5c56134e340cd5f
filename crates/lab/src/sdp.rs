//! Candidates in descriptions.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::Value;

/// The relayed address in a description.
#[track_caller]
pub fn relayed_in(description: &Value) -> SocketAddrV4 {
    let lines = sdp(description).lines();
    // Foundation, component, transport, priority, address, port, "typ", type.
    let mut candidates = lines.filter_map(|line| {
        let words: Vec<&str> = line.strip_prefix(CANDIDATE)?.split(' ').collect();
        let address = SocketAddrV4::new(words[4].parse().ok()?, words[5].parse().ok()?);
        (words[7] == "relay").then_some(address)
    });
    candidates
        .next()
        .unwrap_or_else(|| panic!("no relayed address: {description}"))
}

/// A description with one more candidate, which is tried before the others.
pub fn with_candidate(description: Value, ip: Ipv4Addr) -> Value {
    let first = sdp(&description).find(CANDIDATE).expect("a candidate");
    insert(description, first, u32::MAX >> 1, ip)
}

/// The same, but it is tried after the others.
pub fn with_candidate_last(description: Value, ip: Ipv4Addr) -> Value {
    let last = sdp(&description).rfind(CANDIDATE).expect("a candidate");
    let line = sdp(&description)[last..].find('\n').expect("lines end");
    insert(description, last + line + 1, 1, ip)
}

fn insert(mut description: Value, place: usize, priority: u32, ip: Ipv4Addr) -> Value {
    // libnice ends lines in its own way.
    let end = if sdp(&description).contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let line = format!("{CANDIDATE}99 1 udp {priority} {ip} 9 typ host{end}");
    let mut sdp = sdp(&description).to_owned();
    sdp.insert_str(place, &line);
    description["sdp"] = sdp.into();
    description
}

fn sdp(description: &Value) -> &str {
    description["sdp"].as_str().expect("a description")
}

const CANDIDATE: &str = "a=candidate:";
