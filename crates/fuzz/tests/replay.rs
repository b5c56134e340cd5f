//! Every input of the corpus, and mutations of them that are the same in every run.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use fuzz::{
    CHANNEL_DATA, DEFRAMER, DEMULTIPLEXER, DTLS_TABLE, MESSAGE, PROXY_HEADER, RELAY_SESSION,
    SIGNALING, TARGETS, TLS_SESSION, TRIAL, Target,
};

#[test]
fn messages_hold_their_promises() {
    replay_and_mutate(MESSAGE, 20_000);
}

#[test]
fn channel_data_holds_its_promises() {
    replay_and_mutate(CHANNEL_DATA, 100_000);
}

#[test]
fn streams_hold_their_promises() {
    replay_and_mutate(DEFRAMER, 20_000);
}

#[test]
fn first_bytes_hold_their_promises() {
    replay_and_mutate(DEMULTIPLEXER, 1_000);
}

#[test]
fn headers_of_proxies_hold_their_promises() {
    replay_and_mutate(PROXY_HEADER, 20_000);
}

#[test]
fn sessions_hold_their_promises() {
    replay_and_mutate(RELAY_SESSION, 3_000);
}

#[test]
fn sessions_over_tls_hold_their_promises() {
    replay_and_mutate(TLS_SESSION, 500);
}

#[test]
fn clients_over_dtls_hold_their_promises() {
    replay_and_mutate(DTLS_TABLE, 100);
}

#[test]
fn trials_go_as_the_model_says() {
    replay_and_mutate(TRIAL, 1_000);
}

#[test]
fn rooms_hold_their_promises() {
    replay_and_mutate(SIGNALING, 5_000);
}

#[test]
fn the_corpus_is_small_and_all_of_it_belongs_to_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let directories = fs::read_dir(corpus).unwrap();
    for directory in directories.map(Result::unwrap) {
        let name = directory.file_name();
        assert!(
            TARGETS.iter().any(|target| *target.name == *name),
            "{name:?}"
        );
    }
    let bytes: usize = TARGETS
        .iter()
        .flat_map(|target| inputs(*target))
        .map(|input| input.len())
        .sum();
    assert!(bytes < 300 * 1024, "{bytes} bytes");
}

/// Runs the corpus of a target, and so many mutations of it.
fn replay_and_mutate(target: Target, mutations: u32) {
    let corpus = inputs(target);
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    for input in &corpus {
        run(target, input);
    }
    let mut dice = Dice(0x4841_4952_5049_4E21);
    for _ in 0..mutations {
        let input = mutated(&corpus, &mut dice);
        run(target, &input);
    }
}

/// All inputs of a target, in one order.
fn inputs(target: Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Names the input if it breaks a promise, so that it can become part of the corpus.
fn run(target: Target, input: &[u8]) {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if let Err(cause) = outcome {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{} breaks a promise on {hex}", target.name);
        panic::resume_unwind(cause);
    }
}

/// An input of the corpus with a few changes: bits, bytes, a cut, a piece of another input.
fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.byte()),
            2 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            3 => {
                let to = (at + dice.below(16)).min(input.len());
                input.drain(at..to);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= dice.byte();
                }
            }
        }
    }
    input
}

/// SplitMix64: small, and the same for ever, unlike a library's generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut roll = self.0;
        roll = (roll ^ roll >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        roll = (roll ^ roll >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        roll ^ roll >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.roll() as u8
    }
}
