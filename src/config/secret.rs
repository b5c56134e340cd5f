//! Values that must not reach a log, a report or a terminal.

use std::fmt;

/// A shared secret or a password. `Debug` hides it and there is no `Display`:
/// whoever needs the text has to write [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes the text as it is.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A long-term key in place of a password: MD5(user ":" realm ":" password).
/// RFC 8489 §9.2.2. It opens the account in that realm as the password would,
/// so it is hidden alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrecomputedKey([u8; 16]);

impl PrecomputedKey {
    /// Reads 32 hexadecimal digits.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(key))
    }

    /// The key itself.
    pub(crate) fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for PrecomputedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn nibble(digit: u8) -> Option<u8> {
    // A hexadecimal digit is below 16, the conversion cannot lose anything.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_secret_nor_key() {
        let key = PrecomputedKey::from_hex("8493fbc53ba582fb4c044c456bdc40eb");
        assert_eq!(format!("{:?}", Secret::new("wonderland")), "***");
        assert_eq!(format!("{key:?}"), "Some(***)");
    }

    #[test]
    fn a_key_is_read_from_32_hexadecimal_digits_of_either_case() {
        let lower = PrecomputedKey::from_hex("8493fbc53ba582fb4c044c456bdc40eb").unwrap();
        let upper = PrecomputedKey::from_hex("8493FBC53BA582FB4C044C456BDC40EB").unwrap();
        assert_eq!(lower, upper);
        assert_eq!(lower.expose()[..3], [0x84, 0x93, 0xfb]);
    }

    #[test]
    fn a_key_of_another_length_or_alphabet_is_refused() {
        for wrong in [
            "",
            "8493",
            "8493fbc53ba582fb4c044c456bdc40e",
            "g493fbc53ba582fb4c044c456bdc40eb",
            "é493fbc53ba582fb4c044c456bdc40e",
        ] {
            assert_eq!(PrecomputedKey::from_hex(wrong), None, "{wrong}");
        }
    }
}
