//! The source address that the probe asks from, and the family that it asks over.

use lab::{
    PATIENCE,
    internet::{Home, on_the_internet},
    machine::configure,
    nat::Nat,
    program::Program,
    server::hairpin_by,
    servers::Kind,
};
use serde_json::{Value, json};

use crate::probe;

#[test]
fn both_families_are_asked_unless_one_is_named() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Ipv6Firewall);
        let _server = Kind::Alternate.start();
        let uris = [Kind::Alternate.uris(), Kind::Alternate.uris_v6()].concat();
        let [both, v4, v6] =
            [&[][..], &["-4"], &["-6"]].map(|options| probe::start(&home, &uris, options));
        let [both, v4, v6] = [both, v4, v6].map(|running| running.told());

        for told in [&both, &v4] {
            assert_eq!(told.v4()["mapping"], "endpoint-independent", "{told:#?}");
        }
        for told in [&both, &v6] {
            assert_eq!(told.v6()["mapping"], "none", "{told:#?}");
        }
        assert_eq!(v4.report["ipv6"], Value::Null);
        assert_eq!(v6.report["ipv4"], Value::Null);
        // TCP is asked over the same families.
        for (told, count) in [(&both, 2), (&v4, 1), (&v6, 1)] {
            let streams = told.report["streams"].as_array().expect("a list");
            assert_eq!(streams.len(), count, "{told:#?}");
        }
    });
}

#[test]
fn a_host_without_ipv6_is_told_so() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let _server = Kind::Alternate.start();
        let uris = [Kind::Alternate.uris(), Kind::Alternate.uris_v6()].concat();
        let told = probe::run(&home, &uris, &[]);
        assert_eq!(told.v6()["state"], "no-route", "{told:#?}");
        assert_eq!(told.report["verdict"], "mostly-direct");
    });
}

#[test]
fn the_probe_asks_from_the_address_or_interface_that_it_is_given() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        configure(home.host.command("ip"), SECOND_WAY);
        let _server = Kind::Alternate.start();
        let binds = [
            ("192.168.1.3", "192.168.1.3:", Value::Null),
            ("192.168.1.2", "192.168.1.2:", Value::Null),
            // An interface has both families.
            ("lan0", "192.168.1.2:", json!({ "state": "no-server" })),
        ];
        let probes = binds.map(|(bind, local, v6)| {
            let uris = Kind::Alternate.uris();
            (probe::start(&home, &uris, &["--bind", bind]), local, v6)
        });
        for (running, local, v6) in probes {
            let told = running.told();
            let found = told.v4()["local"].as_str().expect("an address");
            assert!(found.starts_with(local), "{told:#?}");
            assert_eq!(told.v4()["mapping"], "endpoint-independent", "{told:#?}");
            assert_eq!(*told.v6(), v6, "{told:#?}");
        }
        let told = probe::run(&home, &Kind::Alternate.uris(), &["--bind", "dead0"]);
        assert_eq!(told.report["verdict"], "blocked", "{told:#?}");
    });
}

#[test]
fn an_address_or_interface_that_this_host_does_not_have_is_refused_by_name() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        for bind in ["192.168.1.99", "wlan7"] {
            assert_refused(&home, bind);
        }
    });
}

#[track_caller]
fn assert_refused(home: &Home, bind: &str) {
    let mut command = hairpin_by(|program| home.host.command(program));
    command
        .args(["probe", "--bind", bind])
        .args(Kind::Alternate.uris());
    let ended = Program::run(command, PATIENCE);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
    assert!(ended.output.contains("(option --bind)"), "{}", ended.output);
}

/// A second address, and an interface that leads nowhere.
const SECOND_WAY: &str = "address add 192.168.1.3/24 dev lan0\n\
                          link add dead0 type veth peer name dead1\n\
                          address add 192.168.77.2/24 dev dead0\n\
                          link set dead0 up\n";
