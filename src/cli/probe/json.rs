//! The report for scripts. Names and meanings stay as they are; new ones may come.

use std::net::SocketAddr;
use std::time::Duration;

use probe::{DoubleNat, Family, Findings, Outcome, Results, Stream, Unknown, Uri};
use serde_json::{Map, Value, json};

use super::meaning;

pub(super) fn text(report: &Results) -> String {
    let verdict = report.verdict();
    let servers = report.servers.iter().map(|(uri, found)| match found {
        Ok(addresses) => json!({ "uri": uri.to_string(), "addresses": addresses }),
        Err(why) => json!({ "uri": uri.to_string(), "error": why.to_string() }),
    });
    let value = json!({
        "verdict": meaning::name(verdict),
        "sentence": meaning::headline(verdict),
        "because": meaning::because(report),
        "servers": servers.collect::<Value>(),
        "ipv4": report.v4.as_ref().map(family),
        "ipv6": report.v6.as_ref().map(family),
        "streams": report.streams.iter().map(stream).collect::<Value>(),
        "iceServers": meaning::ice_servers(report),
    });
    let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
    text + "\n"
}

fn family(family: &Family) -> Value {
    match family {
        Family::NoServer => json!({ "state": "no-server" }),
        Family::NoRoute => json!({ "state": "no-route" }),
        Family::Probed { servers, findings } => probed(servers, findings),
    }
}

/// An unknown finding is `null`, and `unknown` says why.
fn probed(servers: &[(Uri, SocketAddr)], findings: &Findings) -> Value {
    let mut unknown = Map::new();
    let mut known = |name: &str, value: Result<Value, Unknown>| match value {
        Ok(value) => value,
        Err(why) => {
            unknown.insert(name.to_owned(), why.to_string().into());
            Value::Null
        }
    };
    let mapping = known("mapping", findings.mapping.map(|it| it.to_string().into()));
    let filtering = known(
        "filtering",
        findings.filtering.map(|it| it.to_string().into()),
    );
    let hairpinning = known("hairpinning", findings.hairpinning.map(Value::from));
    let fragments = known("fragments", findings.fragments.map(Value::from));
    let largest = known("largest_payload", findings.largest_payload.map(Value::from));
    let ports = findings.ports.map(|ports| {
        json!({
            "seen": ports.seen,
            "preserved": ports.preserved,
            "parity_kept": ports.parity_kept,
        })
    });
    let ports = known("ports", ports);
    let lifetime = findings.lifetime.map(|lifetime| {
        json!({
            "at_least_seconds": lifetime.at_least.as_secs_f64(),
            "below_seconds": lifetime.below.map(|below| below.as_secs_f64()),
        })
    });
    let lifetime = known("lifetime", lifetime);
    let answers = servers.iter().zip(&findings.servers);
    json!({
        "state": "probed",
        "local": findings.local,
        "mapped": findings.mapped,
        "rfc3489": findings.classic_name().map(|name| name.to_string()),
        "mapping": mapping,
        "filtering": filtering,
        "hairpinning": hairpinning,
        "ports": ports,
        "fragments": fragments,
        "largest_payload": largest,
        "lifetime": lifetime,
        "double_nat": findings.double_nat.map(double_nat),
        "hops": findings.hops.iter().map(|(distance, router)| {
            json!({ "distance": distance, "router": router })
        }).collect::<Value>(),
        "servers": answers.map(|((uri, address), outcome)| {
            server(uri, *address, outcome)
        }).collect::<Value>(),
        "strays": findings.strays.map(|(count, from)| json!({ "count": count, "from": from })),
        "unknown": unknown,
    })
}

fn double_nat(found: DoubleNat) -> Value {
    match found {
        DoubleNat::CarrierRouter { distance, address } => {
            json!({ "carrier_router": address, "distance": distance })
        }
        DoubleNat::PrivateMapping(mapped) => json!({ "private_mapping": mapped }),
    }
}

fn server(uri: &Uri, address: SocketAddr, outcome: &Outcome) -> Value {
    let answer = match outcome {
        Outcome::Answered {
            mapped,
            round_trip,
            behaviour_discovery,
        } => json!({
            "mapped": mapped,
            "round_trip_ms": milliseconds(*round_trip),
            "rfc5780": behaviour_discovery,
        }),
        Outcome::Refused(code) => json!({ "refused": code }),
        Outcome::Senseless => json!({ "error": "the answer names no address" }),
        Outcome::Silent => json!({ "error": "no answer" }),
    };
    json!({ "uri": uri.to_string(), "address": address, "answer": answer })
}

fn stream(stream: &Stream) -> Value {
    let over = if stream.uri.is_secure { "tls" } else { "tcp" };
    let answer = match &stream.outcome {
        Ok(answer) => json!({
            "mapped": answer.mapped,
            "round_trip_ms": milliseconds(answer.round_trip),
        }),
        Err(why) => json!({ "error": why.to_string() }),
    };
    json!({
        "uri": stream.uri.to_string(),
        "address": stream.address,
        "over": over,
        "answer": answer,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
