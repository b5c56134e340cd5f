//! The credentials of a client. RFC 8489 §9.2.

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use wire::attributes::Username;
use zeroize::Zeroizing;

/// A username and a password, prepared: both sides must hash the same bytes, however a keyboard
/// writes an accent. RFC 8489 §9.2.2, RFC 8265 §4.2. ASCII stays as it is, so a server that knows
/// only SASLprep derives the same key from it.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Prepares both with the OpaqueString profile.
    ///
    /// # Errors
    /// [`CredentialsError`] if one of them cannot be used with any server.
    pub fn new(username: &str, password: &str) -> Result<Self, CredentialsError> {
        let username = OpaqueString::enforce(username).map_err(|_| CredentialsError::Username)?;
        if username.len() > Username::WRITTEN {
            return Err(CredentialsError::UsernameTooLong);
        }
        let password = OpaqueString::enforce(password).map_err(|_| CredentialsError::Password)?;
        Ok(Self {
            username: username.into_owned(),
            password: Zeroizing::new(password.into_owned()),
        })
    }

    /// The username as it is sent.
    pub fn username(&self) -> &str {
        &self.username
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ***)", self.username)
    }
}

/// Why a username or a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The username is empty or has characters that RFC 8265 forbids.
    #[error("the username is empty or has control characters")]
    Username,
    /// The prepared username does not fit its attribute.
    #[error("the username is longer than {} bytes", Username::WRITTEN)]
    UsernameTooLong,
    /// The password is empty or has characters that RFC 8265 forbids.
    #[error("the password is empty or has control characters")]
    Password,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_left_as_it_is() {
        let credentials = Credentials::new("1700000000:alice", " pass  word ").unwrap();
        assert_eq!(credentials.username(), "1700000000:alice");
        assert_eq!(credentials.password(), " pass  word ");
    }

    #[test]
    fn two_spellings_of_one_text_are_the_same_credentials() {
        // An e with a combining acute and an ideographic space, compared with the composed letter
        // and a plain space.
        let spelled = Credentials::new("e\u{301}", "a\u{3000}b").unwrap();
        assert_eq!(spelled.username(), "\u{e9}");
        assert_eq!(spelled.password(), "a b");
    }

    #[test]
    fn what_no_server_takes_is_refused_at_once() {
        let refusal = |username: &str, password| Credentials::new(username, password).unwrap_err();
        assert_eq!(refusal("", "secret"), CredentialsError::Username);
        assert_eq!(refusal("al\nice", "secret"), CredentialsError::Username);
        assert_eq!(refusal("alice", ""), CredentialsError::Password);
        assert_eq!(
            refusal(&"a".repeat(509), "secret"),
            CredentialsError::UsernameTooLong
        );
    }

    #[test]
    fn the_password_is_never_printed() {
        let printed = format!("{:?}", Credentials::new("alice", "wonderland").unwrap());
        assert_eq!(printed, "Credentials(alice, ***)");
    }
}
