//! How much there is of each source prefix.

use ahash::RandomState;
use hashbrown::HashMap;
use relay::SourcePrefix;

/// Numbers by source prefix; those with none take no memory.
#[derive(Debug)]
pub(super) struct Prefixes(HashMap<SourcePrefix, usize, RandomState>);

impl Prefixes {
    pub(super) fn new([a, b, c, d]: [u64; 4]) -> Self {
        Self(HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)))
    }

    /// Counts one more, if there may be so many.
    pub(super) fn enter(&mut self, prefix: SourcePrefix, most: usize) -> bool {
        let is_room = self.of(prefix) < most;
        if is_room {
            self.add(prefix, 1);
        }
        is_room
    }

    pub(super) fn of(&self, prefix: SourcePrefix) -> usize {
        self.0.get(&prefix).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, prefix: SourcePrefix, number: usize) {
        if number > 0 {
            *self.0.entry(prefix).or_default() += number;
        }
    }

    pub(super) fn take(&mut self, prefix: SourcePrefix, number: usize) {
        if let Some(count) = self.0.get_mut(&prefix) {
            *count -= number;
            if *count == 0 {
                self.0.remove(&prefix);
            }
        }
    }

    /// The prefix of which there is most.
    pub(super) fn fullest(&self) -> Option<SourcePrefix> {
        let fullest = self.0.iter().max_by_key(|(_, count)| **count);
        fullest.map(|(prefix, _)| *prefix)
    }
}
