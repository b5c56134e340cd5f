//! Nonces without memory: a MAC over the time and the source. RFC 8489 §9.2, §14.10.
//!
//! A stranger's challenge costs the server nothing to remember. A nonce is good from every port of
//! its source, since NATs rebind ports in the middle of a session; it holds the port it was given
//! to all the same, so that no two sources hear the same nonce. RFC 8489 §9.2.4.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

/// Seals nonces: random, and the same for all shards.
#[derive(Clone, Copy)]
pub struct NonceSecret(pub [u8; 32]);

impl std::fmt::Debug for NonceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceSecret(***)")
    }
}

/// Makes and recognises nonces.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: hmac::Key,
    lifetime: Duration,
    /// Begins every nonce: the nonce cookie and the security features, or nothing.
    prefix: &'static str,
}

impl Nonces {
    pub(crate) fn new(secret: NonceSecret, lifetime: Duration, prefix: &'static str) -> Self {
        debug_assert!(prefix.len() <= PREFIX);
        Self {
            prefix,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret.0),
            lifetime,
        }
    }

    /// A fresh nonce for a source.
    pub(crate) fn issue(&self, unix: Duration, source: SocketAddr) -> Nonce {
        let issued = (unix.as_secs() as u32).to_be_bytes();
        let mut sealed = [0; SEALED];
        let (told, mac) = sealed.split_at_mut(TOLD);
        told[..TIME].copy_from_slice(&issued);
        told[TIME..].copy_from_slice(&source.port().to_be_bytes());
        mac.copy_from_slice(&self.mac(told, source.ip()));
        let mut nonce = Nonce {
            text: [0; PREFIX + TEXT],
            length: self.prefix.len() + TEXT,
        };
        let (prefix, text) = nonce.text.split_at_mut(self.prefix.len());
        prefix.copy_from_slice(self.prefix.as_bytes());
        URL_SAFE_NO_PAD
            .encode_slice(sealed, text)
            .expect("20 bytes are 27 characters");
        nonce
    }

    /// As long as any, and good for nothing.
    pub(crate) fn blank(&self) -> &'static str {
        &BLANK[..self.prefix.len() + TEXT]
    }

    /// Whether a nonce is ours, for this source, and young enough. Clocks of servers that share a
    /// secret may differ, so a nonce from the near future is as good.
    pub(crate) fn accepts(&self, nonce: &str, unix: Duration, source: IpAddr) -> bool {
        // Without what was offered it is not ours: somebody between may have taken it away.
        let Some(nonce) = nonce.strip_prefix(self.prefix) else {
            return false;
        };
        let mut sealed = [0; SEALED];
        // Lengths first: the decoder must not be handed more than fits.
        if nonce.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(nonce, &mut sealed) != Ok(SEALED) {
            return false;
        }
        let (told, mac) = sealed.split_at(TOLD);
        let issued = *told.first_chunk().expect("the time comes first");
        let age = u64::from(u32::from_be_bytes(issued)).abs_diff(unix.as_secs());
        bool::from(self.mac(told, source).ct_eq(mac)) && age < self.lifetime.as_secs()
    }

    fn mac(&self, told: &[u8], source: IpAddr) -> [u8; MAC] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(told);
        match source {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("a tag has 32 bytes")
    }
}

/// The text of a nonce.
pub(crate) struct Nonce {
    text: [u8; PREFIX + TEXT],
    length: usize,
}

impl Nonce {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).expect("base64 is ASCII")
    }
}

/// Seconds since the epoch, until 2106.
const TIME: usize = 4;
/// The time, and the port that asked.
const TOLD: usize = TIME + 2;
/// 112 bits: online guessing is hopeless, and the challenge stays short.
const MAC: usize = 14;
const SEALED: usize = TOLD + MAC;
const TEXT: usize = 27;
/// Nonce cookie and security features. RFC 8489 §9.2.
const PREFIX: usize = 13;
/// What [`Nonces::blank`] is a part of.
const BLANK: &str = "----------------------------------------";
const _: () = assert!(BLANK.len() == PREFIX + TEXT);

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED: Duration = Duration::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(600);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn source(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self::ip(ip), port)
    }

    #[test]
    fn a_nonce_is_good_for_its_lifetime_to_the_second() {
        let nonces = Nonces::new(NonceSecret([1; 32]), LIFETIME, "");
        let nonce = nonces.issue(ISSUED, source("192.0.2.1", 5000));
        let at = |seconds| {
            nonces.accepts(
                nonce.as_str(),
                ISSUED + Duration::from_secs(seconds),
                ip("192.0.2.1"),
            )
        };
        assert!(at(0) && at(599));
        assert!(!at(600) && !at(10_000));
    }

    #[test]
    fn a_nonce_serves_no_other_source_and_no_other_server() {
        let nonces = Nonces::new(NonceSecret([1; 32]), LIFETIME, "");
        let nonce = nonces.issue(ISSUED, source("192.0.2.1", 5000));
        assert!(!nonces.accepts(nonce.as_str(), ISSUED, ip("192.0.2.2")));
        assert!(!nonces.accepts(nonce.as_str(), ISSUED, ip("2001:db8::1")));
        let other = Nonces::new(NonceSecret([2; 32]), LIFETIME, "");
        assert!(!other.accepts(nonce.as_str(), ISSUED, ip("192.0.2.1")));
    }

    #[test]
    fn no_two_sources_hear_the_same_nonce() {
        let nonces = Nonces::new(NonceSecret([1; 32]), LIFETIME, "");
        let mut heard = std::collections::BTreeSet::new();
        for host in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            for port in 1..=u16::MAX {
                let nonce = nonces.issue(ISSUED, source(host, port));
                assert!(heard.insert(nonce.as_str().to_owned()));
            }
        }
    }

    #[test]
    fn no_character_of_a_nonce_can_change() {
        let nonces = Nonces::new(NonceSecret([1; 32]), LIFETIME, "obMatJos2gAAA");
        let nonce = nonces.issue(ISSUED, source("192.0.2.1", 5000));
        for at in 0..nonce.as_str().len() {
            let mut forged = nonce.as_str().to_owned().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(
                !nonces.accepts(&forged, ISSUED, ip("192.0.2.1")),
                "{forged}"
            );
        }
        assert!(!nonces.accepts("", ISSUED, ip("192.0.2.1")));
        assert!(!nonces.accepts(&"A".repeat(763), ISSUED, ip("192.0.2.1")));
    }
}
