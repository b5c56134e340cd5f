//! `hairpin sessions` and `hairpin session`: who is served.

use std::fmt::Write;
use std::mem;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asking, api, bytes, quality, span, story};
use crate::cli::{Failure, print};

/// Sessions, by what is known of them: those to which everything said applies.
#[derive(Args)]
pub(super) struct Filter {
    /// Only sessions of users of this realm.
    #[arg(long, value_name = "REALM")]
    pub(super) realm: Option<String>,

    /// Only sessions of this user: the name without realm and expiry.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,

    /// Only sessions of this credential: the whole user name, without the realm.
    #[arg(long, value_name = "USERNAME")]
    pub(super) credential: Option<String>,

    /// Only sessions of clients at this address, or in this network.
    #[arg(long, value_name = "IP[/BITS]")]
    pub(super) client: Option<String>,

    /// Only sessions that may send to this peer.
    #[arg(long, value_name = "IP")]
    pub(super) peer: Option<IpAddr>,
}

/// List the sessions of the running server.
///
/// A session is an allocation with its client: one line has its id, user, client, relayed
/// address, age, traffic, and the quality of each leg: round trip, loss, jitter (`~`), with `!`
/// behind a measure that is bad. Without --limit all are listed. The number before the point of
/// an id does not name the shard.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct Sessions {
    #[command(flatten)]
    filter: Filter,

    /// Only sessions with a leg that is bad now, by the thresholds of `[quality]`.
    #[arg(long)]
    bad: bool,

    /// Only sessions that are at least as old, such as 1h.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    min_age: Option<Duration>,

    /// Only sessions that have relayed at least as many bytes of data, both ways together.
    #[arg(long, value_name = "BYTES")]
    min_bytes: Option<u64>,

    /// The most sessions to list.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    #[command(flatten)]
    asking: Asking,
}

/// Show everything about one session: its permissions and channels, the time that each has
/// left, and its story.
///
/// The story is the last 32 control events: requests with their answers and causes, permissions
/// and channels that are over, moves, the end. It is kept for a quarter of an hour beyond the
/// end. Without an id the options choose: they show sessions, sessions that ended, and clients
/// that were refused one, with the causes. The newest stand last.
#[derive(Args)]
#[command(after_long_help = ONE_AFTER_HELP)]
pub(in crate::cli) struct Session {
    /// The id, as `hairpin sessions` and the log have it.
    #[arg(value_name = "ID", conflicts_with_all = FILTERS)]
    id: Option<String>,

    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    asking: Asking,
}

impl Sessions {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut cursor = None;
        let mut all = Vec::new();
        let mut heading = heading();
        // Each page is printed when it comes, except as JSON, which is one array.
        loop {
            let path = self.path(cursor.as_deref(), left.min(PAGE), self.bad);
            let answer = self.asking.ask(Method::GET, &path, &())?;
            let mut page: api::Sessions =
                serde_json::from_value(answer).map_err(super::Fault::from)?;
            // A page has about as many as it is asked for.
            page.sessions.truncate(left);
            left -= page.sessions.len();
            if self.asking.json {
                all.extend(page.sessions);
            } else if !page.sessions.is_empty() {
                let lines: String = page.sessions.iter().map(line).collect();
                print(&(mem::take(&mut heading) + &lines))?;
            }
            for shard in page.silent_shards {
                eprintln!("shard {shard} does not answer: its sessions are missing");
            }
            cursor = page.next;
            if cursor.is_none() || left == 0 {
                break;
            }
        }
        if self.asking.json {
            let text = serde_json::to_string_pretty(&all).map_err(super::Fault::from)?;
            print(&(text + "\n"))?;
        } else if !heading.is_empty() {
            print(&self.none())?;
            if self.bad {
                print(&self.measured()?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// That there is none of which all that was asked for is true.
    fn none(&self) -> String {
        let mut asked = self.filter.words();
        asked.extend(self.bad.then(|| "with a bad leg".to_owned()));
        let age = self.min_age.map(|age| span(age.as_secs()));
        asked.extend(age.map(|age| format!("as old as {age}")));
        let relayed = self.min_bytes.map(bytes);
        asked.extend(relayed.map(|relayed| format!("with {relayed} relayed")));
        asked.insert(0, "no session".to_owned());
        asked.join(" ") + "\n"
    }

    /// How many of the sessions have a leg that is measured: where none is bad, that may be because nothing is known.
    fn measured(&self) -> Result<String, Failure> {
        let (mut all, mut measured, mut cursor) = (0, 0, None::<String>);
        loop {
            let path = self.path(cursor.as_deref(), PAGE, false);
            let page: api::Sessions = self.asking.get(&path)?;
            let known = page.sessions.iter();
            let known = known.filter(|it| quality::is_measured(it.quality.as_ref()));
            (all, measured) = (all + page.sessions.len(), measured + known.count());
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let unknown = all - measured;
        Ok(format!(
            "{measured} measured, and {unknown} of which nothing is known (docs/quality.md says why)\n"
        ))
    }

    fn path(&self, cursor: Option<&str>, limit: usize, bad: bool) -> String {
        let limit = limit.to_string();
        let min_age = self.min_age.map(|age| age.as_secs().to_string());
        let min_bytes = self.min_bytes.map(|bytes| bytes.to_string());
        let more = [
            ("limit", Some(limit.as_str())),
            ("min_age", min_age.as_deref()),
            ("min_bytes", min_bytes.as_deref()),
            ("bad", bad.then_some("true")),
            ("cursor", cursor),
        ];
        self.filter.path("/v1/sessions", &more)
    }
}

impl Filter {
    /// Whether it leaves nobody out.
    pub(super) fn is_empty(&self) -> bool {
        self.words().is_empty()
    }

    /// Each of its conditions, in words behind "session".
    fn words(&self) -> Vec<String> {
        let Self {
            realm,
            user,
            credential,
            client,
            peer,
        } = self;
        let peer = peer.map(|peer| peer.to_string());
        let all = [
            ("of user", user),
            ("of credential", credential),
            ("of realm", realm),
            ("of client", client),
            ("with a permission for peer", &peer),
        ];
        let said = all.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?.escape_debug();
            Some(format!("{name} {value}"))
        });
        said.collect()
    }

    /// A path with the filter, and more, as its query.
    fn path(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let Self {
            realm,
            user,
            credential,
            client,
            peer,
        } = self;
        let peer = peer.map(|peer| peer.to_string());
        let own = [
            ("realm", realm.as_deref()),
            ("user", user.as_deref()),
            ("credential", credential.as_deref()),
            ("client", client.as_deref()),
            ("peer", peer.as_deref()),
        ];
        let mut path = format!("{path}?");
        for (name, value) in own.iter().chain(more) {
            if let Some(value) = value {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                let _ = write!(path, "{name}={value}&");
            }
        }
        path.pop();
        path
    }
}

impl Session {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        match &self.id {
            Some(id) => self.asking.run(Method::GET, &path_of(id), &(), details)?,
            None if self.filter.is_empty() => {
                return Err(Failure::Usage(
                    "which session? Name its ID (`hairpin sessions` lists them), or those of somebody by \
                     --user, --credential, --realm, --client or --peer",
                ));
            }
            None => self.show_all()?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows all that is known of whom the filter names.
    fn show_all(&self) -> Result<(), Failure> {
        let limit = SHOWN.to_string();
        let path = (self.filter).path("/v1/sessions", &[("limit", Some(&limit))]);
        let answer = self.asking.ask(Method::GET, &path, &())?;
        let page: api::Sessions = serde_json::from_value(answer).map_err(super::Fault::from)?;
        let mut sessions = Vec::new();
        for session in page.sessions.iter().take(SHOWN) {
            let answer = self.asking.ask(Method::GET, &path_of(&session.id), &());
            // It may be over since.
            sessions.extend(answer.ok());
        }
        let path = self.filter.path("/v1/stories", &[]);
        let mut answer = self.asking.ask(Method::GET, &path, &())?;
        if self.asking.json {
            answer["sessions"] = sessions.into();
            let text = serde_json::to_string_pretty(&answer).map_err(super::Fault::from)?;
            return print(&(text + "\n"));
        }
        let stories: api::Stories = serde_json::from_value(answer).map_err(super::Fault::from)?;
        let running = sessions.into_iter().map(serde_json::from_value);
        let running: Result<Vec<api::SessionDetails>, _> = running.collect();
        let running = running.map_err(super::Fault::from)?;
        let mut texts: Vec<String> = stories.failed.iter().map(story::failed).collect();
        texts.extend(stories.ended.into_iter().chain(running).map(details));
        if page.sessions.len() > SHOWN || page.next.is_some() {
            texts.push(format!("there are more than {SHOWN}: `hairpin sessions`\n"));
        }
        if texts.is_empty() {
            let asked = self.filter.words().join(" ");
            texts.push(format!(
                "no session {asked}, neither now nor in the last 15 minutes, and no refusal\n"
            ));
            // Clients there hear nothing, and leave no story.
            let bans: api::bans::Bans = self.asking.get("/v1/bans")?;
            if !bans.bans.is_empty() {
                let networks = bans.bans.iter().map(|ban| ban.prefix.as_str());
                let networks: Vec<&str> = networks.take(SHOWN).collect();
                texts.push(format!(
                    "banned, and so not answered: {} (`hairpin bans`)\n",
                    networks.join(", ")
                ));
            }
        }
        print(&texts.join("\n"))
    }
}

pub(super) fn path_of(id: &str) -> String {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    format!("/v1/sessions/{id}")
}

fn heading() -> String {
    format!(
        "{:<14} {:<20} {:<4} {:<24} {:<24} {:>12} {:>10} {:>10}  {:<22} {}\n",
        "ID",
        "USER",
        "VIA",
        "CLIENT",
        "RELAYED",
        "AGE",
        "TO PEERS",
        "FROM PEERS",
        "CLIENT LEG",
        "PEER LEG"
    )
}

fn line(session: &api::Session) -> String {
    let [client, peer] = quality::columns(session.quality.as_ref());
    let relayed: Vec<String> = session.relayed.iter().map(ToString::to_string).collect();
    format!(
        "{:<14} {:<20} {:<4} {:<24} {:<24} {:>12} {:>10} {:>10}  {client:<22} {peer}\n",
        session.id,
        session.user.escape_debug().to_string(),
        session.transport,
        session.client,
        relayed.join(","),
        span(session.age),
        bytes(session.sent.bytes),
        bytes(session.received.bytes)
    )
}

pub(super) fn details(details: api::SessionDetails) -> String {
    let api::SessionDetails {
        session,
        left,
        permissions,
        channels,
        streams,
        ended,
        story,
    } = details;
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    row("id", session.id);
    row("realm", session.realm.escape_debug().to_string());
    row("user", session.user.escape_debug().to_string());
    row("credential", session.credential.escape_debug().to_string());
    row(
        "client",
        format!("{} {}", session.client, session.transport),
    );
    for (relayed, left) in session.relayed.iter().zip(left) {
        row("relayed", format!("{relayed}, for {}", span(left)));
    }
    row("age", span(session.age));
    if let Some(api::Ending { at, cause }) = ended {
        row(
            "ended",
            format!("{}: {}", story::clock(at), cause.escape_debug()),
        );
    }
    for (name, traffic) in [("to peers", session.sent), ("from peers", session.received)] {
        row(
            name,
            format!("{} in {} packets", bytes(traffic.bytes), traffic.packets),
        );
    }
    for (name, text) in quality::rows(session.quality.as_ref(), &streams) {
        row(name, text);
    }
    for permission in permissions {
        row(
            "permission",
            format!("{}, for {}", permission.peer, span(permission.left)),
        );
    }
    for channel in channels {
        let number = channel.number;
        row(
            "channel",
            format!("{number:#06x} {}, for {}", channel.peer, span(channel.left)),
        );
    }
    if !story.is_empty() {
        text += "story (times are UTC)\n";
        for line in story::lines(&story).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Sessions that are asked for at once. Over the network each page is a connection, of which a server takes so many
/// in a second.
const PAGE: usize = 5000;

/// How many sessions `hairpin session` shows all about.
const SHOWN: usize = 20;

pub(super) const FILTERS: [&str; 5] = ["realm", "user", "credential", "client", "peer"];

const ONE_AFTER_HELP: &str = "\
Examples:
  hairpin session 0.be76a450
  hairpin session --user alice
  hairpin session --client 198.51.100.2 --json";

const AFTER_HELP: &str = "\
`-` is a leg of which nothing is known: no media and no checks of ICE have passed in the clear, or
not for some seconds, or `enabled` in [quality] is false.

Examples:
  hairpin sessions
  hairpin sessions --user alice
  hairpin sessions --min-age 1h --min-bytes 1000000000
  hairpin sessions --bad
  hairpin sessions --client 198.51.100.0/24 --json
  hairpin sessions --peer 203.0.113.9 --limit 20";
