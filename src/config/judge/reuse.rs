//! That what seals nonces opens nothing else.

use std::ops::Range;

use super::Judge;
use crate::config::fault::{AuthFault, KeyName};
use crate::config::{Secret, TokenSecret};

/// A secret of the file, and where it is written.
pub(super) struct Known {
    key: KeyName,
    secret: Secret,
    at: Range<usize>,
}

impl Known {
    pub(super) fn new(key: &KeyName, secret: &Secret, at: &Range<usize>) -> Self {
        Self {
            key: key.clone(),
            secret: secret.clone(),
            at: at.clone(),
        }
    }

    /// The same, as one that stands in a file which is named here.
    pub(super) fn move_to(&mut self, at: &Range<usize>) {
        self.at = at.clone();
    }

    /// Whether whoever guesses one has the other.
    fn gives_away(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|known| known.secret.expose().trim());
        // The key of an authorization server is bytes, and base64 has several spellings of them.
        let bytes = TokenSecret::bytes(one);
        one == other || (bytes.is_some() && bytes == TokenSecret::bytes(other))
    }
}

impl Judge<'_> {
    /// Refuses a secret of nonces that is also another one.
    ///
    /// Each nonce is a MAC made with it over what the hearer knows, and strangers hear nonces for
    /// the asking: they can check guesses at the secret as fast as they can compute.
    pub(super) fn nonce_secret_apart(&mut self) -> Option<()> {
        let Some(nonces) = self.nonce_secret.take() else {
            return Some(());
        };
        let twin = self.secrets.iter().find(|other| nonces.gives_away(other));
        let Some(Known { key, at, .. }) = twin else {
            return Some(());
        };
        let fault = AuthFault::NonceSecretReused {
            key: nonces.key,
            other: key.clone(),
        };
        let see = Some((at.clone(), "the same"));
        self.refuse_beside(fault, nonces.at, see)
    }
}
