//! Candidates in descriptions.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::Value;

/// The relayed address in a description.
#[track_caller]
pub(crate) fn relayed(description: &Value) -> SocketAddrV4 {
    let lines = sdp(description).lines();
    // Foundation, component, transport, priority, address, port, "typ", type.
    let mut candidates = lines.filter_map(|line| {
        let words: Vec<&str> = line.strip_prefix("a=candidate:")?.split(' ').collect();
        let address = SocketAddrV4::new(words[4].parse().ok()?, words[5].parse().ok()?);
        (words[7] == "relay").then_some(address)
    });
    candidates
        .next()
        .unwrap_or_else(|| panic!("no relayed address: {description}"))
}

/// A description with one more candidate, which is tried before the others.
pub(crate) fn with_candidate(mut description: Value, ip: Ipv4Addr) -> Value {
    // libnice ends lines in its own way.
    let end = if sdp(&description).contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let line = format!("a=candidate:99 1 udp 2130706431 {ip} 9 typ host{end}");
    let first = sdp(&description).find("a=candidate").expect("a candidate");
    let mut sdp = sdp(&description).to_owned();
    sdp.insert_str(first, &line);
    description["sdp"] = sdp.into();
    description
}

fn sdp(description: &Value) -> &str {
    description["sdp"].as_str().expect("a description")
}
