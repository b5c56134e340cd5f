//! What a 401 or a 438 asks for, and the answer to it. RFC 8489 §9.2.

use wire::attributes::{Nonce, Realm, Username};
use wire::{Algorithm, Key, MacKey, Message, Writer};

use crate::Credentials;

/// A realm and a nonce that the server named, and the key that these credentials have there.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    username: String,
    realm: String,
    nonce: String,
    key: MacKey,
}

impl Challenge {
    /// Reads a 401 or 438; `None` if it names no realm or no nonce, and so cannot be met.
    /// RFC 8489 §9.2.5.
    pub(crate) fn read(message: &Message<'_>, credentials: &Credentials) -> Option<Self> {
        let Realm(realm) = message.get().ok()??;
        let Nonce(nonce) = message.get().ok()??;
        // The realm is hashed as it came: it was for the server to prepare it (RFC 8489 §14.9),
        // and one that did not hashes its own bytes.
        let key = Key::md5(credentials.username(), realm, credentials.password());
        Some(Self {
            username: credentials.username().to_owned(),
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            key: key.schedule(Algorithm::Sha1),
        })
    }

    /// Ends a request with what the server asked for.
    pub(crate) fn sign(&self, writer: &mut Writer<'_>) {
        writer
            .put(&Username(&self.username))
            .put(&Realm(&self.realm))
            .put(&Nonce(&self.nonce))
            .sign(&self.key);
    }

    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    pub(crate) fn key(&self) -> &MacKey {
        &self.key
    }
}
