//! What can be wrong with realms, and with who is in them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use relay::keys::NotOpaque;

use super::KeyName;
use crate::config::secret::NoSecret;

/// A mistake in `realm`, `[auth]` or `[[auth.realm]]`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthFault {
    /// Users given by MD5 keys, and SHA-256 required.
    #[error("`[auth] sha256` is \"require\", but a user is given by an MD5 key")]
    KeyUnderRequire,
    /// A secret of nothing.
    #[error("{key} has a secret that is empty")]
    EmptySecret {
        /// The key.
        key: KeyName,
    },
    /// A secret everybody knows.
    #[error("{key} is still the placeholder of a guide, which everybody knows")]
    Placeholder {
        /// The key.
        key: KeyName,
    },
    /// A secret that can be guessed.
    #[error("{key} is a secret of {length} bytes, too short to resist guessing: 16 are the least")]
    ShortSecret {
        /// The key.
        key: KeyName,
        /// Its length.
        length: usize,
    },
    /// A secret that whoever hears a nonce can check guesses at.
    #[error(
        "{key} holds the same secret as {other}: every stranger hears nonces made with it, and can \
         check guesses at it offline"
    )]
    NonceSecretReused {
        /// The key.
        key: KeyName,
        /// The other key.
        other: KeyName,
    },
    /// A secret file without a secret.
    #[error("{key} names {path}, {source}")]
    SecretFile {
        /// The key.
        key: KeyName,
        /// As resolved.
        path: PathBuf,
        /// Why there is none.
        source: NoSecret,
    },
    /// A file of users that is none.
    #[error("{key} names {path}, {source}")]
    UsersFile {
        /// The key.
        key: KeyName,
        /// As resolved.
        path: PathBuf,
        /// Why not.
        source: NoSecret,
    },
    /// A user that nothing identifies.
    #[error("{key} has a user without a password or a key")]
    NoKey {
        /// The table.
        key: KeyName,
    },
    /// A name is one user with and without the realm, and however its letters are composed.
    #[error(
        "{key} has one user twice, with the realm in the name and without, or in two spellings \
         that RFC 8265 makes one"
    )]
    SameUser {
        /// The table.
        key: KeyName,
    },
    /// A user name that ends in a realm belongs to that realm.
    #[error(
        "{key} has a user whose name ends in the realm `{realm}`, where such clients are looked for"
    )]
    ForeignUser {
        /// The table.
        key: KeyName,
        /// The other realm.
        realm: String,
    },
    /// A user name longer than USERNAME can be.
    #[error("{key} has a user name of more than 508 bytes")]
    LongUserName {
        /// The table.
        key: KeyName,
    },
    /// A name or password that no client could send.
    #[error("{key}: {source}")]
    User {
        /// The table.
        key: KeyName,
        /// Which, and why.
        source: NotOpaque,
    },
    /// A realm that no client could send back.
    #[error("{key} {reason}")]
    Realm {
        /// The key.
        key: KeyName,
        /// Why no client can.
        reason: &'static str,
    },
    /// Clients are to be challenged where none are heard.
    #[error("{key} names {address}, where no `[[listener]]` listens")]
    NoListener {
        /// The key.
        key: KeyName,
        /// As written.
        address: SocketAddr,
    },
}

impl AuthFault {
    /// What to write instead, where that is known.
    pub(crate) fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::KeyUnderRequire => "give the password instead, or write \"offer\"",
            Self::EmptySecret { .. } | Self::Placeholder { .. } | Self::ShortSecret { .. } => {
                MAKE_SECRET
            }
            Self::NonceSecretReused { .. } => {
                "make one for nonces alone: `openssl rand -base64 32`"
            }
            Self::SecretFile { source, .. } => match source {
                NoSecret::Unreadable(_) => SECRET_FILE,
                NoSecret::Empty => MAKE_SECRET,
                NoSecret::Binary => "base64 is wanted: make one with `openssl rand -base64 32`",
            },
            Self::UsersFile { .. } => USERS_FILE,
            Self::NoKey { .. } => "write a password in quotes, or { key = \"…\" }",
            Self::ForeignUser { realm, .. } => {
                return Some(format!("move the user to the table of `{realm}`").into());
            }
            Self::Realm { .. } => A_REALM,
            Self::NoListener { .. } => LISTENED,
            Self::SameUser { .. } | Self::LongUserName { .. } | Self::User { .. } => return None,
        };
        Some(help.into())
    }
}

const MAKE_SECRET: &str = "make one with `openssl rand -base64 32`";
const SECRET_FILE: &str = "a relative path starts at the directory of the configuration file; the \
                           file holds one secret, and the user that runs the server must be able \
                           to read it";
const USERS_FILE: &str = "a relative path starts at the directory of the configuration file; the \
                          file holds a line such as alice = \"password\" for each user, and the \
                          user that runs the server must be able to read it";
const A_REALM: &str = "the domain of the service does well, such as \"turn.example.org\"";
const LISTENED: &str = "repeat the `listen` of a `[[listener]]`, or name one address of a \"0.0.0.0\" or \"[::]\" listener";
