//! `hairpin credentials`: a user name and a password that expire by themselves.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use clap::Args;
use relay::keys;

use super::ice::{IceServer, PublicName};
use super::{Failure, print};
use crate::config::{self, Config, Host, Secret};

/// Make a time-limited user name and password from a shared secret.
///
/// Prints an object to hand to `new RTCPeerConnection(…)`. Any server that knows
/// the secret accepts the credential until it expires: nothing is stored, so a web
/// service can make its own in the same way. The user name is `EXPIRY:USER` or
/// `EXPIRY`, in seconds since 1970, and the password is
/// base64(HMAC-SHA1(secret, user name)).
///
/// The secret is taken from one of --secret, --secret-file and --config, then from
/// $HAIRPIN_SECRET, then from the file in $HAIRPIN_CONFIG.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Credentials {
    /// The secret itself. Every user of this host can see it in the list of
    /// processes: prefer --secret-file or $HAIRPIN_SECRET.
    #[arg(long, value_name = "SECRET", group = "source")]
    secret: Option<String>,

    /// A file that holds the secret; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "source")]
    secret_file: Option<PathBuf>,

    /// A configuration file: its first secret is used, and its listeners are the URLs.
    #[arg(long, value_name = "FILE", group = "source")]
    config: Option<PathBuf>,

    /// Whom the credential is for; shown in logs and counted in quotas.
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<String>,

    /// How long the credential is accepted.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    ttl: Duration,

    /// The server's name in the URLs, with another port if clients see another:
    /// HOST or HOST:PORT. Where it is not given: the first relay address, as peers
    /// see it.
    #[arg(long, value_name = "HOST")]
    host: Option<PublicName>,

    /// Print turn: URIs, user name and password as lines instead of JSON.
    #[arg(long)]
    uri: bool,
}

impl Credentials {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        // The file may be meant for another host, so its addresses are not tried here.
        let host = Host {
            bind: |_| Ok(()),
            ..Host::here()
        };
        let (secret, config) = self.secret(&host)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let server = self.server(&secret, &config, now)?;
        print(&if self.uri {
            server.lines()
        } else {
            server.json()
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn server(
        &self,
        secret: &Secret,
        config: &Config,
        now: Duration,
    ) -> Result<IceServer, Failure> {
        let Some(expiry) = now.checked_add(self.ttl) else {
            return Err(Failure::Usage("--ttl reaches beyond the end of time"));
        };
        let name = self.host.clone().unwrap_or_else(|| PublicName::of(config));
        let credential = keys::mint(
            secret.expose().as_bytes(),
            self.user.as_deref(),
            expiry.as_secs(),
        );
        Ok(IceServer::new(name.uris(&config.listeners), credential))
    }

    /// The secret, and the configuration that says where the server is.
    fn secret(&self, host: &Host) -> Result<(Secret, Config), Failure> {
        if let Some(path) = &self.config {
            return first_secret(path, host);
        }
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => read(path)?,
            (None, None) => match (env::var("HAIRPIN_SECRET"), env::var_os("HAIRPIN_CONFIG")) {
                (Ok(secret), _) => secret,
                (Err(_), Some(path)) => return first_secret(Path::new(&path), host),
                (Err(_), None) => return Err(Failure::Usage(NO_SECRET)),
            },
        };
        if secret.is_empty() {
            return Err(Failure::Usage("the secret is empty"));
        }
        Ok((Secret::new(secret), Config::defaults(host)))
    }
}

fn first_secret(path: &Path, host: &Host) -> Result<(Secret, Config), Failure> {
    let config = config::load(Some(path), host)?.config;
    match config.auth.secrets.first() {
        Some(secret) => Ok((secret.clone(), config)),
        None => Err(Failure::Usage(
            "the configuration has no secret: add one to `[auth] secrets`",
        )),
    }
}

/// The secret in a file, without the line end that editors and `openssl rand` add.
fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let outcome = if path == Path::new("-") {
        io::stdin().read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    outcome.map_err(|source| Failure::Secret {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn user_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a user name has letters, and no control characters");
    }
    // RFC 8489 §14.3 ends the whole user name at 508 bytes; expiry and colon need their share.
    if text.len() > 480 {
        return Err("a user name has at most 480 bytes");
    }
    Ok(text.to_owned())
}

fn ttl(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl >= Duration::from_secs(1) => Ok(ttl),
        Ok(_) | Err(_) => Err("write a number and a unit, such as 90s, 30m, 24h or 7days"),
    }
}

const NO_SECRET: &str = "no secret is given: use --secret-file, --config, or set HAIRPIN_SECRET";

const AFTER_HELP: &str = "\
Examples:
  hairpin credentials --config turnserver.toml --user alice --host turn.example.org
  openssl rand -base64 32 > secret; hairpin credentials --secret-file secret --ttl 1h
  printf %s \"$SECRET\" | hairpin credentials --secret-file - --uri

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";
