//! The credential of one user.

use wire::attributes::PasswordAlgorithm;
use wire::{Key, MacKey};
use zeroize::Zeroizing;

use super::{NotOpaque, Proof, prepared};

/// The credential of a user, from the configuration or from a store: [`crate::Effect::FetchKey`].
pub struct User(Form);

enum Form {
    /// A password, from which the key of any realm can be derived.
    Password {
        prepared: Zeroizing<String>,
        /// The password as it was written, if OpaqueString changes it: not every client prepares
        /// it.
        written: Option<Zeroizing<String>>,
    },
    /// MD5 over `user:realm:password`, good only for this spelling of the name and in this realm.
    Key { md5: Key, spelled: String },
}

impl User {
    /// A user with a password.
    ///
    /// # Errors
    /// If the password has characters that OpaqueString forbids. RFC 8265 §4.2.
    pub fn with_password(password: &str) -> Result<Self, NotOpaque> {
        let prepared = prepared(password).ok_or(NotOpaque::Password)?;
        let written = (*prepared != *password).then(|| Zeroizing::new(password.to_owned()));
        let prepared = Zeroizing::new(prepared.into_owned());
        Ok(Self(Form::Password { prepared, written }))
    }

    /// A user with the key that was derived from the password: MD5 over `user:realm:password`, with
    /// the name in this spelling.
    pub fn with_key(name: &str, key: [u8; 16]) -> Self {
        Self(Form::Key {
            md5: Key::precomputed(&key),
            spelled: name.to_owned(),
        })
    }

    pub(super) const fn has_password(&self) -> bool {
        matches!(self.0, Form::Password { .. })
    }

    /// Whether the password was written otherwise than OpaqueString leaves it.
    pub(super) const fn has_spelling(&self) -> bool {
        matches!(
            self.0,
            Form::Password {
                written: Some(_),
                ..
            }
        )
    }

    /// The key, if the user's password or key signed. For an unknown user an empty password is
    /// tried.
    pub(super) fn own_key(
        known: Option<&Self>,
        realm: &str,
        has_spellings: bool,
        proof: Proof<'_>,
    ) -> Option<MacKey> {
        let known = known.map(|user| &user.0);
        let (prepared, written) = match known {
            Some(Form::Password { prepared, written }) => (&***prepared, written.as_ref()),
            Some(Form::Key { .. }) | None => ("", None),
        };
        let derived = proof.derive(prepared);
        let first = if let Some(Form::Key { md5, spelled }) = known {
            let is_meant = spelled == proof.username && realm == proof.realm;
            let is_md5 = proof.algorithms.password != PasswordAlgorithm::SHA256;
            let signed = proof.by(if is_meant { md5 } else { &derived });
            signed.filter(|_| is_meant && is_md5)
        } else {
            proof.by(&derived)
        };
        let is_done = !has_spellings || known.is_some() && first.is_some();
        if is_done {
            return first;
        }
        let second = proof.by(&proof.derive(written.map_or(prepared, |written| written)));
        first.or(second.filter(|_| written.is_some()))
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(***)")
    }
}
