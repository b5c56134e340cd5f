//! Time-limited credentials, minted from the lab's secret with `openssl dgst -sha1 -hmac`, so not
//! by our own code.

/// They expire in the last second of a 32-bit clock: to coturn, later ones have expired.
pub(crate) const VALID_UNTIL_2038: (&str, &str) =
    ("2147483647:alice", "a7B/0NMYPfMc6HxnemyAilcbJbg=");
pub(crate) const EXPIRED_IN_2001: (&str, &str) =
    ("1000000000:alice", "1nVHdgPpeeHg3ePK7TswCgVQ/dw=");
/// In the spellings of minters for other servers.
pub(crate) const ELSEWHERE: [(&str, &str); 2] = [
    ("alice:2147483647", "tEGCZPMm7u/JjQ6Fs1L9xwf9vC8="),
    ("2147483647.5:alice", "TMhi0RWM+f2YVrzeJWJkFgzOEEo="),
];
pub(crate) const IN_MILLISECONDS: (&str, &str) =
    ("2147483647000:alice", "6kxwlIBp8wjZhMTrmUthvQU9Jnc=");
pub(crate) const WITHOUT_EXPIRY: (&str, &str) = ("alice:tomorrow", "nPnNFHrzHOyzvXZtNl7KzRRgToE=");
