//! How long a silent mapping lives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use probe::{Lifetime, Socket, Transmit, Unknown};

use crate::script::{Heard, answer, port, response_port, run};

/// A NAT whose mappings die after so much silence, before a server that knows RESPONSE-PORT.
fn nat(lifetime: Duration) -> impl FnMut(Instant, &Transmit) -> Vec<Heard> {
    let mut spoke: BTreeMap<Socket, Instant> = BTreeMap::new();
    move |now, transmit| {
        spoke.insert(transmit.from, now);
        let to = response_port(transmit).map_or(transmit.from, |wanted| {
            Socket::all(true)
                .find(|socket| port(*socket, true) == wanted)
                .unwrap()
        });
        if now - spoke[&to] >= lifetime {
            return vec![];
        }
        vec![(to, SocketAddr::clone(&transmit.to), answer(transmit, true))]
    }
}

#[test]
fn the_lifetime_of_mappings_is_found_within_a_ninth_of_a_ninth() {
    for seconds in [17, 30, 65, 180, 299] {
        let longest = Duration::from_secs(300);
        let (findings, took) = run(Some(longest), nat(Duration::from_secs(seconds)));
        let Lifetime { at_least, below } = findings.lifetime.unwrap();
        let below = below.unwrap();
        let truth = Duration::from_secs(seconds);
        assert!(at_least < truth && truth <= below, "{at_least:?} {below:?}");
        assert!(
            below - at_least < Duration::from_secs(6),
            "{at_least:?} {below:?}"
        );
        assert!(took < longest * 2 + Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn a_mapping_that_outlives_the_longest_silence_is_said_to_live_at_least_so_long() {
    let longest = Duration::from_secs(60);
    let (findings, took) = run(Some(longest), nat(Duration::from_secs(3_600)));
    let expected = Lifetime {
        at_least: longest,
        below: None,
    };
    assert_eq!(findings.lifetime, Ok(expected));
    assert!(took < longest + Duration::from_secs(10), "{took:?}");
}

#[test]
fn nobody_waits_for_a_lifetime_who_did_not_ask_for_it() {
    let (findings, took) = run(None, |_, transmit| {
        vec![(transmit.from, transmit.to, answer(transmit, false))]
    });
    assert_eq!(findings.lifetime, Err(Unknown::NotAsked));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
