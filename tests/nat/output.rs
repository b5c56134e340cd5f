//! The output of the probe, for people and for scripts.

use lab::{
    PATIENCE,
    internet::{Home, on_the_internet},
    nat::Nat,
    program::Program,
    server::hairpin_by,
    servers::Kind,
};
use serde_json::Value;

use crate::probe;

#[test]
fn people_read_the_verdict_first_and_see_colours_on_a_terminal_only() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let _server = Kind::Alternate.start();
        let plain = text(&home, "");
        assert!(
            plain.starts_with("Direct calls work with most peers.\n"),
            "{plain}"
        );
        for words in [
            "kind (RFC 3489)    port-restricted cone NAT",
            "mapping            endpoint-independent",
            "filtering          address-and-port-dependent",
            "hairpinning        no",
            "For new RTCPeerConnection",
        ] {
            assert!(plain.contains(words), "not found: {words}\n{plain}");
        }
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        // Shows that there are colours that can be left out.
        let coloured = text(&home, "1");
        assert!(coloured.starts_with('\u{1b}'), "{coloured:?}");
    });
}

#[test]
fn scripts_find_the_same_names_whatever_is_found() {
    on_the_internet(|internet| {
        let [open, closed] = [(1, Nat::PortRestricted), (2, Nat::Blocked)]
            .map(|(number, nat)| internet.home(number, nat));
        let _server = Kind::Alternate.start();
        let probes = [&open, &closed].map(|home| probe::start(home, &Kind::Alternate.uris(), &[]));
        for told in probes.map(|running| running.told()) {
            assert_eq!(names(&told.report), REPORT);
            assert_eq!(names(told.v4()), FAMILY);
            let unknown = names(&told.v4()["unknown"]);
            for name in unknown {
                assert_eq!(told.v4()[name], Value::Null, "{told:#?}");
            }
            assert_eq!(
                names(&told.v4()["servers"][0]),
                ["address", "answer", "uri"]
            );
            let stream = names(&told.report["streams"][0]);
            assert_eq!(stream, ["address", "answer", "over", "uri"]);
        }
    });
}

/// The report for people. `1` forces colours; without a value the probe decides.
fn text(home: &Home, colours: &str) -> String {
    let mut command = hairpin_by(|program| home.host.command(program));
    command
        .args(["probe", "--timeout", "6s"])
        .args(Kind::Alternate.uris());
    command
        .env_remove("NO_COLOR")
        .env("CLICOLOR_FORCE", colours);
    Program::run(command, PATIENCE).output
}

/// The names of an object, in their order.
fn names(object: &Value) -> Vec<&str> {
    let names = object
        .as_object()
        .unwrap_or_else(|| panic!("{object}"))
        .keys();
    names.map(String::as_str).collect()
}

/// The names that docs/probe.md explains.
const REPORT: [&str; 8] = [
    "because",
    "iceServers",
    "ipv4",
    "ipv6",
    "sentence",
    "servers",
    "streams",
    "verdict",
];

const FAMILY: [&str; 16] = [
    "double_nat",
    "filtering",
    "fragments",
    "hairpinning",
    "hops",
    "largest_payload",
    "lifetime",
    "local",
    "mapped",
    "mapping",
    "ports",
    "rfc3489",
    "servers",
    "state",
    "strays",
    "unknown",
];
