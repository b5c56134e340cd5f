//! `[unauthenticated]`: how much strangers hear beyond what they send.

use std::num::NonZeroU64;

use relay::Allowance;

use super::Judge;
use crate::config::fault::{Fault, Form};
use crate::config::file::{Text, UnauthenticatedTable};

impl Judge<'_> {
    pub(super) fn unauthenticated(&mut self, table: &UnauthenticatedTable) -> Option<Allowance> {
        let defaults = Allowance::default();
        let per_prefix = self.rate(PER_PREFIX, table.per_prefix.as_ref(), defaults.per_prefix);
        let total = self.rate(TOTAL, table.total.as_ref(), defaults.total);
        let allowance = Allowance {
            per_prefix: per_prefix?,
            total: total?,
        };
        if let (Some(one), Some(all), Some(written)) =
            (allowance.per_prefix, allowance.total, &table.per_prefix)
            && one > all
        {
            let total = table.total.as_ref();
            let see = total.map(|total| (total.span(), "all prefixes together"));
            return self.refuse_beside(Fault::PrefixOverTotal, written.span(), see);
        }
        Some(allowance)
    }

    /// Bytes per second; the inner `None` is without limit. 0 could be read as no limit and as
    /// nothing at all, so it is neither.
    fn rate(
        &mut self,
        key: &'static str,
        written: Option<&Text>,
        default: Option<NonZeroU64>,
    ) -> Option<Option<NonZeroU64>> {
        let Some(written) = written else {
            return Some(default);
        };
        if written.get_ref().trim() == UNLIMITED {
            return Some(None);
        }
        match bytes(written.get_ref()) {
            Some(rate) if (LEAST..=MOST).contains(&rate) => Some(NonZeroU64::new(rate)),
            Some(_) => {
                let (least, most) = ("1KiB".to_owned(), "1GiB, or \"unlimited\"".to_owned());
                self.refuse(
                    Fault::Range {
                        key: key.into(),
                        least,
                        most,
                    },
                    written.span(),
                )
            }
            None => {
                let form = Form::Bytes;
                self.refuse(
                    Fault::Form {
                        key: key.into(),
                        form,
                    },
                    written.span(),
                )
            }
        }
    }
}

/// The spelling of a limit, `None` if there is none.
pub(crate) fn spelled(rate: Option<NonZeroU64>) -> Option<String> {
    let rate = rate?.get();
    let mut units = UNITS.iter().rev();
    let (name, size) = units.find(|(_, size)| rate.is_multiple_of(*size))?;
    Some(format!("{}{name}", rate / size))
}

/// A whole number and its unit.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    number.parse::<u64>().ok()?.checked_mul(unit?.1)
}

const UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
const UNLIMITED: &str = "unlimited";
const LEAST: u64 = 1 << 10;
const MOST: u64 = 1 << 30;
const PER_PREFIX: &str = "[unauthenticated] per-prefix";
const TOTAL: &str = "[unauthenticated] total";
