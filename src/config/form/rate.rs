//! Rates: whole numbers with a unit.

use std::num::NonZeroU64;

/// Bytes per second, the inner `None` for no limit. 0 could be read as no limit and as nothing at
/// all, so it is neither.
pub(in crate::config) fn rate(text: &str) -> Option<Option<u64>> {
    in_units(text, UNITS)
}

/// The same of data.
pub(in crate::config) fn bandwidth(text: &str) -> Option<Option<u64>> {
    in_units(text, BANDWIDTHS)
}

/// Thousandths, of a number in percent with one decimal place or none.
pub(in crate::config) fn percent(text: &str) -> Option<u32> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_read = is_number(whole) && is_number(tenths) && tenths.len() == 1;
    let thousandths = || {
        whole
            .parse::<u32>()
            .ok()?
            .checked_mul(10)?
            .checked_add(tenths.parse().ok()?)
    };
    is_read.then(thousandths)?
}

/// A whole number and its unit, or no limit.
fn in_units(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    let text = text.trim();
    if text == UNLIMITED {
        return Some(None);
    }
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let unit = units.iter().find(|(name, _)| *name == unit.trim_start());
    Some(Some(number.parse::<u64>().ok()?.checked_mul(unit?.1)?))
}

/// The spelling of a limit, `None` if there is none.
pub(crate) fn spelled(rate: Option<NonZeroU64>) -> Option<String> {
    spelled_in(rate, UNITS)
}

/// The same of data.
pub(crate) fn spelled_bandwidth(rate: Option<NonZeroU64>) -> Option<String> {
    spelled_in(rate, BANDWIDTHS)
}

fn spelled_in(rate: Option<NonZeroU64>, units: &[(&str, u64)]) -> Option<String> {
    let rate = rate?.get();
    let mut units = units.iter().rev();
    let (name, size) = units.find(|(_, size)| rate.is_multiple_of(*size))?;
    Some(format!("{}{name}", rate / size))
}

const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
/// In bytes per second. The units in bits are the last, so that they are preferred. "Mbps" is not
/// among them: there are people who mean bytes by it.
const BANDWIDTHS: &[(&str, u64)] = &[
    ("B/s", 1),
    ("kB/s", 1000),
    ("MB/s", 1_000_000),
    ("GB/s", 1_000_000_000),
    ("kbit/s", 125),
    ("Mbit/s", 125_000),
    ("Gbit/s", 125_000_000),
];
const UNLIMITED: &str = "unlimited";
