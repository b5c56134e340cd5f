//! `hairpin serve`: reads the host, starts the shards, announces the server, and leaves it to the
//! control side until it ends. No packet is seen here.

mod acme;
mod addresses;
pub(crate) mod admin;
mod announce;
mod certificates;
mod control;
mod descriptors;
mod difference;
mod ending;
pub(crate) mod external;
mod held_back;
mod http;
mod metrics;
mod nearby;
mod reload;
mod signals;
mod state;
mod systemd;
mod tickets;
mod trial;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use net::{ListenerOptions, Running};
use relay::{NatDiscovery, NonceSecret, ProcessSecret, RelayAddress, Rules, SecondAddress};
use tracing::{info, warn};

use crate::config::{Config, Loaded, Machine, Secret, Watched};
use crate::log::{self, Reporter, Writer};
use crate::netlink::Unasked;
use acme::Orders;
use addresses::Addresses;
use certificates::Shown;
use control::Control;
use http::{Minting, Prepared};
use nearby::open_for_trying;
use reload::Reload;
use signals::Signals;
use tickets::Tickets;
use trial::Made;

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
    /// What systemd has passed cannot be served.
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
    /// The file and its text, unless there is no configuration at all.
    file: Option<(PathBuf, Secret)>,
    files: Vec<Watched>,
    trying: Trying,
    log: Writer,
    passed: Vec<net::Passed>,
    /// The certificate that was made because there is none.
    made: Option<Made>,
    tickets: Arc<Tickets>,
    shown: Arc<Shown>,
    orders: Orders,
}

impl Start {
    fn prepare(loaded: Loaded, host: &Machine, options: Options) -> Result<Self, Fault> {
        let Loaded {
            mut config,
            remarks,
            source,
            text,
            files,
            stale: _,
        } = loaded;
        let log = log::init(&config.log);
        info!(
            version = env!("CARGO_PKG_VERSION"),
            configuration = source,
            "starting"
        );
        log::say(&remarks);
        let passed = net::passed().map_err(Fault::Passed)?;
        let zero_config = options.config_file.is_none() && config.auth.secrets.is_empty();
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
        let orders = Orders::new(config.tls.acme.clone(), directory);
        // Clients that come before the authority is asked are shown the certificate of the last run.
        orders.begin(&shown);
        Ok(Self {
            config,
            source,
            file: (!zero_config).then(|| (options.config_file.unwrap_or_default(), text)),
            files,
            trying,
            log,
            passed,
            made,
            tickets,
            shown,
            orders,
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
            file,
            files,
            trying,
            log,
            passed,
            made,
            tickets,
            shown,
            orders,
        } = self;
        let mut shards = net_options(&config, host)?;
        shards.streams.connections = shares.tcp;
        shards.tls = shown.options(&config, Arc::clone(&tickets));
        let browsers = Prepared::new();
        shards.browsers = http::door(&config, &browsers);
        let running = net::start_on(passed, shards)?;
        say_what_runs(&config, &running);
        let minting = Arc::new(Minting::new(&config));
        let browsers = http::begin(browsers, &config, shares.http, &shown, &minting);
        let browsers = browsers.map_err(|fault| Fault::of_browsers(fault, trying.demo))?;
        addresses::say_what_is_missing(&config, host);
        if let Some(made) = &made {
            made.say(trying.dev);
        }
        if (file.is_none() || trying.demo.is_some()) && !systemd::owns_output() {
            announce::print(&config, made.as_ref());
        }
        let Trying { dev, demo } = trying;
        let reload = Reload {
            file,
            dev,
            demo,
            config,
            files,
            waiting: Vec::new(),
            stale: String::new(),
            addresses,
            look: None,
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
            reloads: metrics::Reloads::default(),
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

/// The options for trying.
struct Trying {
    dev: bool,
    demo: Option<u16>,
}

impl Trying {
    /// Changes the configuration as they say; returns the certificate that was made because there is none.
    fn prepare(
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
        warn!(%path, "every user of this host may read the secret: chmod 600 the file");
    }
    info!(path = %path.display(), "secret kept; `hairpin credentials --secret-file` mints from it");
    Ok(())
}

fn net_options(config: &Config, host: &Machine) -> Result<net::Options, Fault> {
    let listeners = config.listeners.iter().map(|listener| ListenerOptions {
        transports: listener.transports,
        listen: listener.listen,
    });
    let reporter = Reporter::new(config, host);
    let nonce_secret = config.auth.nonce_secret.as_ref();
    Ok(net::Options {
        listeners: listeners.collect(),
        shards: config.threads,
        config: relay::Config {
            secret: ProcessSecret(rand::random()),
            nonce_secret: nonce_secret.map(|text| NonceSecret::shared(text.expose().as_bytes())),
            ports: config.relay.ports,
            nat_discovery: config.nat_discovery.clone(),
            rules: Arc::new(rules(config, host)?),
        },
        streams: config.tcp,
        tls: None,
        proxies: config.proxies.clone(),
        web: config.web,
        browsers: None,
        report: Arc::new(move |report| reporter.report(report)),
        keys: None,
    })
}

/// The rules, which may change while the server runs.
fn rules(config: &Config, host: &Machine) -> Result<Rules, Fault> {
    Ok(Rules {
        realms: config.realms()?,
        tokens: config.tokens(),
        sha256: config.auth.sha256,
        failures_per_minute: config.auth.failures_per_minute,
        nonce_lifetime: config.auth.nonce_lifetime,
        policy: config.policy(host),
        relays: config.relay.addresses.clone(),
        limits: config.allocation,
        mobility: config.mobility,
        tcp: config.tcp_relay,
        icmp: config.icmp,
        unauthenticated: config.unauthenticated,
        redirects: config.redirects.clone(),
        serial: 0,
    })
}

fn say_what_runs(config: &Config, running: &Running) {
    for (transports, listen) in running.listeners() {
        info!(
            transport = transports.name(),
            protocol = transports.protocol(),
            %listen,
            "listening"
        );
    }
    for RelayAddress { local, external } in &config.relay.addresses {
        info!(
            address = %local,
            external = (external != local).then(|| tracing::field::display(external)),
            first_port = config.relay.ports.first(),
            last_port = config.relay.ports.last(),
            "relaying"
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
            "discovering NATs"
        );
    }
    if config.is_stun_only() {
        warn!(
            "STUN only: there are no users, secrets and token keys, so nobody can allocate \
             (keys `users` and `secrets` in [auth], table [[oauth.key]])"
        );
    }
}
