//! When the packets of an RTP stream arrive: the rate of its clock, and its jitter. RFC 3550
//! §6.4.1, appendix A.8.
//!
//! No signaling passes here, so the rate of timestamps is found out: as far as they went, by the
//! time that it took, is near one of the rates in use. Only the first packet of a frame is looked at,
//! since all of a frame have one timestamp and leave one after the other.

use std::time::Duration;

/// The clock of a stream, and how evenly its packets arrive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrivals {
    /// The place of its rate in [`CLOCKS`] and 1; 0 if that is not known.
    clock: u8,
    /// Whether a packet was looked at before: the first of these whose rate is not known yet, else
    /// the last.
    has_base: bool,
    /// Its timestamp.
    timestamp: u32,
    /// Its time, in microseconds.
    micros: u32,
    /// Sixteen times the jitter in microseconds.
    jitter: u32,
}

impl Arrivals {
    /// The first packet of a frame came, in its order.
    pub(super) fn note(&mut self, micros: u64, timestamp: u32) {
        let micros = micros as u32;
        let elapsed = micros.wrapping_sub(self.micros);
        let went = timestamp.wrapping_sub(self.timestamp).cast_signed();
        if !self.has_base || went <= 0 {
            return self.begin(micros, timestamp);
        }
        match self.clock() {
            Some(clock) => {
                let meant = i64::from(went) * SECOND / i64::from(clock);
                let off = (i64::from(elapsed) - meant).unsigned_abs();
                match u32::try_from(off) {
                    Ok(off) if off <= FARTHEST => {
                        self.jitter = self.jitter + off - ((self.jitter + 8) >> 4);
                        (self.micros, self.timestamp) = (micros, timestamp);
                    }
                    // The sender has another clock now, or was interrupted.
                    Ok(_) | Err(_) => self.begin(micros, timestamp),
                }
            }
            None if elapsed < SHORTEST => {}
            None => match clock_of(i64::from(went) * SECOND / i64::from(elapsed)) {
                Some(clock) => {
                    self.clock = clock;
                    (self.micros, self.timestamp) = (micros, timestamp);
                }
                None if elapsed > LONGEST => self.begin(micros, timestamp),
                None => {}
            },
        }
    }

    /// Begins anew with this packet.
    fn begin(&mut self, micros: u32, timestamp: u32) {
        *self = Self {
            clock: 0,
            has_base: true,
            timestamp,
            micros,
            jitter: 0,
        };
    }

    /// The rate of timestamps in Hz, if it was found out.
    pub(super) fn clock(&self) -> Option<u32> {
        let place = usize::from(self.clock).checked_sub(1)?;
        CLOCKS.get(place).copied()
    }

    /// The jitter, where the rate is known.
    pub(super) fn jitter(&self) -> Option<Duration> {
        let micros = u64::from(self.jitter >> 4);
        self.clock().map(|_| Duration::from_micros(micros))
    }
}

/// The place of the rate in use that is nearest to a measured one, and 1: within a twentieth.
fn clock_of(measured: i64) -> Option<u8> {
    let off = |clock: u32| (i64::from(clock) - measured).unsigned_abs();
    let all = CLOCKS.iter().copied().zip(1_u8..);
    let (clock, place) = all.min_by_key(|(clock, _)| off(*clock))?;
    (off(clock) * 20 <= u64::from(clock)).then_some(place)
}

/// The rates in use: of telephone and wideband speech, of music, and of all video. RFC 3551,
/// RFC 7587.
const CLOCKS: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// Microseconds.
const SECOND: i64 = 1_000_000;
/// Over so many microseconds a rate is found out, at least: a delay that swings by a hundred
/// milliseconds misleads by a twentieth.
const SHORTEST: u32 = 2_000_000;
/// If it is none in use over so many, another beginning is tried.
const LONGEST: u32 = 10_000_000;
/// A packet that comes so many microseconds too early or too late shows no jitter.
const FARTHEST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of this clock, a frame every 20 ms for so many seconds, each late by so many
    /// microseconds.
    fn stream(clock: u32, seconds: u64, late: impl Fn(u64) -> u64) -> Arrivals {
        let mut arrivals = Arrivals::default();
        let start = u32::MAX - 1000;
        for frame in 0..seconds * 50 {
            let timestamp = start.wrapping_add(frame as u32 * (clock / 50));
            arrivals.note(frame * 20_000 + late(frame), timestamp);
        }
        arrivals
    }

    #[test]
    fn the_clock_of_each_rate_in_use_is_found_out() {
        for clock in CLOCKS {
            let arrivals = stream(clock, 5, |frame| frame * 7_919 % 20_000);
            assert_eq!(arrivals.clock(), Some(clock));
        }
    }

    #[test]
    fn a_rate_that_nobody_uses_has_no_jitter() {
        let arrivals = stream(65_000, 30, |_| 0);
        assert_eq!((arrivals.clock(), arrivals.jitter()), (None, None));
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_that_of_the_formula() {
        let even = stream(48_000, 10, |_| 5_000);
        assert_eq!(even.jitter(), Some(Duration::ZERO));
        let swings = stream(48_000, 10, |frame| frame % 2 * 10_000);
        let jitter = swings.jitter().unwrap();
        let expected = Duration::from_micros(9_900)..=Duration::from_micros(10_000);
        assert!(expected.contains(&jitter), "{jitter:?}");
    }

    #[test]
    fn a_jump_of_timestamps_begins_anew() {
        let mut arrivals = stream(48_000, 5, |_| 0);
        arrivals.note(5_000_000, 0x8000_0000);
        assert_eq!(arrivals.clock(), None);
    }

    #[test]
    fn no_timestamp_and_no_time_is_too_odd() {
        let odd = [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
        let mut arrivals = Arrivals::default();
        for step in 0..100_000_u64 {
            let timestamp = odd[step as usize * 7 % 5].wrapping_mul(step as u32);
            arrivals.note(step * step * 977, timestamp);
        }
        let jitter = arrivals.jitter().unwrap_or_default();
        assert!(jitter <= Duration::from_secs(1), "{jitter:?}");
    }
}
