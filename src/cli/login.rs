//! Options of the commands that authenticate at a server.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use probe::doctor;
use relay::keys::{self, Mint};

use super::{Failure, given_secret, read_secret};
use crate::config::Secret;

/// A user with a password, or a shared secret to make credentials from.
#[derive(Args)]
pub(super) struct Login {
    /// Authenticate as this user; with a secret, credentials are made for this name.
    #[arg(long, value_name = "NAME", requires = "login")]
    user: Option<String>,

    /// The user's password. Every user of this host can see it in the list of
    /// processes: prefer --password-file.
    #[arg(long, value_name = "PASSWORD", group = "login", requires = "user")]
    password: Option<String>,

    /// A file that holds the password; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "login", requires = "user")]
    password_file: Option<PathBuf>,

    /// Authenticate with credentials made from this shared secret. Prefer --secret-file.
    #[arg(long, value_name = "SECRET", group = "login")]
    secret: Option<String>,

    /// A file that holds the secret; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "login")]
    secret_file: Option<PathBuf>,
}

impl Login {
    /// The login of the options, if they are given. Credentials of a secret are made for `name`.
    pub(super) fn read(&self, name: &'static str) -> Result<Option<doctor::Login>, Failure> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(path)) => Some(read_secret(path, "--password-file")?.expose().to_owned()),
            (None, None) => None,
        };
        if let Some((user, password)) = self.user.clone().zip(password) {
            return Ok(Some(doctor::Login::Password { user, password }));
        }
        let secret = given_secret(self.secret.as_deref(), self.secret_file.as_deref())?;
        let name = self.user.clone().unwrap_or_else(|| name.to_owned());
        Ok(secret.map(|secret| minting(secret, name)))
    }
}

/// Credentials as a web service would mint them.
pub(super) fn minting(secret: Secret, name: String) -> doctor::Login {
    doctor::Login::Secret(Arc::new(move |expiry| {
        let secret = secret.expose().as_bytes();
        let credential = keys::mint(Mint::Sha1, secret, Some(&name), expiry);
        (credential.username, credential.password)
    }))
}
