//! Cookies: a client proves that it hears at its address before anything is kept for it. RFC 6347
//! §4.2.1.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dimpl::CryptoError;
use dimpl::crypto::{CryptoProvider, HashAlgorithm, HmacProvider, rust_crypto};
use relay::ClientTuple;
use ring::hmac;

use super::chain;

/// The cookies of one shard.
#[derive(Debug)]
pub(crate) struct Cookies {
    key: hmac::Key,
    epoch: Instant,
}

impl Cookies {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()),
            epoch: now,
        }
    }

    /// The cookie for a client whose hello has this random.
    pub(crate) fn issue(&self, now: Instant, client: ClientTuple, random: &[u8; 32]) -> [u8; 32] {
        self.of(self.period(now), client, random)
    }

    /// Whether it is one that was issued to this client lately.
    pub(crate) fn is_good(
        &self,
        now: Instant,
        client: ClientTuple,
        random: &[u8; 32],
        cookie: &[u8],
    ) -> bool {
        let period = self.period(now);
        let context = |period| self.context(period, client, random);
        [Some(period), period.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|period| hmac::verify(&self.key, &context(period), cookie).is_ok())
    }

    fn of(&self, period: u64, client: ClientTuple, random: &[u8; 32]) -> [u8; 32] {
        let tag = hmac::sign(&self.key, &self.context(period, client, random));
        let mut cookie = [0; 32];
        cookie.copy_from_slice(tag.as_ref());
        cookie
    }

    /// Everything that a cookie is bound to.
    fn context(&self, period: u64, client: ClientTuple, random: &[u8; 32]) -> [u8; CONTEXT] {
        let mut context = [0; CONTEXT];
        let (head, rest) = context.split_at_mut(8);
        head.copy_from_slice(&period.to_be_bytes());
        let (from, rest) = rest.split_at_mut(ADDRESS);
        from.copy_from_slice(&address(client.client));
        let (to, rest) = rest.split_at_mut(ADDRESS);
        to.copy_from_slice(&address(client.server));
        rest.copy_from_slice(random);
        context
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs() / PERIOD.as_secs()
    }
}

fn address(socket: SocketAddr) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    let ip = match socket.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&socket.port().to_be_bytes());
    bytes
}

/// Calls the engine so that it takes `cookie`, and no other, for its own. An engine makes cookies by
/// a secret of its own, so it would have to exist before it can ask for one.
pub(super) fn with_cookie<T>(cookie: [u8; 32], call: impl FnOnce() -> T) -> T {
    EXPECTED.set(Some(cookie));
    let outcome = call();
    EXPECTED.set(None);
    outcome
}

thread_local! {
    /// The cookie of the hello that the engine is given now.
    static EXPECTED: Cell<Option<[u8; 32]>> = const { Cell::new(None) };
}

/// The library's own cryptography, but for cookies and the length of a certificate.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        hmac_provider: &OwnCookies,
        hash_provider: &chain::Hashes,
        ..rust_crypto::default_provider()
    }
}

#[derive(Debug)]
struct OwnCookies;

impl HmacProvider for OwnCookies {
    /// Of all that the engine computes, cookies alone come this way.
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        match EXPECTED.get() {
            Some(cookie) => Ok(cookie),
            None => rust_crypto::default_provider()
                .hmac_provider
                .hmac_sha256(key, data),
        }
    }

    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        rust_crypto::default_provider()
            .hmac_provider
            .hmac(hash, key, data, out)
    }
}

/// A cookie is good for one period at least, and for two at most.
const PERIOD: Duration = Duration::from_secs(60);
const ADDRESS: usize = 18;
const CONTEXT: usize = 8 + 2 * ADDRESS + 32;

#[cfg(test)]
mod tests {
    use relay::Transport;

    use super::*;

    fn client(address: &str) -> ClientTuple {
        ClientTuple {
            transport: Transport::Dtls,
            client: address.parse().unwrap(),
            server: "192.0.2.1:3478".parse().unwrap(),
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_its_hello_alone() {
        let now = Instant::now();
        let cookies = Cookies::new(now);
        let (own, random) = (client("198.51.100.7:5000"), [7; 32]);
        let cookie = cookies.issue(now, own, &random);
        assert!(cookies.is_good(now, own, &random, &cookie));
        assert!(!cookies.is_good(now, own, &[8; 32], &cookie));
        for other in [
            "198.51.100.8:5000",
            "198.51.100.7:5001",
            "[2001:db8::7]:5000",
        ] {
            assert!(!cookies.is_good(now, client(other), &random, &cookie));
        }
        let other = ClientTuple {
            server: "192.0.2.2:3478".parse().unwrap(),
            ..own
        };
        assert!(!cookies.is_good(now, other, &random, &cookie));
        for cut in 0..32 {
            assert!(!cookies.is_good(now, own, &random, &cookie[..cut]));
        }
        assert!(!Cookies::new(now).is_good(now, own, &random, &cookie));
    }

    #[test]
    fn a_cookie_is_good_for_a_minute_and_bad_after_two() {
        let start = Instant::now();
        let cookies = Cookies::new(start);
        let (own, random) = (client("198.51.100.7:5000"), [7; 32]);
        for second in [0, 59, 60, 119, 120] {
            let issued = start + Duration::from_secs(second);
            let cookie = cookies.issue(issued, own, &random);
            assert!(cookies.is_good(issued + PERIOD, own, &random, &cookie));
            assert!(!cookies.is_good(issued + 2 * PERIOD, own, &random, &cookie));
        }
    }
}
