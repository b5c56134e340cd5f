//! How many there are of each source prefix.

use ahash::RandomState;
use hashbrown::HashMap;
use relay::SourcePrefix;

/// Counts by source prefix; those with none take no memory.
#[derive(Debug)]
pub(super) struct Prefixes(HashMap<SourcePrefix, usize, RandomState>);

impl Prefixes {
    pub(super) fn new([a, b, c, d]: [u64; 4]) -> Self {
        Self(HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)))
    }

    /// Counts one more, if there may be so many.
    pub(super) fn enter(&mut self, prefix: SourcePrefix, most: usize) -> bool {
        let count = self.0.get(&prefix).copied().unwrap_or_default();
        if count >= most {
            return false;
        }
        self.0.insert(prefix, count + 1);
        true
    }

    pub(super) fn leave(&mut self, prefix: SourcePrefix) {
        if let Some(count) = self.0.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&prefix);
            }
        }
    }
}
