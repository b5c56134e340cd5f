//! `hairpin trace`: what clients do, while they do it.

mod capture;

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::api::{Line, SessionDetails};
use super::sessions::path_of;
use super::story::{clock, words};
use super::{Asking, Fault, bytes, quality};
use crate::cli::{Failure, print};
use capture::Capture;

/// Show the actions of clients live, one line each.
///
/// The lines tell of requests with their answers and causes, of permissions and channels that
/// are made or over, of data and its losses each second, and of the end. A user is followed
/// also in sessions that begin later, and when it is refused one; nobody else is delayed, and
/// the log level does not matter. End it with Ctrl-C.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
#[command(group = ArgGroup::new("whom").required(true).multiple(true))]
pub(in crate::cli) struct Trace {
    /// This user: the name without realm and expiry.
    #[arg(long, value_name = "NAME", group = "whom")]
    user: Option<String>,

    /// This session, by the id that `hairpin sessions` and the log have.
    #[arg(long, value_name = "ID", group = "whom")]
    session: Option<String>,

    /// Clients at this address, or in this network.
    #[arg(long, value_name = "IP[/BITS]", group = "whom")]
    client: Option<String>,

    /// Clients that send to this peer, or ask to.
    #[arg(long, value_name = "IP", group = "whom")]
    peer: Option<IpAddr>,

    /// This credential: the whole user name, without the realm.
    #[arg(long, value_name = "USERNAME", group = "whom")]
    credential: Option<String>,

    /// Users of this realm.
    #[arg(long, value_name = "REALM", group = "whom")]
    realm: Option<String>,

    /// Also write the STUN and TURN messages to this file, for Wireshark, each as a datagram. Data is not
    /// written, and credentials are zeros; user names and addresses are as they came.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    #[command(flatten)]
    asking: Asking,
}

impl Trace {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(id) = &self.session {
            let details: SessionDetails = self.asking.get(&path_of(id))?;
            if details.ended.is_some() {
                let sentence =
                    format!("the session has ended; `hairpin session {id}` shows its story");
                return Err(Fault::Refused(sentence).into());
            }
        }
        let path = self.path();
        let mut capture = self.pcap.as_deref().map(Capture::create).transpose()?;
        let json = self.asking.json;
        let traced = self.asking.follow(&path, |text| {
            let line: Line = serde_json::from_str(text).map_err(Fault::from)?;
            if line.bytes.is_some() {
                if let Some(capture) = &mut capture {
                    capture.write(&line)?;
                }
            } else if json {
                print(&format!("{text}\n"))?;
            } else {
                print(&told(&line))?;
            }
            Ok(ControlFlow::Continue(()))
        });
        match traced {
            // Its reader has seen enough, as `head` has.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(ExitCode::SUCCESS)
            }
            traced => traced.map(|()| ExitCode::SUCCESS),
        }
    }

    fn path(&self) -> String {
        let peer = self.peer.map(|peer| peer.to_string());
        let mut path = "/v1/trace?".to_owned();
        for (name, value) in [
            ("user", self.user.as_deref()),
            ("session", self.session.as_deref()),
            ("client", self.client.as_deref()),
            ("peer", peer.as_deref()),
            ("credential", self.credential.as_deref()),
            ("realm", self.realm.as_deref()),
            ("messages", self.pcap.as_ref().map(|_| "true")),
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

/// A line for people.
fn told(line: &Line) -> String {
    let at = clock(line.at);
    match line.what.event.as_str() {
        "begun" => return format!("{at}  begun (times are UTC; Ctrl-C ends it)\n"),
        "lost" => {
            let (lines, clients) = (
                line.lines.unwrap_or_default(),
                line.clients.unwrap_or_default(),
            );
            return format!(
                "{at}  too much to tell: {lines} lines, and requests of more clients: {clients}\n"
            );
        }
        _ => {}
    }
    let session = line.session.as_deref().unwrap_or("-").escape_debug();
    let user = line.user.as_deref().unwrap_or("-").escape_debug();
    let client = line
        .client
        .map_or_else(|| "-".to_owned(), |at| at.to_string());
    let via = line.transport.as_deref().unwrap_or("-").escape_debug();
    let mut text = if line.what.event == "traffic" {
        traffic(line)
    } else {
        words(&line.what)
    };
    if let Some(reason) = &line.reason {
        let _ = write!(text, ": {}", reason.escape_debug());
    }
    format!("{at}  {session} {user} {client} {via}  {text}\n")
}

fn traffic(line: &Line) -> String {
    let mut words = Vec::new();
    for (name, traffic) in [("to peers", line.sent), ("from peers", line.received)] {
        if let Some(traffic) = traffic.filter(|it| it.packets > 0) {
            words.push(format!(
                "{} packets {name}, {}",
                traffic.packets,
                bytes(traffic.bytes)
            ));
        }
    }
    for (why, count) in &line.drops {
        words.push(format!("{count} dropped: {}", why.escape_debug()));
    }
    if line.quality.is_some() {
        let [client, peer] = quality::columns(line.quality.as_ref());
        words.push(format!("client leg {client}"));
        words.push(format!("peer leg {peer}"));
    }
    words.join("; ")
}

const AFTER_HELP: &str = "\
At most four traces run at a time. Of a flood some lines are shown, and the others are counted.

Examples:
  hairpin trace --user alice
  hairpin trace --client 198.51.100.2 --json
  hairpin trace --session 0.be76a450 --pcap alice.pcap
  hairpin trace --peer 203.0.113.9";
