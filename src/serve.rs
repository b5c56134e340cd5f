//! `hairpin serve`: reads the host, starts the shards, announces the server, and leaves it to the
//! control side until it ends. No packet is seen here.

mod access;
mod acme;
mod addresses;
pub(crate) mod admin;
mod announce;
mod bans;
pub(crate) mod buffers;
mod certificates;
mod control;
mod descriptors;
mod difference;
mod ending;
pub(crate) mod external;
mod held_back;
mod http;
mod in_force;
mod live;
mod log_level;
mod looks;
mod metrics;
mod nearby;
mod relisten;
mod reload;
mod shards;
mod signals;
mod state;
mod systemd;
mod tickets;
mod trial;
mod trying;
mod usage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::admin::api::configuration::Configuration;
use ::admin::quality::Qualities;
use arc_swap::ArcSwap;
use net::{Running, Together};
use relay::{NatDiscovery, RelayAddress, SecondAddress};
use tracing::{info, warn};

use crate::config::{Config, Loaded, Machine, Secret, Values, Watched};
use crate::log::{self, Writer};
use crate::netlink::Unasked;
use acme::Orders;
use addresses::Addresses;
use buffers::UdpMemory;
use certificates::Shown;
use control::Control;
use http::{Minting, Prepared};
use looks::Looks;
use reload::Reload;
use signals::Signals;
use tickets::Tickets;
use trial::Made;
use trying::Trying;
use usage::Usage;

/// The options of the command line.
#[derive(Debug)]
pub(crate) struct Options {
    /// The configuration file, if there is one: without it and a secret in the environment, `serve`
    /// makes its own secret.
    pub(crate) config_file: Option<PathBuf>,
    /// The directory of the secret.
    pub(crate) state_dir: Option<PathBuf>,
    /// Whether loopback and private peers are allowed.
    pub(crate) dev: bool,
    /// The port of the pages for trying, if they are served.
    pub(crate) demo: Option<u16>,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A user that no client could be.
    #[error("{0} (table [auth.users])")]
    User(#[from] relay::keys::NotOpaque),
    /// The secret cannot be kept.
    #[error("cannot keep the secret in {path}: {source} (option --state-dir)")]
    State { path: PathBuf, source: io::Error },
    /// The secret of a configuration cannot be generated.
    #[error("cannot generate a secret in {path}: {source} (key `generated-secret-file` in [auth])")]
    GeneratedSecret { path: PathBuf, source: io::Error },
    /// Neither option nor environment names a directory.
    #[error("there is no place for the secret: name one with --state-dir")]
    NoStateDir,
    /// A listener or a shard failed.
    #[error(transparent)]
    Net(#[from] net::Fault),
    /// The server for browsers cannot run.
    #[error(transparent)]
    Http(#[from] httpd::Fault),
    /// The port for the pages is taken.
    #[error("port {0} is taken: give the pages another one, such as --demo={next}", next = http::port_after(*.0))]
    DemoPort(u16),
    /// The sockets that systemd has passed cannot be served.
    #[error("cannot use the sockets that were passed: {0} (unit of type socket)")]
    Passed(io::Error),
    /// The certificate for trying cannot be made.
    #[error("cannot make a certificate for --dev or --demo: {0}")]
    Certificate(#[from] trial::NotMade),
    /// The kernel does not tell of its addresses.
    #[error(transparent)]
    Kernel(#[from] Unasked),
    /// The control runtime or its signals failed.
    #[error("cannot start: {0}")]
    Control(io::Error),
}

impl Fault {
    /// Names the option where it is by it that there is a port.
    fn of_browsers(fault: httpd::Fault, demo: Option<u16>) -> Self {
        match (&fault, demo) {
            (httpd::Fault::Listen { listen, source, .. }, Some(port))
                if listen.port() == port && source.kind() == io::ErrorKind::AddrInUse =>
            {
                Self::DemoPort(port)
            }
            (httpd::Fault::Listen { .. } | httpd::Fault::Thread(_), _) => Self::Http(fault),
        }
    }
}

/// Runs the server until a signal ends it.
pub(crate) fn run(loaded: Loaded, host: Machine, options: Options) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Control)?;
    // Before all else: a signal that comes from now on ends no allocation unless it means to.
    let signals = runtime.block_on(async { Signals::new() })?;
    let start = Start::prepare(loaded, &host, options)?;
    let ended = runtime.block_on(start.serve(&host, signals));
    // A read of a file may hang for as long as its file system does.
    runtime.shutdown_background();
    ended
}

/// A server that is about to start: everything that needs no runtime is there.
struct Start {
    config: Config,
    /// Where the configuration comes from, in words.
    source: String,
    /// Its keys and values, without secrets.
    values: Values,
    /// The cautions about it.
    cautions: String,
    /// The file and its text, unless there is no configuration at all.
    file: Option<(PathBuf, Secret)>,
    /// The file, to be followed.
    own: Option<Watched>,
    files: Vec<Watched>,
    trying: Trying,
    log: Writer,
    passed: Vec<net::Passed>,
    /// The certificate that was made because there is none.
    made: Option<Made>,
    tickets: Arc<Tickets>,
    shown: Arc<Shown>,
    orders: Orders,
    usage: Arc<Usage>,
}

impl Start {
    fn prepare(loaded: Loaded, host: &Machine, options: Options) -> Result<Self, Fault> {
        let Loaded {
            mut config,
            remarks,
            source,
            text,
            own,
            files,
            stale: _,
            ungenerated,
            values,
        } = loaded;
        let log = log::init(&config.log);
        info!(
            version = env!("CARGO_PKG_VERSION"),
            configuration = source,
            "server.starting"
        );
        log::say(&remarks);
        let passed = net::passed().map_err(Fault::Passed)?;
        if let Some(path) = ungenerated {
            config.auth.secrets.push(state::secret_at(&path)?);
            say_kept(&path);
        }
        // A text in the environment is a configuration as much as a file is.
        let is_written = options.config_file.is_some() || !text.expose().is_empty();
        let zero_config = !is_written && config.auth.secrets.is_empty();
        if zero_config {
            keep_secret(&mut config, host, options.state_dir.clone())?;
        }
        let directory = state::place(options.state_dir);
        let trying = Trying {
            dev: options.dev,
            demo: options.demo,
        };
        let made = trying.prepare(&mut config, host, directory.as_deref())?;
        let tickets = certificates::tickets(&config, directory.clone());
        let its = made.as_ref().map(|made: &Made| made.certificate.clone());
        let shown = Arc::new(Shown::new(&config.tls.certificates, its));
        let usage = Arc::new(Usage::new(directory.clone()));
        let orders = Orders::new(config.tls.acme.clone(), directory);
        // Clients that come before the authority is asked are shown the certificate of the last run.
        orders.begin(&shown);
        Ok(Self {
            config,
            source,
            values,
            cautions: remarks.to_string(),
            file: (!zero_config).then(|| (options.config_file.unwrap_or_default(), text)),
            own,
            files,
            trying,
            log,
            passed,
            made,
            tickets,
            shown,
            orders,
            usage,
        })
    }

    /// Starts the shards and what stands beside them, and leaves them to the control side.
    async fn serve(mut self, host: &Machine, signals: Signals) -> Result<(), Fault> {
        let shares = self.shares();
        // The configuration stays as it was read, for a reload compares it with the next one.
        let (addresses, finding) = Addresses::begin(&mut self.config, host).await?;
        let Self {
            config,
            source,
            values,
            cautions,
            file,
            own,
            files,
            trying,
            log,
            passed,
            made,
            tickets,
            shown,
            orders,
            usage,
        } = self;
        let qualities = Arc::new(Qualities::default());
        let mut options = shards::options(&config, host, usage.tap(), &qualities)?;
        options.streams.connections = shares.tcp;
        options.tls = Some(shown.options(&config, Arc::clone(&tickets)));
        let browsers = Prepared::new();
        options.browsers = http::door(&config, &browsers);
        let running = net::start_on(passed, options)?;
        let minting = Arc::new(Minting::new(&config));
        let browsers = http::begin(browsers, &config, shares.http, &shown, &minting);
        let browsers = browsers.map_err(|fault| Fault::of_browsers(fault, trying.demo))?;
        // Both servers listen by the time of the first of these lines.
        say_what_runs(&config, &running, host);
        addresses::say_what_is_missing(&config, host);
        if let Some(made) = &made {
            made.say(trying.dev);
        }
        if (file.is_none() || trying.demo.is_some()) && !systemd::owns_output() {
            announce::print(&config, made.as_ref());
        }
        let Trying { dev, demo } = trying;
        let access = Arc::new(access::Access::of_operator(&config));
        let policy = ArcSwap::from_pointee(config.policy(host));
        let reload = Reload {
            file,
            dev,
            demo,
            config,
            looks: Looks::new(own, files),
            waiting: Vec::new(),
            stale: String::new(),
            cautions,
            addresses,
            late: None,
        };
        let control = Control {
            running: Arc::new(running),
            log,
            shown,
            tickets,
            orders,
            minting,
            browsers,
            usage,
            access,
            policy,
            configuration: ArcSwap::from_pointee(Configuration {
                source: source.clone(),
                values,
                ..Configuration::default()
            }),
            reloads: metrics::Reloads::default(),
            stop_drain: AtomicU64::new(0),
            qualities,
        };
        control::run(control, signals, reload, finding, source).await
    }

    /// Raises the limit of open files, and shares it.
    fn shares(&self) -> descriptors::Shares {
        let config = &self.config;
        let relays = config.relay.addresses.len().max(1);
        let of_browsers = if config.http.is_served() {
            config.http.connections
        } else {
            0
        };
        descriptors::raise(
            config.relay.ports.count() * relays,
            config.tcp.connections,
            config.web,
            of_browsers,
        )
    }
}

/// Gives a server without any configuration the secret that it has made, in this run or an earlier
/// one.
fn keep_secret(
    config: &mut Config,
    host: &Machine,
    state_dir: Option<PathBuf>,
) -> Result<(), Fault> {
    let (secret, path) = state::secret(state_dir)?;
    config.auth.secrets.push(secret);
    if (host.access)(&path).is_public {
        let path = path.display();
        warn!(%path, "secret.readable: every user of this host may read the secret: chmod 600 the file");
    }
    say_kept(&path);
    Ok(())
}

fn say_kept(path: &Path) {
    info!(path = %path.display(), "secret.kept: the generated secret is in the file at `path`; make credentials with `hairpin credentials --secret-file FILE`");
}

fn say_what_runs(config: &Config, running: &Running, host: &Machine) {
    let listeners = running.listeners().into_iter();
    // `address.awaited` tells of the others.
    for (transports, listen) in listeners.filter(|(_, it)| host.has(it.ip().to_canonical())) {
        relisten::say(transports, listen);
    }
    let Together { received, sent } = running.together();
    let memory = UdpMemory::here();
    let relay_buffer = memory.relay_buffer(config);
    info!(gro = received, gso = sent, relay_buffer, "server.datapath");
    buffers::say_what_lacks(memory, config);
    for RelayAddress { local, external } in &config.relay.addresses {
        info!(
            address = %local,
            external = (external != local).then(|| tracing::field::display(external)),
            first_port = config.relay.ports.first(),
            last_port = config.relay.ports.last(),
            "server.relaying"
        );
    }
    for NatDiscovery {
        primary,
        alternate,
        ports: [first_port, second_port],
        ..
    } in &config.nat_discovery
    {
        info!(
            address = %primary.external,
            alternate = %match alternate {
                SecondAddress::Here(address) => address.external,
                SecondAddress::Partner(partner) => partner.address,
            },
            partner = matches!(alternate, SecondAddress::Partner(_)),
            first_port,
            second_port,
            "server.nat-discovery"
        );
    }
    if config.is_stun_only() {
        warn!(
            "server.stun-only: STUN only, for there are no users, secrets and token keys, so nobody can allocate \
             (keys `users` and `secrets` in [auth], table [[oauth.key]])"
        );
    }
}
