//! `[advertise]`: what it means, what is refused, and the ports that browsers take.

use super::{config, fault, refused, warned};

const GOOD: [&str; 4] = [
    "turn:turn.example.org:3478?transport=udp",
    "turn:[2001:db8::7]:443?transport=tcp",
    "turns:turn.example.org?transport=tcp",
    "turn:192.0.2.1",
];

fn advertising(uri: &str) -> String {
    format!("[advertise]\nuris = [\"{uri}\"]\n")
}

#[test]
fn uris_that_browsers_take_are_taken_as_they_are_written() {
    for uri in GOOD {
        let config = config(&advertising(uri));
        let written: Vec<_> = config.advertised.iter().map(ToString::to_string).collect();
        assert_eq!(written, [uri]);
    }
}

#[test]
fn uris_that_browsers_give_up_on_are_refused() {
    for (uri, why) in [
        (
            "turn://turn.example.org:3478",
            "has `//`, on which browsers give up",
        ),
        (
            "turn:turn.example.org:3478/",
            "ends with `/`, on which browsers give up",
        ),
        (
            "turn:turn.example.org?transport=TCP",
            "has capitals in its transport, on which Firefox gives up",
        ),
        (
            "stuns:turn.example.org",
            "is `stuns:`, on which Firefox gives up",
        ),
        ("stun:turn.example.org", "is no TURN URI"),
        (
            "turn.example.org",
            "begins with neither `turn:` nor `turns:`",
        ),
        (
            "turn.example.org:3478",
            "begins with neither `turn:` nor `turns:`",
        ),
        (
            "https://turn.example.org",
            "has `//`, on which browsers give up",
        ),
        (
            "turn:turn.example.org:53",
            "has port 53, which Chromium refuses",
        ),
        (
            "turn:turn.example.org:5060?transport=tcp",
            "has port 5060, which Chromium and Firefox refuse",
        ),
        (
            "turn:turn.example.org:4190",
            "has port 4190, which Firefox refuses",
        ),
        (
            "turns:turn.example.org?transport=udp",
            "is over DTLS, which no browser speaks: they take it for TLS over TCP",
        ),
        (
            "turn:turn.example.org?transport=tls",
            "is not a TURN URI: the only query is ?transport=udp or ?transport=tcp, and only turn and turns have it",
        ),
        (
            "turn:turn.example.org:0",
            "is not a TURN URI: the port must be a number from 1 to 65535",
        ),
        (
            "turn:",
            "is not a TURN URI: expected a host name, an IPv4 address, or an IPv6 address in brackets",
        ),
    ] {
        let told = fault(&advertising(uri));
        assert_eq!(
            told.sentence,
            format!("error: `[advertise] uris` {why}"),
            "{uri}"
        );
        assert!(told.help.is_some(), "{uri}");
    }
}

#[test]
fn one_place_is_named_once_and_there_are_four_at_most() {
    let told = refused(
        "[advertise]\nuris = [\"turn:a.example:3478\", \"turn:a.example?transport=udp\"]\n",
    );
    assert!(told[0].sentence.contains("is given twice"), "{told:?}");
    let ports: Vec<_> = (1..=5)
        .map(|port| format!("\"turn:a.example:{port}0000\""))
        .collect();
    let told = refused(&format!("[advertise]\nuris = [{}]\n", ports.join(", ")));
    assert_eq!(
        told[0].sentence,
        "error: `[advertise] uris` has more than 4"
    );
    assert_eq!(told[0].underlined, "\"turn:a.example:50000\"");
}

#[test]
fn an_address_over_tls_is_said_to_be_closed_to_firefox() {
    let told = warned(&advertising("turns:192.0.2.1:443?transport=tcp"));
    let sentence = "warning: `[advertise] uris` names turns:192.0.2.1:443?transport=tcp, which Firefox does not open";
    assert!(
        told.iter().any(|told| told.sentence == sentence),
        "{told:?}"
    );
}

#[test]
fn a_listener_at_a_port_that_browsers_refuse_is_cautioned_if_it_relays() {
    let listener = |port, rest| {
        format!("[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:{port}\"\n{rest}")
    };
    let users = "[auth.users]\nalice = \"wonderland\"\n";
    for (port, who) in [
        (53, "Chromium refuses"),
        (5060, "Chromium and Firefox refuse"),
    ] {
        let told = warned(&listener(port, users));
        assert_eq!(told.len(), 1, "{told:?}");
        let sentence =
            format!("warning: `[[listener]] listen` has port {port}, which {who} for TURN");
        assert_eq!(told[0].sentence, sentence);
        assert_eq!(warned(&listener(port, "")), []);
    }
    for port in [80, 443, 3478, 0] {
        let told = warned(&listener(port, users));
        assert!(
            !told.iter().any(|told| told.sentence.contains("refuse")),
            "{told:?}"
        );
    }
}
