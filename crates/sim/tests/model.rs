//! The server against the reference model, over random steps. `README.md` says how to take more of
//! them, and what to do with a difference.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sim::Choices;
use sim::trial::{self, Coverage};

#[test]
fn the_server_does_what_the_model_says_over_a_million_steps() {
    let steps = number("HAIRPIN_SIM_STEPS").unwrap_or(1_000_000);
    let first = number("HAIRPIN_SIM_SEED").unwrap_or(1);
    let last = first + steps.div_ceil(STEPS_OF_A_RUN as u64);
    let coverage = Mutex::new(Coverage::default());
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                break;
            }
            match trial::run(&mut Choices::seeded(seed), STEPS_OF_A_RUN) {
                Ok(run) => coverage.lock().expect("no run panics").add(&run),
                Err(difference) => {
                    // The other threads can stop.
                    next.store(last, Ordering::Relaxed);
                    panic!("HAIRPIN_SIM_SEED={seed} HAIRPIN_SIM_STEPS=1\n{difference}");
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let coverage = coverage.into_inner().expect("no run panics");
    println!("{coverage}");
    if steps >= 1_000_000 {
        assert_everything_happened(&coverage);
    }
}

/// Asserts that everything happened: a run that does nothing agrees with every model.
fn assert_everything_happened(coverage: &Coverage) {
    for (kind, names) in EVERYTHING {
        for name in *names {
            let count = coverage.count(kind, name);
            assert!(count > 0, "{kind} {name} never happened:\n{coverage}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    let run = |seed| trial::run(&mut Choices::seeded(seed), 300).expect("no difference");
    for seed in 1..=8 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1).digest, run(2).digest);
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

/// Enough steps for a run to lead somewhere, and few enough to be read.
const STEPS_OF_A_RUN: usize = 1000;

/// Every name of an event that the model knows.
const EVERYTHING: &[(&str, &[&str])] = &[
    (
        "step",
        &[
            "again",
            "channel-data",
            "damage",
            "disconnect",
            "end-splice",
            "garbage",
            "machine-refusing",
            "machine-slow",
            "machine-willing",
            "icmp",
            "occupy",
            "open-one",
            "peer-answers",
            "peer-connects",
            "peer-sends",
            "rule-icmp",
            "rule-lifetime",
            "rule-limits",
            "rule-mobility",
            "rule-nonce-lifetime",
            "rule-passwords",
            "rule-policy",
            "rule-realm",
            "rule-sha256",
            "rule-store",
            "rule-tcp",
            "rule-users",
            "tell",
            "upgrade",
            "vacate",
            "wait",
        ],
    ),
    (
        "granted",
        &[
            "Allocate",
            "Binding",
            "ChannelBind",
            "Connect",
            "ConnectionBind",
            "CreatePermission",
            "Refresh",
        ],
    ),
    ("one family of two", &["440", "508"]),
    (
        "outcome",
        &[
            "client-to-client, channel",
            "client-to-client, indication",
            "deleted",
            "disconnected",
            "dual",
            "expired",
            "key fetched",
            "moved",
            "peer let in",
            "reserved",
            "reserved, heard again",
            "stranded",
            "to-client, channel",
            "to-client, indication",
            "to-peer",
            "told of a loss",
            "to-peer, DF",
        ],
    ),
    (
        "drop",
        &[
            "allocation-opening",
            "bad-fingerprint",
            "bandwidth-exceeded",
            "client-away",
            "empty-datagram",
            "foreign",
            "icmp-type",
            "icmp-unasked",
            "incomplete-send",
            "indication-too-long",
            "key-awaited",
            "malformed",
            "no-allocation",
            "no-channel",
            "no-cookie",
            "no-peer-permission",
            "no-permission",
            "no-relay",
            "over-budget",
            "peer-denied",
            "tcp-allocation",
            "too-large",
            "too-many-connections",
            "too-many-failures",
            "turn-within",
            "unexpected-response",
            "unknown-attribute",
            "unknown-indication",
            "unknown-method",
        ],
    ),
    (
        "refusal",
        &[
            "allocation-exists",
            "allocation-over",
            "bad-integrity",
            "bad-ticket",
            "bid-down",
            "cannot-open",
            "challenge",
            "channel-conflict",
            "channel-of-tcp",
            "client-is-peer",
            "channel-range",
            "connection-exists",
            "contradiction",
            "family-mismatch",
            "incomplete-credentials",
            "malformed",
            "missing-attribute",
            "mobility-forbidden",
            "no-allocation",
            "no-connection",
            "no-port",
            "no-reservation",
            "no-tcp-allocation",
            "not-a-stream",
            "not-connected",
            "not-for-tcp",
            "not-moved",
            "peer-denied",
            "sha256-required",
            "stale-nonce",
            "tcp-cannot-move",
            "tcp-forbidden",
            "ticket-in-allocate",
            "too-many-channels",
            "too-many-connections",
            "too-many-permissions",
            "total-quota",
            "tunnelled-client",
            "unknown-attributes",
            "unknown-realm",
            "unknown-user",
            "unsupported-family",
            "unsupported-transport",
            "used-ticket",
            "user-quota",
            "wrong-user",
        ],
    ),
];
