//! Which stamps were seen, so that each note counts once.

/// The highest stamps seen. A stamp lower than all of them is too late, so a note that comes again
/// is either among them or too late.
#[derive(Debug)]
pub(super) struct Window {
    stamps: [u64; SIZE],
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { stamps: [0; SIZE] }
    }

    /// Whether a stamp is new; notes it if so.
    pub(super) fn admit(&mut self, stamp: u64) -> bool {
        let mut lowest = 0;
        for at in 0..SIZE {
            if self.stamps[at] == stamp {
                return false;
            }
            if self.stamps[at] < self.stamps[lowest] {
                lowest = at;
            }
        }
        if stamp < self.stamps[lowest] {
            return false;
        }
        self.stamps[lowest] = stamp;
        true
    }
}

/// How many notes may overtake another.
const SIZE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_admitted_once() {
        let mut window = Window::new();
        for stamp in [100, 50, 200, 150] {
            assert!(window.admit(stamp));
            assert!(!window.admit(stamp));
        }
        assert!(!window.admit(0), "no note has it");
    }

    #[test]
    fn a_note_may_be_overtaken_by_63_others_and_not_by_64() {
        let mut window = Window::new();
        assert!((1000..1063).all(|stamp| window.admit(stamp)));
        assert!(window.admit(999));
        assert!(window.admit(2000));
        assert!(!window.admit(998));
        assert!(!window.admit(999));
    }
}
