//! What can be wrong with an `[[oauth.key]]`.

use std::borrow::Cow;

use relay::keys::Encryption;

use super::KeyName;

/// A mistake in `[oauth]` or `[[oauth.key]]`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OauthFault {
    /// A name that no client could send, or show.
    #[error("{key} {reason}")]
    Name {
        /// The key.
        key: KeyName,
        /// Why not.
        reason: &'static str,
    },
    /// A key in the file and in another.
    #[error("{key} stands beside `key`, which says it already")]
    TwoKeys {
        /// The key.
        key: KeyName,
    },
    /// A key that is not readable.
    #[error("{key} is not base64")]
    Base64 {
        /// The key.
        key: KeyName,
    },
    /// A key that its algorithm cannot use.
    #[error(
        "{key} has {length} bytes, but {} has keys of {}",
        algorithm(*.encryption),
        .encryption.key_length()
    )]
    KeyLength {
        /// The key.
        key: KeyName,
        /// Its length, in bytes.
        length: usize,
        /// The algorithm.
        encryption: Encryption,
    },
    /// A point in time that is none.
    #[error("{key} is not a time")]
    Time {
        /// The key.
        key: KeyName,
    },
    /// A key that is never good.
    #[error("{key} is not after `not-before`, so the key is never good")]
    ExpiresFirst {
        /// The key.
        key: KeyName,
    },
}

impl OauthFault {
    /// What to write instead, where that is known.
    pub(crate) fn help(&self) -> Option<Cow<'static, str>> {
        let help: Cow<'static, str> = match self {
            Self::TwoKeys { .. } => "remove one of them".into(),
            Self::Base64 { .. } => "make one with `openssl rand -base64 32`".into(),
            Self::KeyLength { encryption, .. } => key_length_help(*encryption).into(),
            Self::Time { .. } => "write it in UTC, such as \"2027-01-01T00:00:00Z\"".into(),
            Self::Name { .. } | Self::ExpiresFirst { .. } => return None,
        };
        Some(help)
    }
}

/// The name of RFC 7518 §5.1.
const fn algorithm(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::A256Gcm => "A256GCM",
        Encryption::A128Gcm => "A128GCM",
    }
}

fn key_length_help(encryption: Encryption) -> String {
    let length = encryption.key_length();
    format!(
        "make one with `openssl rand -base64 {length}`; of a longer one coturn uses the first \
         {length} bytes, so give these: `… | base64 -d | head -c {length} | base64`"
    )
}
