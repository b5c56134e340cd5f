//! The features that a server announces in front of its nonces. RFC 8489 §9.2, §18.1.

/// The STUN Security Features that a nonce announces. They are part of the nonce since the client
/// sends it back signed: so the server notices if an attacker took an offer away on its way to the
/// client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityFeatures {
    /// PASSWORD-ALGORITHMS comes with the nonce.
    pub password_algorithms: bool,
    /// Users are to be named by USERHASH.
    pub username_anonymity: bool,
}

impl SecurityFeatures {
    /// Reads the nonce cookie; `None` if there is none, as in nonces of older servers.
    pub fn of(nonce: &str) -> Option<Self> {
        let bits = nonce
            .strip_prefix(NONCE_COOKIE)?
            .as_bytes()
            .first_chunk::<4>()?;
        let [first, second, third, fourth] = bits.map(sextet);
        // Bit 0 is the leftmost of 24. Characters of bits that are not assigned only have to be
        // base64.
        let (first, _, _, _) = (first?, second?, third?, fourth?);
        Some(Self {
            password_algorithms: first & 0x20 != 0,
            username_anonymity: first & 0x10 != 0,
        })
    }
}

/// The six bits of a base64 character. RFC 4648 §4.
fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The start of the nonces of servers that know RFC 8489. RFC 8489 §9.2.
pub const NONCE_COOKIE: &str = "obMatJos2";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_says(nonce: &str, password_algorithms: bool, username_anonymity: bool) {
        let features = SecurityFeatures {
            password_algorithms,
            username_anonymity,
        };
        assert_eq!(SecurityFeatures::of(nonce), Some(features));
    }

    #[test]
    fn the_two_leftmost_bits_are_algorithms_and_anonymity() {
        assert_says("obMatJos2AAAAnonce", false, false);
        assert_says("obMatJos2gAAAnonce", true, false);
        assert_says("obMatJos2QAAAnonce", false, true);
        assert_says("obMatJos2wAAA", true, true);
        // Bits that are not assigned have no meaning. The last nonce is that of RFC 8489 App. B.1.
        assert_says("obMatJos2P///", false, false);
        assert_says("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA", false, false);
    }

    #[test]
    fn a_nonce_without_the_whole_cookie_announces_nothing() {
        for nonce in [
            "",
            "nonce",
            "obMatJos",
            "obMatJos2",
            "obMatJos2wAA",
            "obMatJos2w=AA",
            "obMatJos2wAA-",
            "xobMatJos2wAAA",
            "obMatJos2wAA\u{e9}",
        ] {
            assert_eq!(SecurityFeatures::of(nonce), None, "{nonce}");
        }
    }
}
