//! The command line: a file per subcommand. None of them sees a packet.

mod admin;
mod asking;
mod bench;
mod check;
mod completions;
mod credentials;
mod doctor;
mod health;
mod import_coturn;
mod login;
mod man;
mod policy;
mod probe;
mod serve;
mod token;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::{self, Loaded, Machine, NoSecret, Secret, Unusable};
use crate::shown;

/// A STUN and TURN server, closed by default.
///
/// Browsers behind firewalls reach each other through it: they ask for a relayed
/// address with a user name and a password, and Hairpin passes their packets on.
/// It relays to public addresses only, until the configuration says otherwise.
#[derive(Parser)]
#[command(name = "hairpin", version, arg_required_else_help = true, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Credentials(credentials::Credentials),
    Token(token::MintToken),
    Policy(policy::Policy),
    Probe(probe::Probe),
    Doctor(doctor::Doctor),
    Health(health::Health),
    #[command(name = "import-coturn")]
    ImportCoturn(import_coturn::ImportCoturn),
    Bench(bench::Bench),
    Status(admin::Status),
    Sessions(admin::Sessions),
    Session(admin::Session),
    Trace(admin::Trace),
    End(admin::End),
    Bans(admin::Bans),
    Config(admin::ShowConfig),
    #[command(name = "log-level")]
    LogLevel(admin::ShowLogLevel),
    Drain(admin::Drain),
    Reload(admin::Reload),
    Top(admin::Top),
    Usage(admin::Usage),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs what the arguments of this process ask for.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Credentials(credentials) => credentials.run(),
        Command::Token(token) => token.run(),
        Command::Policy(policy) => policy.run(),
        Command::Probe(probe) => probe.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Health(health) => health.run(),
        Command::ImportCoturn(import) => import.run(),
        Command::Bench(bench) => bench.run(),
        Command::Status(status) => status.run(),
        Command::Sessions(sessions) => sessions.run(),
        Command::Session(session) => session.run(),
        Command::Trace(trace) => trace.run(),
        Command::End(end) => end.run(),
        Command::Bans(bans) => bans.run(),
        Command::Config(config) => config.run(),
        Command::LogLevel(level) => level.run(),
        Command::Drain(drain) => drain.run(),
        Command::Reload(reload) => reload.run(),
        Command::Top(top) => top.run(),
        Command::Usage(usage) => usage.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The configuration has to be changed.
    #[error(transparent)]
    Configuration(#[from] Unusable),
    /// The command line has to be changed.
    #[error("{0}")]
    Usage(&'static str),
    /// The secret file has to be changed.
    #[error("option {option} names {path}, {source}")]
    Secret {
        path: PathBuf,
        option: &'static str,
        source: NoSecret,
    },
    /// The man pages could not be written.
    #[error("cannot write man pages to {path}: {source} (option --output)")]
    ManPages { path: PathBuf, source: io::Error },
    /// The configuration of coturn has to be another, or readable.
    #[error("cannot read {}: {source}", shown::path(path))]
    Coturn { path: PathBuf, source: io::Error },
    /// The database of coturn, likewise.
    #[error(transparent)]
    Database(#[from] crate::coturn::Unread),
    /// A file was there already, or cannot be there.
    #[error("cannot write {}: {source}{}", shown::path(path), is_there(.source))]
    Written { path: PathBuf, source: io::Error },
    /// The server could not start, or stopped.
    #[error(transparent)]
    Serve(#[from] crate::serve::Fault),
    /// Nothing could be probed.
    #[error(transparent)]
    Probe(#[from] ::probe::Fault),
    /// Nothing could be measured.
    #[error("{}", ::probe::escaped(&.0.to_string()))]
    Bench(#[from] ::bench::Fault),
    /// The server to measure has no address.
    #[error(transparent)]
    Unresolved(#[from] ::probe::Unresolved),
    /// The running server was not asked, or did not do it.
    #[error(transparent)]
    Admin(#[from] admin::Fault),
    /// The host does not say which addresses it has.
    #[error(transparent)]
    Machine(#[from] crate::netlink::Unasked),
    /// The host lacks threads, descriptors or memory.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl Failure {
    fn report(&self) -> ExitCode {
        if let Self::Admin(fault) = self
            && let Some(report) = fault.report()
        {
            eprint!("{report}");
            return ExitCode::from(WRONG_REQUEST);
        }
        match self {
            // A report has headings of its own, and colours for a terminal.
            Self::Configuration(Unusable::Faulty(remarks, _)) => anstream::eprint!("{remarks:#}"),
            Self::Configuration(Unusable::Unreadable { .. } | Unusable::Twice)
            | Self::Usage(_)
            | Self::Secret { .. }
            | Self::ManPages { .. }
            | Self::Coturn { .. }
            | Self::Database(_)
            | Self::Written { .. }
            | Self::Serve(_)
            | Self::Probe(_)
            | Self::Bench(_)
            | Self::Unresolved(_)
            | Self::Admin(_)
            | Self::Machine(_)
            | Self::Runtime(_)
            | Self::Output(_) => eprintln!("error: {self}"),
        }
        match self {
            Self::Configuration(_)
            | Self::Usage(_)
            | Self::Secret { .. }
            | Self::Coturn { .. }
            | Self::Database(_)
            | Self::Probe(_) => ExitCode::from(WRONG_REQUEST),
            Self::ManPages { .. }
            | Self::Written { .. }
            | Self::Serve(_)
            | Self::Bench(_)
            | Self::Unresolved(_)
            | Self::Admin(_)
            | Self::Machine(_)
            | Self::Runtime(_)
            | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

fn is_there(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AlreadyExists {
        " (--force writes it all the same)"
    } else {
        ""
    }
}

/// The place of the configuration.
#[derive(Args)]
struct ConfigFile {
    /// Configuration file, or - for standard input; without one the defaults are used.
    #[arg(long = "config", value_name = "FILE", env = "HAIRPIN_CONFIG", value_parser = path())]
    path: Option<PathBuf>,
}

/// Paths, also the empty one: files of variables for containers set what has no value to nothing.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl ConfigFile {
    fn at(path: &Path) -> Self {
        Self {
            path: Some(path.to_owned()),
        }
    }

    /// The file, if one is named: a variable that is empty names none.
    fn path(&self) -> Option<&Path> {
        let is_unset = || env::var_os("HAIRPIN_CONFIG").is_some_and(|name| name.is_empty());
        let path = self.path.as_deref();
        path.filter(|path| !path.as_os_str().is_empty() || !is_unset())
    }

    /// Reads the configuration; its cautions go to standard error.
    fn load(&self, host: &Machine) -> Result<Loaded, Unusable> {
        let loaded = config::load(self.path(), host)?;
        if !loaded.remarks.is_empty() {
            anstream::eprintln!("{:#}", loaded.remarks);
        }
        Ok(loaded)
    }
}

/// The runtime of the commands that ask servers.
fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(Failure::Runtime)
}

/// The secret in a file, or on standard input.
fn read_secret(path: &Path, option: &'static str) -> Result<Secret, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let secret = bytes.map_err(NoSecret::from);
    let secret = secret.and_then(|bytes| Secret::in_file(&bytes));
    secret.map_err(|source| Failure::Secret {
        path: path.to_owned(),
        option,
        source,
    })
}

/// The secret of the option --secret, or of the file that --secret-file names, if one was given.
fn given_secret(secret: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    let secret = match (secret, file) {
        (Some(""), _) => return Err(Failure::Usage("the secret is empty")),
        (Some(secret), _) => Secret::new(secret),
        (None, Some(path)) => read_secret(path, "--secret-file")?,
        (None, None) => return Ok(None),
    };
    Ok(Some(secret))
}

/// Writes text with colours to standard output; they are left out where it is no terminal.
fn print_styled(text: &str) -> Result<(), Failure> {
    let mut plain = Vec::new();
    let choice = anstream::AutoStream::choice(&io::stdout());
    anstream::AutoStream::new(&mut plain, choice)
        .write_all(text.as_bytes())
        .map_err(Failure::Output)?;
    print(&String::from_utf8_lossy(&plain))
}

/// Writes to standard output. A reader that closes early, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The exit code for a request that has to be changed; clap uses it too.
const WRONG_REQUEST: u8 = 2;

const AFTER_HELP: &str = "\
Examples:
  hairpin serve                              start with no configuration at all
  hairpin check --config turnserver.toml     check the file, and show what it means
  hairpin credentials --config turnserver.toml --user alice
                                             make credentials to paste into a page
  hairpin token --config turnserver.toml     make a token, for tests of a service
  hairpin policy explain 10.0.0.7            say whether clients may reach this peer
  hairpin probe                              find out the NAT of this host
  sudo hairpin import-coturn /etc/turnserver.conf --out turnserver.toml
                                             move over from coturn
  hairpin doctor turn:turn.example.org --secret-file secret
                                             find out whether this server works
  hairpin bench turn:127.0.0.1 --secret-file secret
                                             measure how many packets it passes on

Exit codes:
  0  done
  1  failed; for `policy explain`: the peer is denied
  2  the command line or the configuration is wrong
  `probe` and `import-coturn` have codes of their own: see their --help

Environment:
  HAIRPIN_CONFIG       the configuration file, where --config is not given
  HAIRPIN_CONFIG_TOML  the configuration itself, in place of a file
  HAIRPIN_SOCKET       the socket of the running server, where --socket is not given
  HAIRPIN_URL          the URL of its [admin] listen, where --url is not given
  HAIRPIN_TOKEN_FILE   the file with its token, likewise; or HAIRPIN_TOKEN, the token
  HAIRPIN_CA_FILE      the authority of its certificate, where --ca-file is not given
  HAIRPIN_REALM        the key realm, where the file does not have it
  HAIRPIN_EXTERNAL     [relay] external, likewise; several with commas between
  HAIRPIN_SECRET       [auth] secrets, likewise; one secret
  HAIRPIN_SECRET_FILE  [auth] secret-files, likewise; one file
  NO_COLOR             no colours in error reports
  Any other variable that begins with HAIRPIN_ is an error.";
