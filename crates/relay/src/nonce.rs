//! Nonces without memory: a MAC over the time, a serial number and the source. RFC 8489 §9.2, §14.10.
//!
//! A challenge to a stranger leaves nothing for the server to remember. A nonce is good from every
//! port of its source, since NATs rebind ports in the middle of a session. The serial number makes
//! every nonce different: no two sources may get the same (RFC 8489 §9.2.4), and pjnath gives up a
//! request that is answered 438 with the nonce that it has already.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::ShardId;
use crate::snapshot::fields;

/// The secret that seals nonces, the same for all shards. It is random, or derived from a text that
/// several servers share.
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
    /// The first characters of every nonce: the nonce cookie and the security features, or nothing.
    prefix: &'static str,
    /// The beginnings of nonces under earlier rules.
    earlier: BTreeSet<&'static str>,
    /// The shard in the first byte, so that the shards of a process count apart, and a count in the
    /// others.
    serial: [u8; SERIAL],
}

impl Nonces {
    /// `start` is where the shard begins to count. It is random, since other servers may have the
    /// same secret.
    pub(crate) fn new(
        secret: NonceSecret,
        lifetime: Duration,
        prefix: &'static str,
        shard: ShardId,
        start: u32,
    ) -> Self {
        debug_assert!(prefix.len() <= PREFIX);
        let [_, count @ ..] = start.to_be_bytes();
        let [.., shard] = shard.0.to_be_bytes();
        Self {
            prefix,
            earlier: BTreeSet::new(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret.0),
            lifetime,
            serial: [shard, count[0], count[1], count[2]],
        }
    }

    /// From now on nonces are good for so long, and begin so.
    pub(crate) fn adopt(&mut self, lifetime: Duration, prefix: &'static str) {
        self.earlier.insert(self.prefix);
        (self.lifetime, self.prefix) = (lifetime, prefix);
    }

    /// Goes on where another server stopped, whose nonces began so.
    pub(crate) fn go_on(&mut self, serial: [u8; SERIAL], prefixes: Vec<&'static str>) {
        self.serial = serial;
        self.earlier.extend(prefixes);
    }

    /// The number of the last nonce.
    pub(crate) const fn serial(&self) -> [u8; SERIAL] {
        self.serial
    }

    /// The beginnings of all nonces so far.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &'static str> {
        self.earlier.iter().copied().chain([self.prefix])
    }

    /// A fresh nonce for a source, unlike every other of this process.
    pub(crate) fn issue(&mut self, unix: Duration, source: IpAddr) -> Nonce {
        let issued = (unix.as_secs() as u32).to_be_bytes();
        let mut sealed = [0; SEALED];
        let (told, mac) = sealed.split_at_mut(TOLD);
        told[..TIME].copy_from_slice(&issued);
        told[TIME..].copy_from_slice(&self.next_serial());
        mac.copy_from_slice(&self.mac(told, source));
        let mut nonce = Nonce {
            text: [0; PREFIX + TEXT],
            length: self.prefix.len() + TEXT,
        };
        let (prefix, text) = nonce.text.split_at_mut(self.prefix.len());
        prefix.copy_from_slice(self.prefix.as_bytes());
        URL_SAFE_NO_PAD
            .encode_slice(sealed, text)
            .expect("17 bytes are 23 characters");
        nonce
    }

    /// A placeholder of a nonce's length, to size a challenge before deciding whether to send it.
    pub(crate) fn blank(&self) -> &'static str {
        &BLANK[..self.prefix.len() + TEXT]
    }

    /// In which second a nonce was made under earlier rules, if it is ours and for this source.
    pub(crate) fn issued_earlier(&self, nonce: &str, source: IpAddr) -> Option<Issued> {
        let mut prefixes = self.earlier.iter();
        prefixes.find_map(|prefix| self.issued_with(prefix, nonce, source))
    }

    /// In which second a nonce was made, if it is ours and for this source.
    pub(crate) fn issued(&self, nonce: &str, source: IpAddr) -> Option<Issued> {
        self.issued_with(self.prefix, nonce, source)
    }

    fn issued_with(&self, prefix: &str, nonce: &str, source: IpAddr) -> Option<Issued> {
        // Without what was offered it is not ours: somebody between may have taken it away.
        let nonce = nonce.strip_prefix(prefix)?;
        let mut sealed = [0; SEALED];
        // Lengths first: the decoder must not be given more than fits.
        if nonce.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(nonce, &mut sealed) != Ok(SEALED) {
            return None;
        }
        let (told, mac) = sealed.split_at(TOLD);
        let is_ours = bool::from(self.mac(told, source).ct_eq(mac));
        let issued = *told.first_chunk().expect("the time comes first");
        is_ours.then(|| Issued(u32::from_be_bytes(issued)))
    }

    /// Whether a nonce is young enough. Clocks of servers that share a secret may differ, so a
    /// nonce from the future is as old as it is far ahead.
    pub(crate) fn is_young(&self, issued: Issued, unix: Duration) -> bool {
        u64::from(issued.0).abs_diff(unix.as_secs()) < self.lifetime.as_secs()
    }

    fn next_serial(&mut self) -> [u8; SERIAL] {
        let [shard, count @ ..] = &mut self.serial;
        for byte in count.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        [*shard, count[0], count[1], count[2]]
    }

    fn mac(&self, told: &[u8], source: IpAddr) -> [u8; MAC] {
        let mut sealed = [0; TOLD + 16];
        let (head, address) = sealed.split_at_mut(TOLD);
        head.copy_from_slice(told);
        let length = match source {
            IpAddr::V4(ip) => {
                address[..4].copy_from_slice(&ip.octets());
                4
            }
            IpAddr::V6(ip) => {
                address.copy_from_slice(&ip.octets());
                16
            }
        };
        let tag = hmac::sign(&self.key, &sealed[..TOLD + length]);
        *tag.as_ref().first_chunk().expect("a tag has 32 bytes")
    }
}

/// The second in which a nonce was made, since the Unix epoch by the clock of the server that made
/// it. Two of them are compared with each other where the clock may have been set meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Issued(u32);

fields!(Issued(second));

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
/// A byte for the shard, and 16 million nonces of each in a second.
const SERIAL: usize = 4;
const TOLD: usize = TIME + SERIAL;
/// 72 bits: online guessing is hopeless, and the challenge stays short. With the features in front
/// the nonce has 36 characters, which need no padding.
const MAC: usize = 9;
const SEALED: usize = TOLD + MAC;
const TEXT: usize = 23;
/// Nonce cookie and security features. RFC 8489 §9.2.
const PREFIX: usize = 13;
/// The text that [`Nonces::blank`] takes its part of.
const BLANK: &str = "------------------------------------";
const _: () = assert!(BLANK.len() == PREFIX + TEXT);

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED: Duration = Duration::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(3600);
    const HERE: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nonces(secret: u8, prefix: &'static str) -> Nonces {
        Nonces::new(NonceSecret([secret; 32]), LIFETIME, prefix, ShardId(0), 0)
    }

    fn accepts(nonces: &Nonces, nonce: &str, unix: Duration, source: &str) -> bool {
        let issued = nonces.issued(nonce, ip(source));
        issued.is_some_and(|issued| nonces.is_young(issued, unix))
    }

    #[test]
    fn a_nonce_is_good_for_its_lifetime_to_the_second() {
        let mut nonces = nonces(1, "");
        let nonce = nonces.issue(ISSUED, ip(HERE));
        let at = |seconds| {
            let then = ISSUED + Duration::from_secs(seconds);
            accepts(&nonces, nonce.as_str(), then, HERE)
        };
        assert!(at(0) && at(3599));
        assert!(!at(3600) && !at(10_000));
    }

    #[test]
    fn a_nonce_serves_no_other_source_and_no_other_server() {
        let mut nonces = nonces(1, "");
        let nonce = nonces.issue(ISSUED, ip(HERE));
        assert!(!accepts(&nonces, nonce.as_str(), ISSUED, "192.0.2.2"));
        assert!(!accepts(&nonces, nonce.as_str(), ISSUED, "2001:db8::1"));
        let other = self::nonces(2, "");
        assert!(!accepts(&other, nonce.as_str(), ISSUED, HERE));
    }

    #[test]
    fn no_nonce_is_heard_twice_whatever_the_source_and_the_shard() {
        let mut heard = BTreeSet::new();
        for shard in [0, 1, 255] {
            let secret = NonceSecret([1; 32]);
            // The count carries over into every one of its bytes.
            let mut nonces = Nonces::new(secret, LIFETIME, "", ShardId(shard), 0x00FF_FF00);
            for host in [HERE, HERE, "192.0.2.2", "2001:db8::1"] {
                for _ in 0..=u16::MAX {
                    let nonce = nonces.issue(ISSUED, ip(host));
                    assert!(heard.insert(nonce.as_str().to_owned()));
                }
            }
        }
    }

    #[test]
    fn no_character_of_a_nonce_can_change() {
        let mut nonces = nonces(1, "obMatJos2gAAA");
        let nonce = nonces.issue(ISSUED, ip(HERE));
        for at in 0..nonce.as_str().len() {
            let mut forged = nonce.as_str().to_owned().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(!accepts(&nonces, &forged, ISSUED, HERE), "{forged}");
        }
        assert!(!accepts(&nonces, "", ISSUED, HERE));
        assert!(!accepts(&nonces, &"A".repeat(763), ISSUED, HERE));
    }
}
