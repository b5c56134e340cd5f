//! `hairpin bench`: what a STUN or TURN server costs per packet, and how many it passes on.

mod human;

use std::io::{IsTerminal, stderr};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bench::{Credentials, Measured, Mode, Plan, Progress, Rate, Transport, Trust};
use clap::{Args, ValueEnum};

use indicatif::ProgressBar;
use probe::{Resolver, Service, Uri, UriHost, doctor};
use rustls::pki_types::ServerName;

use super::login::Login;
use super::{Failure, print, runtime};

/// Measure a STUN or TURN server: packets a second, latencies, and the cost of a packet.
///
/// Sends as many clients and peers would, over real sockets, and checks every packet that
/// arrives. On the server's host, with --pid, it also measures the processor time per million
/// packets. The peers are on this host: the server must allow them. Works with any server;
/// measure only servers that you run.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Bench {
    /// The server: `turn:HOST[:PORT][?transport=udp|tcp]`, or `turns:…` for TLS; `stun:…` for
    /// --mode binding.
    #[arg(value_name = "URI")]
    server: Uri,

    #[command(flatten)]
    login: Login,

    /// The kind of load.
    #[arg(long, value_enum, default_value_t = Load::Both)]
    mode: Load,

    /// Send data in Send and Data indications, and not on channels.
    #[arg(long)]
    indications: bool,

    /// Bytes of data in each packet, from 28 to 1472.
    #[arg(long, value_name = "BYTES", default_value_t = 160)]
    payload: usize,

    /// Packets of one flow that leave together, as those of a video picture do; from 1 to 64.
    #[arg(long, value_name = "PACKETS", default_value_t = 1)]
    burst: usize,

    /// Send each burst in one call (GSO), so that it reaches the server as from a network card that
    /// joins what arrives together (GRO).
    #[arg(long)]
    together: bool,

    /// Clients with an allocation each; with --mode relay half of them send to the other half.
    #[arg(long, value_name = "CLIENTS", default_value_t = 100)]
    flows: usize,

    /// Packets or cycles a second, evenly; `max` sends as soon as packets have come back; `ramp`
    /// searches for the highest rate of packets or Bindings at which at most 0.5 % are lost.
    #[arg(long, value_name = "NUMBER|max|ramp", default_value = "max", value_parser = rate)]
    rate: Rate,

    /// Time to measure, after a tenth of it to warm up.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,

    /// Threads that send and receive.
    #[arg(long, default_value_t = 1)]
    threads: usize,

    /// The process of the server on this host, whose processor time and memory are to be measured.
    #[arg(long)]
    pid: Option<i32>,

    /// The address of this host that peers have; else the one by which it reaches the server.
    #[arg(long, value_name = "IP")]
    peer: Option<IpAddr>,

    /// Measure a server that is neither on this host nor in a private network. Say this only of
    /// a server that you run: at others' servers it is an attack.
    #[arg(long)]
    i_run_this_server: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The kind of load, as the command line has it.
#[derive(Clone, Copy, ValueEnum)]
enum Load {
    /// From clients to peers
    Up,
    /// From peers to clients
    Down,
    /// Both ways
    Both,
    /// From client to client, through the relayed addresses of both
    Relay,
    /// Binding requests (no credentials are needed)
    Binding,
    /// Allocate, Refresh to 0, and again: cycles a second
    Allocate,
    /// Connections, over TLS with a whole handshake each: how many a second (no credentials are needed)
    Connect,
    /// Allocations that are held: what each takes of memory
    Idle,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let plan = self.plan()?;
        if !plan.is_nearby() && !self.i_run_this_server {
            return Err(Failure::Usage(FAR));
        }
        let bar = if stderr().is_terminal() {
            ProgressBar::new_spinner().with_message("preparing")
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let outcome = bench::run(&plan, &mut |so_far| bar.set_message(progress(so_far)));
        bar.finish_and_clear();
        let measured = outcome?;
        let text = if self.json {
            json(&plan, &measured)
        } else {
            human::text(&plan, &measured)
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let (server, transport) = self.resolve()?;
        let trust = (transport == Transport::Tls).then(|| Trust::anybody(self.name(server.ip())));
        let credentials = self.credentials()?;
        let mode = self.mode.mode();
        if credentials.is_none() && !matches!(mode, Mode::Binding | Mode::Connect) {
            return Err(Failure::Usage(
                "data needs an allocation, and that credentials: --user with --password-file, or \
                 --secret-file (or measure --mode binding)",
            ));
        }
        Ok(Plan {
            server,
            transport,
            trust,
            credentials,
            peer: self.peer,
            mode,
            indications: self.indications,
            payload: self.payload,
            burst: self.burst,
            together: self.together,
            flows: self.flows,
            rate: self.rate,
            duration: self.duration,
            threads: self.threads,
            pid: self.pid,
        })
    }

    /// The first address of the server.
    fn resolve(&self) -> Result<(SocketAddr, Transport), Failure> {
        let uri = &self.server;
        let usual = if uri.is_secure {
            probe::Transport::Tcp
        } else {
            probe::Transport::Udp
        };
        let found = runtime()?.block_on(Resolver::of_host().resolve(uri, usual))?;
        let target = found
            .first()
            .ok_or(Failure::Usage("the server has no address"))?;
        let transport = match (target.transport, uri.is_secure) {
            (probe::Transport::Udp, false) => Transport::Udp,
            (probe::Transport::Tcp, false) => Transport::Tcp,
            (probe::Transport::Tcp, true) => Transport::Tls,
            (probe::Transport::Udp, true) => {
                return Err(Failure::Usage(
                    "DTLS is not measured: name the server with ?transport=tcp",
                ));
            }
        };
        Ok((target.address, transport))
    }

    fn name(&self, address: IpAddr) -> ServerName<'static> {
        match &self.server.host {
            UriHost::Name(name) => ServerName::try_from(name.clone()).ok(),
            UriHost::Address(_) => None,
        }
        .unwrap_or(ServerName::IpAddress(address.into()))
    }

    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let Some(login) = self.login.read("bench")? else {
            return Ok(None);
        };
        if self.server.service == Service::Stun {
            return Err(Failure::Usage(
                "stun: and stuns: servers take no credentials: name the server as turn: or turns:",
            ));
        }
        let (user, password) = match login {
            doctor::Login::Password { user, password } => (user, password),
            doctor::Login::Secret(mint) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                mint(now.unwrap_or_default().as_secs() + VALID)
            }
        };
        let credentials = Credentials::new(&user, &password);
        credentials.map(Some).map_err(|_| {
            Failure::Usage("user or password is empty, too long, or has control characters")
        })
    }
}

impl Load {
    const fn mode(self) -> Mode {
        match self {
            Self::Up => Mode::Up,
            Self::Down => Mode::Down,
            Self::Both => Mode::Both,
            Self::Relay => Mode::Relay,
            Self::Binding => Mode::Binding,
            Self::Allocate => Mode::Allocate,
            Self::Connect => Mode::Connect,
            Self::Idle => Mode::Idle,
        }
    }
}

/// The line that shows progress.
fn progress(Progress { sent, received }: Progress) -> String {
    format!("{received} of {sent} have arrived")
}

/// The result with what was measured, as JSON.
fn json(plan: &Plan, measured: &Measured) -> String {
    let mut value = serde_json::json!({
        "server": plan.server,
        "transport": human::transport(plan.transport),
        "mode": human::mode(plan.mode),
        "indications": plan.indications,
        "payload": plan.payload,
        "burst": plan.burst,
        "together": plan.together,
        "flows": plan.flows,
        "measured": measured,
    });
    value["rate"] = match plan.rate {
        Rate::Max => "max".into(),
        Rate::Ramp => "ramp".into(),
        Rate::Even(rate) => rate.into(),
    };
    format!("{value:#}\n")
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    match text {
        "max" => Ok(Rate::Max),
        "ramp" => Ok(Rate::Ramp),
        number => number
            .parse()
            .ok()
            .filter(|rate| *rate > 0)
            .map(Rate::Even)
            .ok_or("expected a number of packets a second, max or ramp"),
    }
}

fn time(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// How long minted credentials are valid, in seconds.
const VALID: u64 = 24 * 3600;

const FAR: &str = "the server is neither on this host nor in a private network: a load that nobody \
    expects is an attack. If it is yours, say so with --i-run-this-server";

const AFTER_HELP: &str = "\
Examples:
  hairpin bench turn:127.0.0.1 --user alice --password-file pw --pid $(pidof hairpin)
                                             both ways, as many packets as come back
  hairpin bench turn:127.0.0.1 --secret-file secret --mode up --payload 1200 --burst 8
                                             video: eight packets at a time
  hairpin bench turn:127.0.0.1 --secret-file secret --rate 30000
                                             latencies at an even rate
  hairpin bench turn:10.0.0.7 --secret-file secret --rate ramp --flows 500
                                             the highest rate that it passes on
  hairpin bench stun:127.0.0.1 --mode binding
  hairpin bench turn:127.0.0.1 --secret-file secret --mode idle --flows 10000 --pid 4711
                                             memory per allocation

The server must allow peers on this host, and one user as many allocations as there are
clients: in Hairpin [peers] allow and [allocation] per-user.

Exit codes: 0 measured, 1 not measured, 2 the command line is wrong.";
