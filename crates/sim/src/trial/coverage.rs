//! The events of a run, so that no run passes because it does nothing.

use std::collections::BTreeMap;
use std::fmt;

/// How often each named event happened: kinds of steps, outcomes, drops, refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    /// Steps made.
    pub steps: u64,
    /// Packets that reached a server.
    pub packets: u64,
    /// A hash of everything that the servers did, in order: two equal runs have the same.
    pub digest: u64,
}

impl Coverage {
    pub(crate) fn note(&mut self, kind: &'static str, name: &'static str) {
        *self.counts.entry((kind, name)).or_default() += 1;
    }

    /// How often it happened: a `"step"`, `"outcome"`, `"drop"` or `"refusal"` of this name.
    pub fn count(&self, kind: &str, name: &str) -> u64 {
        let mut counts = self.counts.iter();
        let found = counts.find(|((of, at), _)| *of == kind && *at == name);
        found.map_or(0, |(_, count)| *count)
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(*what).or_default() += count;
        }
        self.steps += other.steps;
        self.packets += other.packets;
        self.digest = self.digest.wrapping_add(other.digest);
    }

    /// Adds actions of the servers to the digest, which is FNV-1a.
    pub(crate) fn digest(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} steps, {} packets", self.steps, self.packets)?;
        for ((kind, name), count) in &self.counts {
            writeln!(f, "{kind:8} {name:24} {count}")?;
        }
        Ok(())
    }
}
