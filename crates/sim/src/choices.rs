//! The random choices of a run: from a seed, or from bytes of a fuzzer.

/// A source of choices. The same one makes the same choices in every run.
#[derive(Clone, Debug)]
pub enum Choices<'a> {
    /// From a seed: they never end.
    Seeded(Dice),
    /// From bytes: after the last byte every choice is 0.
    Bytes(&'a [u8]),
}

impl<'a> Choices<'a> {
    /// The choices of a seed.
    pub const fn seeded(seed: u64) -> Self {
        Self::Seeded(Dice(seed))
    }

    /// The choices in these bytes.
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }

    /// Whether there is nothing left to choose.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Seeded(_) => false,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self {
            Self::Seeded(dice) => (dice.roll() >> 56) as u8,
            Self::Bytes(bytes) => {
                let Some((&byte, rest)) = bytes.split_first() else {
                    return 0;
                };
                *bytes = rest;
                byte
            }
        }
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Less than `limit`, which is at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) * limit) >> 8
    }

    /// True once in two times.
    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True once in so many times. Never when the choices are over.
    pub(crate) fn rarely(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }

    /// One of several, each with a probability by its weight; the weights add up to at most 256.
    pub(crate) fn weighted<T: Copy>(&mut self, several: &[(usize, T)]) -> T {
        let mut at = self.below(several.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in several {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        unreachable!("a choice is below the sum of the weights")
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

/// SplitMix64: small, and the same for ever, unlike a library's generator.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut roll = self.0;
        roll = (roll ^ (roll >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        roll = (roll ^ (roll >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        roll ^ (roll >> 31)
    }
}
