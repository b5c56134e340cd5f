//! `hairpin sessions` and `hairpin session`: who is served.

use std::fmt::Write;
use std::mem;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asking, api, bytes, span};
use crate::cli::{Failure, print};

/// Sessions, by what is known of them: those to which everything said applies.
#[derive(Args)]
pub(super) struct Filter {
    /// Those of users of this realm.
    #[arg(long, value_name = "REALM")]
    pub(super) realm: Option<String>,

    /// Those of this user: the name without realm and expiry.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,

    /// Those of this credential: the whole user name, without the realm.
    #[arg(long, value_name = "USERNAME")]
    pub(super) credential: Option<String>,

    /// Those of clients at this address, or in this network.
    #[arg(long, value_name = "IP[/BITS]")]
    pub(super) client: Option<String>,

    /// Those that may send to this peer.
    #[arg(long, value_name = "IP")]
    pub(super) peer: Option<IpAddr>,
}

/// List the sessions of the running server.
///
/// A session is an allocation with its client: one line has its id, user, client,
/// relayed address, age and traffic. Without --limit all are listed.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct Sessions {
    #[command(flatten)]
    filter: Filter,

    /// List no more than about so many.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    #[command(flatten)]
    asking: Asking,
}

/// Show all about one session: permissions, channels, and how long each lasts.
#[derive(Args)]
pub(in crate::cli) struct Session {
    /// The id, as `hairpin sessions` and the log have it.
    #[arg(value_name = "ID")]
    id: String,

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
            let path = self.path(cursor.as_deref(), left.min(PAGE));
            let answer = self.asking.ask(Method::GET, &path, &())?;
            let page: api::Sessions = serde_json::from_value(answer).map_err(super::Fault::from)?;
            left = left.saturating_sub(page.sessions.len());
            if self.asking.json {
                all.extend(page.sessions);
            } else {
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
        }
        Ok(ExitCode::SUCCESS)
    }

    fn path(&self, cursor: Option<&str>, limit: usize) -> String {
        let Filter {
            realm,
            user,
            credential,
            client,
            peer,
        } = &self.filter;
        let limit = Some(limit.to_string());
        let peer = peer.map(|peer| peer.to_string());
        let mut path = "/v1/sessions?".to_owned();
        for (name, value) in [
            ("limit", limit.as_deref()),
            ("realm", realm.as_deref()),
            ("user", user.as_deref()),
            ("credential", credential.as_deref()),
            ("client", client.as_deref()),
            ("peer", peer.as_deref()),
            ("cursor", cursor),
        ] {
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
        let id = utf8_percent_encode(&self.id, NON_ALPHANUMERIC);
        let path = format!("/v1/sessions/{id}");
        self.asking.run(Method::GET, &path, &(), details)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn heading() -> String {
    format!(
        "{:<14} {:<20} {:<4} {:<24} {:<24} {:>12} {:>10} {:>10}\n",
        "ID", "USER", "VIA", "CLIENT", "RELAYED", "AGE", "TO PEERS", "FROM PEERS"
    )
}

fn line(session: &api::Session) -> String {
    let relayed: Vec<String> = session.relayed.iter().map(ToString::to_string).collect();
    format!(
        "{:<14} {:<20} {:<4} {:<24} {:<24} {:>12} {:>10} {:>10}\n",
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

fn details(details: api::SessionDetails) -> String {
    let api::SessionDetails {
        session,
        left,
        permissions,
        channels,
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
    for (name, traffic) in [("to peers", session.sent), ("from peers", session.received)] {
        row(
            name,
            format!("{} in {} packets", bytes(traffic.bytes), traffic.packets),
        );
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
    text
}

/// Sessions that are asked for at once.
const PAGE: usize = 1000;

const AFTER_HELP: &str = "\
Examples:
  hairpin sessions
  hairpin sessions --user alice
  hairpin sessions --client 198.51.100.0/24 --json
  hairpin sessions --peer 203.0.113.9 --limit 20";
