//! Sizes: numbers of bytes with a unit.

/// The number of bytes in a text such as `500 GB`.
pub(in crate::config) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|it: char| !it.is_ascii_digit())?);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    number.parse::<u64>().ok()?.checked_mul(unit?.1)
}

/// The spelling of a size in the largest unit that needs no fraction.
pub(crate) fn spelled_size(bytes: u64) -> String {
    let fitting = UNITS.iter().filter(|(_, size)| bytes.is_multiple_of(*size));
    let (name, size) = fitting.max_by_key(|(_, size)| *size).unwrap_or(&UNITS[0]);
    format!("{} {name}", bytes / size)
}

const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        for (text, bytes) in [
            ("500 GB", Some(500_000_000_000)),
            ("64MiB", Some(64 << 20)),
            ("2TB", Some(2_000_000_000_000)),
            ("7 B", Some(7)),
            ("500", None),
            ("1.5 GB", None),
            ("-1 GB", None),
            ("500 gb", None),
            ("99999999999 TB", None),
            ("", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
        for spelled in ["500 GB", "64 MiB", "7 B", "1 MB", "2 TB"] {
            assert_eq!(size(spelled).map(spelled_size).as_deref(), Some(spelled));
        }
    }
}
