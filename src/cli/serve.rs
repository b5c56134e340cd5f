//! `hairpin serve`: run the server.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, Failure};
use crate::browsers::open_no_page;
use crate::config::{self, Machine};
use crate::serve::{self, Options};

/// Run the STUN and TURN server.
///
/// Without a configuration it listens on UDP and TCP port 3478 on all addresses, makes a
/// secret, keeps it in the state directory, and prints an `iceServers` entry to paste into a
/// web page. With a configuration it follows that: a file without users and without secrets
/// makes it answer STUN and relay nothing. Variables such as HAIRPIN_SECRET stand for keys that
/// the file leaves out, or for the file; `hairpin --help` lists them.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,

    /// Directory for data that must outlive a restart.
    ///
    /// Where it is not given: $STATE_DIRECTORY (set by systemd), then
    /// $XDG_STATE_HOME/hairpin, then ~/.local/state/hairpin.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Let clients reach loopback and private peers, for trying on one machine.
    ///
    /// A listener for TLS that has no certificate gets one that is made here; a configuration
    /// without listeners gets one for TLS at port 5349. The certificate is kept in the state
    /// directory, and the log says how a browser for tests comes to trust it.
    ///
    /// Never use it on a server that others can reach: every user could then reach every
    /// service of this host and of its network.
    #[arg(long)]
    dev: bool,

    /// Serve two pages: one for calls, and one that tests the relay. The links are printed.
    ///
    /// The pages are at port 8080, or at PORT with --demo=PORT, unless `[http] listen` has
    /// addresses. Every visitor gets a credential of this server, so use it only for trying. If
    /// there is no certificate for HTTPS, one is made here, and browsers warn of it once.
    /// Without HTTPS, browsers allow the camera only to pages of this computer.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "8080", value_parser = page_port)]
    demo: Option<NonZeroU16>,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let host = Machine {
            is_for_trying: self.dev || self.demo.is_some(),
            generates_secrets: true,
            ..Machine::here()?
        };
        // Its cautions are lines of the log, whose form it decides.
        let loaded = config::load(self.config.path(), &host)?;
        let options = Options {
            config_file: self.config.path().map(Path::to_owned),
            state_dir: self.state_dir,
            dev: self.dev,
            demo: self.demo.map(NonZeroU16::get),
        };
        serve::run(loaded, host, options)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A port that browsers open pages at.
fn page_port(text: &str) -> Result<NonZeroU16, String> {
    let port: NonZeroU16 = text.parse().map_err(|_| "a port is 1 to 65535")?;
    if open_no_page(port.get()) {
        return Err(format!(
            "browsers open no page at port {port}, which is another protocol's; such as --demo=8080"
        ));
    }
    Ok(port)
}

const AFTER_HELP: &str = "\
Examples:
  hairpin serve
  hairpin serve --demo
  hairpin serve --dev
  hairpin serve --config /etc/hairpin/turnserver.toml
  HAIRPIN_SECRET_FILE=/run/secrets/turn HAIRPIN_EXTERNAL=YOUR_PUBLIC_IPv4 hairpin serve

At SIGHUP the server reads the configuration and its secret files again; calls go on.
The log names keys that need a restart; docs/reload.md lists them. A faulty file
changes nothing, and the log has its faults. Files of users, secrets and certificates that
change are read again without a signal, and the configuration itself with `watch` in
[reload].
SIGTERM ends it: allocations are closed and the process exits within 5 seconds. With
`drain` in [stop] it drains first, for at most that long; a second SIGTERM ends it at
once, as SIGINT does.
SIGUSR1 drains it: no new allocation is granted (clients are sent elsewhere by a
[[redirect]] with when = \"draining\", or refused), those there are go on, and the
process exits when the last one has ended. SIGUSR1 again ends it at once.
SIGUSR2, SIGQUIT, SIGALRM and others that end most programs do nothing.

Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_pages_is_one_that_browsers_open() {
        assert_eq!(page_port("8085").map(u16::from), Ok(8085));
        for none in ["0", "65536", "-1", "http", ""] {
            assert_eq!(page_port(none), Err("a port is 1 to 65535".to_owned()));
        }
        for refused in ["6000", "5060", "22"] {
            let told = page_port(refused).unwrap_err();
            assert!(
                told.contains(&format!("no page at port {refused}")),
                "{told}"
            );
        }
    }
}
