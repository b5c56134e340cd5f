//! Values that must not reach a log, a report or a terminal.

use std::{fmt, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use relay::keys::{Encryption, TokenKey};

/// A shared secret or a password. `Debug` hides it and there is no `Display`:
/// whoever needs the text has to write [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes the text as it is.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of a file of secrets, without the byte order mark.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn text(bytes: &[u8]) -> Result<Self, NoSecret> {
        let text = std::str::from_utf8(bytes).map_err(|_| NoSecret::Binary)?;
        Ok(Self::new(
            text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
        ))
    }

    /// The contents of a file, without the byte order mark and the white space at the end that
    /// editors and `openssl rand` leave there: where they differ, files look the same. Quotation
    /// marks around all of it are of the shell or of the file that it was copied from.
    ///
    /// # Errors
    /// Where there is no secret, or it is not sure which.
    pub(crate) fn in_file(bytes: &[u8]) -> Result<Self, NoSecret> {
        let text = Self::text(bytes)?;
        let text = text.expose().trim_end();
        let unquoted = |mark: &char| text.strip_prefix(*mark)?.strip_suffix(*mark);
        match QUOTATION_MARKS.iter().find_map(unquoted).unwrap_or(text) {
            "" => Err(NoSecret::Empty),
            text if text.contains(['\n', '\r']) => Err(NoSecret::Lines),
            text if text.starts_with(QUOTATION_MARKS) || text.ends_with(QUOTATION_MARKS) => {
                Err(NoSecret::Quoted)
            }
            text => Ok(Self::new(text)),
        }
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

/// Why there is no secret in a file. The sentence follows the file's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSecret {
    #[error("which cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("which is empty")]
    Empty,
    #[error("which has bytes that are no UTF-8")]
    Binary,
    #[error("which has more than one line, so that it is not sure where the secret ends")]
    Lines,
    #[error("which begins or ends with a quotation mark that has no other")]
    Quoted,
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

/// The key that an authorization server seals tokens with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenSecret {
    encryption: Encryption,
    bytes: Vec<u8>,
}

impl TokenSecret {
    /// `None` if the algorithm has keys of another length.
    pub(crate) fn new(encryption: Encryption, bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == encryption.key_length()).then_some(Self { encryption, bytes })
    }

    /// Reads base64 in either alphabet, padded or not: key stores use one, RFC 7518 the other.
    pub(crate) fn bytes(base64: &str) -> Option<Vec<u8>> {
        let standard = base64.replace('-', "+").replace('_', "/");
        STANDARD_NO_PAD.decode(standard.trim_end_matches('=')).ok()
    }

    /// Whether these are the bytes of RFC 7635's samples or of coturn's.
    pub(crate) fn is_sample(bytes: &[u8]) -> bool {
        SAMPLES.iter().any(|sample| bytes.starts_with(sample))
    }

    /// The key, ready for use.
    pub(crate) fn expose(&self) -> TokenKey {
        TokenKey::new(self.encryption, &self.bytes).expect("`new` compares the lengths")
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const BYTE_ORDER_MARK: char = '\u{FEFF}';
const QUOTATION_MARKS: [char; 2] = ['"', '\''];

const SAMPLES: [&[u8]; 3] = [
    b"0123456789012345",
    b"1234567890123456",
    b"HGkj32KJGiuy098s",
];

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
        let key = TokenSecret::new(Encryption::A128Gcm, vec![7; 16]);
        assert_eq!(format!("{key:?}"), "Some(***)");
    }

    fn in_file(bytes: &[u8]) -> Secret {
        Secret::in_file(bytes).unwrap()
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_secret_in_a_file() {
        let marked = "\u{FEFF}a secret of many bytes".as_bytes();
        assert_eq!(in_file(marked), Secret::new("a secret of many bytes"));
        // One that stands elsewhere is.
        let inside = "a\u{FEFF}b";
        assert_eq!(in_file(inside.as_bytes()), Secret::new(inside));
    }

    #[test]
    fn white_space_at_the_end_is_no_part_of_a_secret_in_a_file() {
        for end in ["", "\n", "\r\n", " ", "\t\n\n", " \n \r\n", "\u{A0}\n"] {
            let text = format!("  a secret of one line{end}");
            let expected = Secret::new("  a secret of one line");
            assert_eq!(in_file(text.as_bytes()), expected, "{end:?}");
        }
    }

    #[test]
    fn quotation_marks_around_a_secret_in_a_file_are_no_part_of_it() {
        for text in [
            "\"a secret\"",
            "'a secret'\r\n",
            "\u{FEFF}\"a secret\" \n",
            "a secret",
        ] {
            assert_eq!(in_file(text.as_bytes()), Secret::new("a secret"), "{text}");
        }
        assert_eq!(in_file(b"it's one"), Secret::new("it's one"));
    }

    #[test]
    fn a_file_that_leaves_open_what_the_secret_is_holds_none() {
        for text in ["one\nother", "one\r\nother\r\n", "\none", "\"one\nother\""] {
            let outcome = Secret::in_file(text.as_bytes());
            assert!(matches!(outcome, Err(NoSecret::Lines)), "{text}");
        }
        for text in ["\"one", "one'", "\"", "'one\"\n"] {
            let outcome = Secret::in_file(text.as_bytes());
            assert!(matches!(outcome, Err(NoSecret::Quoted)), "{text}");
        }
    }

    #[test]
    fn a_file_with_nothing_to_see_holds_no_secret() {
        for blank in ["\"\"", "", "\n", " \t\r\n", "\u{FEFF}", "\u{FEFF}\n"] {
            let outcome = Secret::in_file(blank.as_bytes());
            assert!(matches!(outcome, Err(NoSecret::Empty)), "{blank:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_holds_no_secret() {
        // Random bytes, and what a shell of Windows makes of a redirection: UTF-16.
        for bytes in [&b"\x8F\x1A\xA1"[..], b"\xFF\xFEa\0b\0"] {
            let outcome = Secret::in_file(bytes);
            assert!(matches!(outcome, Err(NoSecret::Binary)), "{bytes:?}");
        }
    }

    #[test]
    fn a_token_key_is_read_from_base64_in_either_alphabet() {
        let bytes = [0xFB, 0xEF, 0xBE, 0xFF];
        for text in ["++++/w==", "++++/w", "----_w", "----_w=="] {
            assert_eq!(TokenSecret::bytes(text).as_deref(), Some(&bytes[..]));
        }
        for wrong in ["+", "é", "a b", "++++/x"] {
            assert_eq!(TokenSecret::bytes(wrong), None, "{wrong}");
        }
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
