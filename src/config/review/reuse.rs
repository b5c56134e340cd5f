//! That what seals nonces opens nothing else.

use std::ops::Range;

use super::Review;
use crate::config::remark::Remark;
use crate::config::{Secret, TokenSecret};

/// A secret of the file, its key, and where it is written.
pub(super) struct Known {
    pub(super) key: String,
    pub(super) secret: Secret,
    pub(super) at: Range<usize>,
}

impl Known {
    /// Whether whoever guesses one has the other.
    fn gives_away(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|known| known.secret.expose().trim());
        // The key of an authorization server is bytes, and base64 has several spellings of them.
        let bytes = TokenSecret::bytes(one);
        one == other || (bytes.is_some() && bytes == TokenSecret::bytes(other))
    }
}

impl Review<'_> {
    /// Refuses a secret of nonces that is also another one.
    ///
    /// Each nonce is a MAC made with it over what the hearer knows, and strangers hear nonces for
    /// the asking: they can check guesses at the secret as fast as they can compute.
    pub(super) fn nonce_secret_apart(&mut self) {
        let Some(nonces) = self.nonce_secret.take() else {
            return;
        };
        if let Some(twin) = self.secrets.iter().find(|other| nonces.gives_away(other)) {
            let sentence = format!(
                "{} holds the same secret as {}: every stranger hears nonces made with it, and can \
                 check guesses at it offline",
                nonces.key, twin.key
            );
            let fault = Remark::fault(nonces.at, sentence).see(twin.at.clone(), "the same");
            self.say(fault.help("make one for nonces alone: `openssl rand -base64 32`"));
        }
    }
}
