//! Challenges: a 401 or a 438, and how a request answers it. RFC 8489 §9.2.

use wire::attributes::{Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UserHash, Username};
use wire::{Algorithm, Key, MacKey, Message, SecurityFeatures, Writer};

use crate::sha256::Choice;
use crate::{Credentials, Sha256};

/// A realm and a nonce of the server, and the key of the client's credentials in that realm.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    user: User,
    realm: String,
    nonce: String,
    /// PASSWORD-ALGORITHM and the PASSWORD-ALGORITHMS it is from.
    chosen: Option<(PasswordAlgorithm, Vec<u8>)>,
    key: MacKey,
}

/// How the server wants the user named.
#[derive(Clone, Debug)]
enum User {
    Name(String),
    Hash(UserHash),
}

impl Challenge {
    /// Reads a 401 or 438; `None` if it cannot be answered, since it names no realm or no nonce, or
    /// must not be, since it offers less than it should. RFC 8489 §9.2.5.
    pub(crate) fn read(
        message: &Message<'_>,
        credentials: &Credentials,
        sha256: Sha256,
        before: Option<&Self>,
    ) -> Option<Self> {
        let Realm(realm) = message.get().ok()??;
        let Nonce(nonce) = message.get().ok()??;
        let was_new = before.is_some_and(|before| before.chosen.is_some());
        let choice = sha256.choose(message, was_new)?;
        let (name, password) = (credentials.username(), credentials.password());
        // The realm is hashed as it came: the server had to prepare it (RFC 8489 §14.9), and a
        // server that did not hashes its own bytes.
        let md5 = || Key::md5(name, realm, password);
        let (key, chosen) = match choice {
            Choice::Old => (md5().schedule(Algorithm::Sha1), None),
            Choice::New { algorithm, offered } => {
                let key = if algorithm == PasswordAlgorithm::SHA256 {
                    Key::sha256(name, realm, password)
                } else {
                    md5()
                };
                let chosen = (algorithm, offered.0.to_vec());
                (key.schedule(Algorithm::Sha256), Some(chosen))
            }
        };
        let features = SecurityFeatures::of(nonce).filter(|_| sha256 != Sha256::Off);
        let user = if features.is_some_and(|features| features.username_anonymity) {
            User::Hash(UserHash::of(name, realm))
        } else {
            User::Name(name.to_owned())
        };
        Some(Self {
            user,
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            chosen,
            key,
        })
    }

    /// Ends a request with the attributes that the challenge asks for.
    pub(crate) fn sign(&self, writer: &mut Writer<'_>) {
        match &self.user {
            User::Name(name) => writer.put(&Username(name)),
            User::Hash(hash) => writer.put(hash),
        };
        writer.put(&Realm(&self.realm)).put(&Nonce(&self.nonce));
        if let Some((algorithm, offered)) = &self.chosen {
            writer.put(algorithm).put(&PasswordAlgorithms(offered));
        }
        writer.sign(&self.key);
    }

    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    pub(crate) fn key(&self) -> &MacKey {
        &self.key
    }
}
