//! From names to servers: SRV, NAPTR and addresses, as DNS has them.

use lab::{
    PATIENCE,
    internet::{WEB, on_the_internet, server_v4, server_v6},
    nat::Nat,
    program::Program,
    server::{PASSWORD, USER, hairpin_by},
    servers::Kind,
};
use serde_json::Value;

use crate::{dns::Zone, probe};

#[test]
fn the_servers_of_a_name_are_those_that_dns_says() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Ipv6Firewall);
        let _servers = [Kind::Alternate, Kind::Ordinary].map(Kind::start);
        zone().publish();
        let [first, second] = [31, 32].map(|last| format!("{}:3478", server_v4(last)));
        let discovery = [
            format!("{}:3478", server_v4(1)),
            format!("[{}]:3478", server_v6(1)),
        ];
        let cases = [
            // By SRV, in the order of priority.
            ("stun:plain.example", vec![second, first.clone()]),
            // A server that speaks RFC 5780 is better than any other.
            ("stun:discovery.example", discovery.to_vec()),
            // No SRV: the addresses of the name, at the port of the scheme.
            ("stun:host.example", discovery.to_vec()),
            // A port means that very host.
            (
                "stun:plain.example:3478",
                vec![format!("{}:3478", server_v4(2))],
            ),
            // If SRV says that the service does not exist, the name itself is left.
            ("stun:dot.example", vec![first]),
        ];
        let cases = cases.map(|(uri, addresses)| {
            let running = probe::start(&home, &[uri.to_owned()], &[]);
            (uri, addresses, running)
        });
        for (uri, addresses, running) in cases {
            let told = running.told();
            let found = told.report["servers"][0]["addresses"].as_array();
            let found = found.unwrap_or_else(|| panic!("{told:#?}")).iter();
            let mut found: Vec<_> = found.filter_map(Value::as_str).collect();
            // The order of the families is the resolver's choice.
            found.sort_by_key(|address| address.starts_with('['));
            assert_eq!(found, addresses, "{uri}");
            assert_ne!(told.report["verdict"], "blocked", "{uri} {told:#?}");
        }
        let told = probe::run(&home, &["stun:nowhere.example".to_owned()], &[]);
        let why = "the name nowhere.example has no address in DNS";
        assert_eq!(told.report["servers"][0]["error"], why);
        assert_eq!(told.code, 20, "{told:#?}");
    });
}

#[test]
fn who_names_many_addresses_has_few_of_them_asked() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let _server = Kind::Ordinary.start();
        let mut zone = Zone::default().a("many.example", server_v4(31));
        for last in 200..220 {
            zone = zone.a("many.example", server_v4(last));
        }
        zone.publish();
        let told = probe::run(&home, &["stun:many.example".to_owned()], &["-4"]);
        for asked in [
            &told.report["servers"][0]["addresses"],
            &told.report["streams"],
            &told.v4()["servers"],
        ] {
            let asked = asked.as_array().map(Vec::len);
            assert_eq!(asked, Some(8), "{told:#?}");
        }
    });
}

#[test]
fn a_relay_is_found_through_naptr_and_srv() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let _server = Kind::Alternate.start();
        // There is no relay at the name's own address.
        Zone::default()
            .a("relay.example", server_v4(WEB))
            .naptr("relay.example", "s", "RELAY:turn.udp", "_turn._udp.example")
            .srv("_turn._udp.example", 0, "one.example", 3478)
            .a("one.example", server_v4(1))
            // Without NAPTR every transport is asked for.
            .a("stream.example", server_v4(WEB))
            .srv("_turn._tcp.stream.example", 0, "one.example", 3478)
            .publish();
        let examine = |uri: &str| {
            let mut doctor = hairpin_by(|program| home.host.command(program));
            doctor.args([
                "doctor",
                "--json",
                "-4",
                "--user",
                USER,
                "--password",
                PASSWORD,
            ]);
            doctor.arg(uri);
            Program::run(doctor, 2 * PATIENCE)
        };
        let found = examine("turn:relay.example");
        assert!(found.status.success(), "{}", found.output);
        let found = examine("turn:stream.example");
        assert!(found.status.success(), "{}", found.output);
        // The counter-check: NAPTR is only for URIs that leave the transport open.
        let lost = examine("turn:relay.example?transport=udp");
        assert!(!lost.status.success(), "{}", lost.output);
    });
}

/// Some names of every kind.
fn zone() -> Zone {
    Zone::default()
        .srv("_stun._udp.plain.example", 20, "first.example", 3478)
        .srv("_stun._udp.plain.example", 10, "second.example", 3478)
        .a("plain.example", server_v4(2))
        .a("first.example", server_v4(31))
        .a("second.example", server_v4(32))
        .srv(
            "_stun-behavior._udp.discovery.example",
            0,
            "host.example",
            3478,
        )
        .a("host.example", server_v4(1))
        .aaaa("host.example", server_v6(1))
        .srv("_stun._udp.dot.example", 0, ".", 0)
        .a("dot.example", server_v4(31))
}
