//! `--dev` and `--demo`: what these options for trying change before the start.

use std::path::Path;

use super::nearby::open_for_trying;
use super::trial::{self, Made};
use super::{Fault, certificates, http};
use crate::config::{Config, Machine};

/// The options for trying.
pub(super) struct Trying {
    pub(super) dev: bool,
    pub(super) demo: Option<u16>,
}

impl Trying {
    /// Changes the configuration as they say; returns the certificate that was made because there is none.
    pub(super) fn prepare(
        &self,
        config: &mut Config,
        host: &Machine,
        directory: Option<&Path>,
    ) -> Result<Option<Made>, Fault> {
        if let Some(port) = self.demo {
            http::say_if_ignored(config, port);
            http::demonstrate(config, host, port);
        }
        if self.dev {
            open_for_trying(config, host);
        }
        let is_wanted = self.demo.is_some() || self.dev && certificates::is_wanted(config);
        let is_missing = is_wanted && config.tls.certificates.is_empty();
        let made = is_missing.then(|| trial::certificate(config, host, directory));
        Ok(made.transpose()?)
    }
}
