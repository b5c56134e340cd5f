//! The report for people: the verdict first, then a table.

use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use probe::{
    DoubleNat, Family, Findings, Mapping, Outcome, Results, Stream, Unknown, Uri, Verdict,
};

use super::meaning;

pub(super) fn text(report: &Results) -> String {
    let verdict = report.verdict();
    let style = style(verdict);
    let mut text = format!("{style}{}{style:#}\n", meaning::headline(verdict));
    let _ = writeln!(text, "{}", meaning::because(report));
    for (name, family) in [("IPv4", &report.v4), ("IPv6", &report.v6)] {
        if let Some(family) = family {
            text.push_str(&section(name, &family_rows(family)));
        }
    }
    text.push_str(&section("Servers", &server_rows(report)));
    let servers = serde_json::json!({ "iceServers": meaning::ice_servers(report) });
    let servers = serde_json::to_string_pretty(&servers).expect("strings are JSON");
    let _ = write!(text, "\nFor new RTCPeerConnection(…):\n{servers}\n");
    text
}

fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Direct | Verdict::Mostly => AnsiColor::Green,
        Verdict::NeedsTurn | Verdict::NeedsTurnOverTcp | Verdict::Undecided => AnsiColor::Yellow,
        Verdict::Blocked => AnsiColor::Red,
    };
    Style::new().bold().fg_color(Some(colour.into()))
}

type Rows = Vec<[String; 2]>;

fn section(heading: &str, rows: &Rows) -> String {
    let bold = Style::new().bold();
    let mut text = format!("\n{bold}{heading}{bold:#}\n");
    let widths = rows.iter().map(|[name, _]| name.chars().count());
    let width = widths.max().unwrap_or_default();
    for [name, value] in rows {
        let _ = writeln!(text, "  {name:<width$}  {value}");
    }
    text
}

fn family_rows(family: &Family) -> Rows {
    match family {
        Family::NoServer => vec![row("not asked", "no server has such an address")],
        Family::NoRoute => vec![row(
            "not reachable",
            "this host has no route to such addresses",
        )],
        Family::Probed { findings, .. } => findings_rows(findings),
    }
}

fn findings_rows(findings: &Findings) -> Rows {
    let Some(mapped) = findings.mapped else {
        return vec![
            row("own address", findings.local),
            row("reflexive address", "no server answered over UDP"),
        ];
    };
    let kind = findings.classic_name().map(|name| name.to_string());
    let kind = kind.unwrap_or_else(|| "unknown".to_owned());
    let mut rows = vec![
        row("own address", findings.local),
        row("reflexive address", mapped),
        row("kind (RFC 3489)", kind),
        row("mapping", or_why(findings.mapping)),
        row("filtering", or_why(findings.filtering)),
    ];
    if findings.mapping != Ok(Mapping::NoNat) {
        let hairpins = findings.hairpinning.map(yes_or_no);
        rows.push(row("hairpinning", or_why(hairpins)));
        let ports = findings.ports.map(|ports| {
            let (seen, preserved, even) = (ports.seen, ports.preserved, ports.parity_kept);
            format!("{preserved} of {seen} preserved, {even} of {seen} keep parity")
        });
        rows.push(row("ports", or_why(ports)));
    }
    let pass = |pass| if pass { "pass" } else { "do not pass" };
    rows.push(row("fragments", or_why(findings.fragments.map(pass))));
    let largest = findings.largest_payload;
    let largest = largest.map(|bytes| format!("{bytes} bytes or more"));
    rows.push(row("largest payload", or_why(largest)));
    if findings.lifetime != Err(Unknown::NotAsked) {
        let lifetime = findings.lifetime.map(lifetime);
        rows.push(row("mapping lifetime", or_why(lifetime)));
    }
    if let Some(found) = findings.double_nat {
        rows.push(row("second NAT", double_nat(found)));
    }
    if let Some((count, from)) = findings.strays {
        let strays =
            format!("{count} answers from addresses that were not asked, the first from {from}");
        rows.push(row("strays", strays));
    }
    rows
}

fn lifetime(lifetime: probe::Lifetime) -> String {
    let probe::Lifetime { at_least, below } = lifetime;
    let seconds = |duration: Duration| format!("{:.0} s", duration.as_secs_f64());
    match below {
        Some(below) => format!("between {} and {}", seconds(at_least), seconds(below)),
        None => format!("{} or more", seconds(at_least)),
    }
}

fn double_nat(found: DoubleNat) -> String {
    match found {
        DoubleNat::CarrierRouter { distance, address } => {
            format!("a carrier's: router {distance} on the way is {address}")
        }
        DoubleNat::PrivateMapping(mapped) => {
            format!("the server sees {mapped}, which is itself behind a NAT")
        }
    }
}

/// A line for each server, address and transport.
fn server_rows(report: &Results) -> Rows {
    let mut rows = Vec::new();
    for (uri, found) in &report.servers {
        match found {
            Err(why) => rows.push(row(uri, why)),
            Ok(addresses) if addresses.is_empty() => {
                rows.push(row(uri, "has no address of the families asked for"));
            }
            Ok(_) => {}
        }
    }
    for family in [&report.v4, &report.v6].into_iter().flatten() {
        if let Family::Probed { servers, findings } = family {
            let answers = servers.iter().zip(&findings.servers);
            rows.extend(answers.map(|((uri, address), outcome)| udp_row(uri, *address, outcome)));
        }
    }
    rows.extend(report.streams.iter().map(stream_row));
    rows
}

fn udp_row(uri: &Uri, address: SocketAddr, outcome: &Outcome) -> [String; 2] {
    let answer = match outcome {
        Outcome::Answered {
            round_trip,
            behaviour_discovery,
            ..
        } => {
            let extra = if *behaviour_discovery {
                ", speaks RFC 5780"
            } else {
                ""
            };
            format!("{}{extra}", milliseconds(*round_trip))
        }
        Outcome::Refused(code) => format!("refused with {code}"),
        Outcome::Senseless => "an answer without an address".to_owned(),
        Outcome::Silent => "no answer".to_owned(),
    };
    row(format!("{uri} ({address}, UDP)"), answer)
}

fn stream_row(stream: &Stream) -> [String; 2] {
    let over = if stream.uri.is_secure { "TLS" } else { "TCP" };
    let answer = match &stream.outcome {
        Ok(answer) => milliseconds(answer.round_trip),
        Err(why) => why.to_string(),
    };
    let name = format!("{} ({}, {over})", stream.uri, stream.address);
    row(name, answer)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn or_why<T: Display>(finding: Result<T, Unknown>) -> String {
    match finding {
        Ok(found) => found.to_string(),
        Err(why) => format!("unknown: {why}"),
    }
}

const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn row(name: impl Display, value: impl Display) -> [String; 2] {
    [name.to_string(), value.to_string()]
}
