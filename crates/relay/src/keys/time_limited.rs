//! Credentials that a web service mints from a shared secret, good until a time in their name. The
//! TURN REST convention of draft-uberti-behave-turn-rest.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Reject;

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// USERNAME.
    pub username: String,
    /// The password, base64.
    pub password: String,
}

/// The hash behind a time-limited password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mint {
    /// HMAC-SHA1, which every server and every guide knows.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

/// Mints a time-limited credential: user name `expiry:user` (or `expiry` alone), password
/// base64(HMAC(secret, user name)). `expiry` is in seconds since the Unix epoch.
pub fn mint(mint: Mint, secret: &[u8], user: Option<&str>, expiry: u64) -> Credential {
    let username = user.map_or_else(|| expiry.to_string(), |user| format!("{expiry}:{user}"));
    let password = Secret::new(secret).password(mint, &username);
    Credential { username, password }
}

pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(secret.to_vec().into())
    }

    pub(super) fn password(&self, mint: Mint, username: &str) -> String {
        match mint {
            Mint::Sha1 => self.mac::<Hmac<Sha1>>(username),
            Mint::Sha256 => self.mac::<Hmac<Sha256>>(username),
        }
    }

    fn mac<M: Mac + KeyInit>(&self, username: &str) -> String {
        let mut mac = <M as KeyInit>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A user name that holds the time until which it is good: `expiry:user`, `user:expiry` or `expiry`.
/// coturn takes all three, and so minters of all three are in use.
#[derive(Debug)]
pub(super) struct TimeLimited<'a> {
    /// Since the Unix epoch.
    pub(super) expiry: Duration,
    pub(super) name: Option<&'a str>,
}

impl<'a> TimeLimited<'a> {
    /// Reads a name that no configured user has.
    ///
    /// A time before the first colon is the expiry, whatever is behind it: a service that mints
    /// `expiry:user` and lets people choose their names must not let them choose the expiry. So
    /// `user:expiry` is only for users whose names cannot be read as a time: a telephone number
    /// cannot.
    ///
    /// # Errors
    /// The refusal that names the mistake, if the name is like one of these; otherwise that the
    /// user is unknown.
    pub(super) fn read(user: &'a str) -> Result<Self, Reject> {
        let (first, behind) = user.split_once(':').unzip();
        // The user's name may have colons, too.
        let (before, last) = user.rsplit_once(':').unzip();
        let (first, last) = (first.unwrap_or(user), last.unwrap_or_default());
        let [first_number, last_number] = [first, last].map(whole_seconds);
        let (expiry, name) = match (first_number, last_number) {
            (Some(expiry @ EARLIEST..LATEST), _) => (expiry, behind),
            (_, Some(expiry @ EARLIEST..LATEST)) => (expiry, before),
            // A time so late counts as never.
            (Some(expiry @ LATEST..MILLISECONDS), _) => (expiry, behind),
            (Some(MILLISECONDS..), _) | (_, Some(MILLISECONDS..)) => {
                return Err(Reject::ExpiryInMilliseconds);
            }
            (Some(_) | None, Some(_) | None) => {
                let is_like = behind.is_some() || user.starts_with(|it: char| it.is_ascii_digit());
                return Err(if is_like {
                    Reject::NoExpiry
                } else {
                    Reject::UnknownUser
                });
            }
        };
        Ok(Self {
            expiry: Duration::from_secs(expiry),
            name: name.filter(|name| !name.is_empty()),
        })
    }
}

/// The whole seconds of a number that may have a fraction, as JavaScript's `Date.now() / 1000` has.
/// `None` if the text is no number; a number too large for `u64` counts as its maximum.
fn whole_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (is_number(whole) && is_number(fraction)).then(|| whole.parse().unwrap_or(u64::MAX))
}

/// Seconds reach this in the year 5138, and milliseconds did in 1973.
const MILLISECONDS: u64 = 100_000_000_000;
/// September 2001, before anybody minted. A smaller number is a user's number or a lifetime.
const EARLIEST: u64 = 1_000_000_000;
/// The year 2100. A larger number may be meant as never, or may be a user's telephone number.
const LATEST: u64 = 4_102_444_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_password_is_the_hmac_of_its_name() {
        // printf %s 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64
        let credential = mint(Mint::Sha1, b"north", Some("alice"), 1_800_000_000);
        assert_eq!(credential.username, "1800000000:alice");
        assert_eq!(credential.password, "sIm7pn/teO7y3AyXGeXl/xAQR6Q=");
        // printf %s 1800000000 | openssl dgst -sha1 -hmac north -binary | base64
        let credential = mint(Mint::Sha1, b"north", None, 1_800_000_000);
        assert_eq!(credential.username, "1800000000");
        assert_eq!(credential.password, "4T8K1gDWaxdgRxU6Bb5OYX1vip8=");
    }

    #[test]
    fn a_password_may_be_minted_with_sha256() {
        // printf %s 1800000000:alice | openssl dgst -sha256 -hmac north -binary | base64
        let credential = mint(Mint::Sha256, b"north", Some("alice"), 1_800_000_000);
        assert_eq!(
            credential.password,
            "/r5Q7atDmSNNbxP/hfNXBc4pnphZeap0qTpyCpx+nc4="
        );
    }

    #[track_caller]
    fn read(name: &str) -> (u64, Option<&str>) {
        let limited = TimeLimited::read(name).unwrap();
        (limited.expiry.as_secs(), limited.name)
    }

    #[test]
    fn an_expiry_stands_before_the_user_or_behind_or_alone() {
        for (name, user) in [
            ("1800000000", None),
            ("1800000000:", None),
            (":1800000000", None),
            ("1800000000:alice", Some("alice")),
            ("alice:1800000000", Some("alice")),
            ("1800000000:a:b", Some("a:b")),
            ("a:b:1800000000", Some("a:b")),
            // A number comes first only as an expiry.
            ("1800000000:1900000000", Some("1900000000")),
            ("42:1800000000", Some("42")),
            ("14155550123:1800000000", Some("14155550123")),
            ("9999999999:1800000000", Some("9999999999")),
            ("1800000000:alice:1900000000", Some("alice:1900000000")),
        ] {
            assert_eq!(read(name), (1_800_000_000, user), "{name}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_no_second() {
        for name in ["1800000000.999", "1800000000.5:alice", "alice:1800000000.0"] {
            assert_eq!(read(name).0, 1_800_000_000, "{name}");
        }
    }

    #[test]
    fn an_expiry_in_milliseconds_is_told_from_one_in_seconds() {
        for name in [
            "1800000000000:alice",
            "alice:1800000000000",
            "1800000000000.5",
            "100000000000",
            "99999999999999999999",
        ] {
            let refused = TimeLimited::read(name).unwrap_err();
            assert_eq!(refused, Reject::ExpiryInMilliseconds, "{name}");
        }
        assert_eq!(read("99999999999:alice").0, 99_999_999_999);
    }

    #[test]
    fn a_name_that_is_like_a_time_limited_one_is_told_from_any_other() {
        for name in [
            "alice:tomorrow",
            "2026-12-01:alice",
            "2026-12-01",
            "+1800000000:alice",
            "0x6B49D200:alice",
            "1800000000.:alice",
            "alice:",
            ":",
            // A lifetime.
            "3600:alice",
        ] {
            let refused = TimeLimited::read(name).unwrap_err();
            assert_eq!(refused, Reject::NoExpiry, "{name}");
        }
        for name in ["", "alice", "alice@example.org", "+17"] {
            let refused = TimeLimited::read(name).unwrap_err();
            assert_eq!(refused, Reject::UnknownUser, "{name}");
        }
    }
}
