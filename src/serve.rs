//! `hairpin serve`: shards, listeners and relay sockets put together.

use std::path::PathBuf;

use crate::config::{Config, Host};

/// What the command line says about a run.
#[derive(Debug)]
pub(crate) struct Options {
    /// The configuration file, if there is one: without it, `serve` makes its own secret.
    pub(crate) config_file: Option<PathBuf>,
    /// Where the secret is kept.
    pub(crate) state_dir: Option<PathBuf>,
    /// Whether loopback and private peers are allowed.
    pub(crate) dev: bool,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The wiring comes with the shards.
    #[error("serve is not built yet ({0:?})")]
    NotBuilt(Options),
    /// A user that no client could be.
    #[error(transparent)]
    User(#[from] relay::keys::NotOpaque),
}

/// Runs the server until a signal ends it.
pub(crate) fn run(config: Config, _host: Host, options: Options) -> Result<(), Fault> {
    config.keys()?;
    Err(Fault::NotBuilt(options))
}
