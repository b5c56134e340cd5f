//! The lifetime of a silent mapping: the router is told it, and the probe must find it out.

use std::{iter, time::Duration};

use lab::{internet::on_the_internet, nat::Nat, servers::Kind};
use serde_json::Value;

use crate::probe::{self, Told};

#[test]
fn the_lifetime_of_a_mapping_is_found_between_two_silences() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        for key in [
            "nf_conntrack_udp_timeout",
            "nf_conntrack_udp_timeout_stream",
        ] {
            home.set_router(&format!("netfilter/{key}"), &LIFETIME.as_secs().to_string());
        }
        let kinds = [Kind::Alternate, Kind::Partners, Kind::Coturn];
        let _servers = kinds.map(Kind::start);
        let probes = kinds.map(|kind| probe::start(&home, &kind.uris(), &["--lifetime=12s"]));
        for (kind, running) in kinds.into_iter().zip(probes) {
            // A silence that was longer than it should be, on a machine that stood still, finds another
            // lifetime: a probe that is wrong finds that each time.
            let again = (0..2).map(|_| probe::run(&home, &kind.uris(), &["--lifetime=12s"]));
            let mut told = iter::once(running.told()).chain(again);
            assert!(told.any(|told| is_found(&told)), "{kind:?}");
        }
    });
}

#[test]
fn ordinary_servers_cannot_tell_the_lifetime() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let _servers = Kind::Ordinary.start();
        let told = probe::run(&home, &Kind::Ordinary.uris(), &["--lifetime=12s"]);
        assert_eq!(told.v4()["lifetime"], Value::Null);
        let why = "no server that answered speaks RFC 5780";
        assert_eq!(told.v4()["unknown"]["lifetime"], why);
    });
}

/// Whether the probe found the lifetime that the router was told.
fn is_found(told: &Told) -> bool {
    println!("{told:#?}");
    // The verdict does not need the lifetime.
    let is_judged = told.report["verdict"] == "mostly-direct";
    let [at_least, below] = ["at_least_seconds", "below_seconds"]
        .map(|name| told.v4()["lifetime"][name].as_f64().expect("a number"));
    println!("from {at_least} to {below} seconds");
    let lifetime = LIFETIME.as_secs_f64();
    // The router counts from the last packet, the probe from the answer to it. A silence that a mapping
    // survived was shorter than the lifetime; one that it did not survive may also look a little shorter.
    is_judged && at_least < lifetime && below > lifetime - DELAY && below - at_least < 2.0
}

/// The lifetime that the router is told.
const LIFETIME: Duration = Duration::from_secs(6);

/// In seconds, on a machine that is busy with other tests.
const DELAY: f64 = 1.5;
