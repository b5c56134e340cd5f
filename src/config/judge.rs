//! From [`File`] to [`Config`]: can the values be, one by one, together, and on
//! this host.
//!
//! `None` from any step means "not usable, and said so": the next steps still
//! run, so that one reading tells all, but what depends on it is not judged.

mod auth;
mod credentials;
mod idle_redirects;
mod limits;
mod nat_discovery;
mod net;
mod oauth;
mod peers;
mod realms;
mod redirects;
mod reuse;
mod tcp;
mod unauthenticated;
mod users_file;

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use relay::IcmpTold;

pub(super) use auth::realm_flaw;
pub(crate) use unauthenticated::spelled;

use super::fault::{Fault, Finding, Form, KeyName, Remark};
use super::file::{File, IcmpPolicy, LogTable, Number, Text};
use super::host::Host;
use super::report::Report;
use super::watched::Watched;
use super::{Config, Format, Level, Listener, Log, Relay};
use idle_redirects::Place;
use reuse::Known;

/// The judgement of a file.
pub(super) struct Judged {
    /// There is one unless a finding is a fault.
    pub(super) config: Option<Config>,
    /// About this file.
    pub(super) findings: Vec<Finding>,
    /// About files of users that it names.
    pub(super) others: Report,
    /// All files that it names and that were read.
    pub(super) files: Vec<Watched>,
}

impl Judged {
    /// A text of which no file could be made.
    pub(super) const fn none(findings: Vec<Finding>) -> Self {
        Self {
            config: None,
            findings,
            others: Report::empty(),
            files: Vec::new(),
        }
    }
}

/// Judges a file at `path` by the facts of `host`.
pub(super) fn judge(file: File, path: &Path, host: &Host) -> Judged {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut judge = Judge {
        host,
        directory,
        secrets: Vec::new(),
        nonce_secret: None,
        findings: Vec::new(),
        others: Report::empty(),
        files: Vec::new(),
    };
    let names = realm_names(&file, host);
    let realm = judge.realm(file.realm);
    let threads = judge.threads(file.threads);
    let mut listeners = judge.listeners(&file.listener);
    let relay = judge.relay(&file.relay);
    let nat_discovery = match (&mut listeners, &relay) {
        (Some(listeners), Some(relay)) => {
            judge.nat_discovery(&file.nat_discovery, listeners, relay)
        }
        (None, _) | (_, None) => None,
    };
    let around = Surroundings {
        shares_nonces: file.auth.nonce_secret_file.is_some(),
        realms: &names,
        listeners: listeners.as_deref(),
        relay: relay.as_ref(),
    };
    let auth = judge.auth(file.auth, around);
    let oauth = judge.oauth(file.oauth, realm.as_deref());
    let apart = judge.nonce_secret_apart();
    let stream_indication = judge.data_indication(&file.tcp);
    let allocation = judge.allocation(&file.allocation, stream_indication, relay.as_ref());
    let places: Vec<Place> = file.redirect.iter().map(Place::of).collect();
    let redirects = judge.redirects(file.redirect, around);
    if let (Some(rules), Some(limits), Some(auth)) = (&redirects, &allocation, &auth) {
        judge.waiting_redirects(rules, &places, limits, auth);
    }
    if let (Some(rules), Some(listeners)) = (&redirects, &listeners) {
        judge.passed_redirects(rules, &places, listeners);
    }
    let unauthenticated = judge.unauthenticated(&file.unauthenticated);
    let tcp = judge.tcp(&file.tcp);
    let peers = judge.peers(&file.peers);
    let log = log(&file.log);
    let config = || {
        apart?;
        Some(Config {
            realm: realm?,
            threads: threads?,
            listeners: listeners?,
            relay: relay?,
            nat_discovery: nat_discovery?,
            auth: auth?,
            oauth: oauth?,
            allocation: allocation?,
            mobility: file.allocation.mobility.unwrap_or(true),
            icmp: icmp(file.allocation.icmp),
            redirects: redirects?,
            unauthenticated: unauthenticated?,
            tcp: tcp?,
            peers: peers?,
            log,
        })
    };
    Judged {
        config: config(),
        findings: judge.findings,
        others: judge.others,
        files: judge.files,
    }
}

/// The findings so far, and what they are found against.
struct Judge<'h> {
    host: &'h Host,
    /// Where relative paths start.
    directory: &'h Path,
    /// Secrets that clients, users and other servers prove to know.
    secrets: Vec<Known>,
    /// The secret that servers share which send clients to each other.
    nonce_secret: Option<Known>,
    findings: Vec<Finding>,
    /// Findings about other files than this one.
    others: Report,
    /// The files that were read.
    files: Vec<Watched>,
}

/// Values that tables of several kinds refer to; `None` where one was not usable.
#[derive(Clone, Copy)]
struct Surroundings<'c> {
    /// The names of all realms as written, the default one first.
    realms: &'c [String],
    listeners: Option<&'c [Listener]>,
    /// Whether other servers take the nonces of this one.
    shares_nonces: bool,
    relay: Option<&'c Relay>,
}

fn realm_names(file: &File, host: &Host) -> Vec<String> {
    let default = file.realm.as_ref().map_or(&host.name, Text::get_ref);
    let others = file.auth.realm.iter();
    let others = others.filter_map(|other| Some(other.get_ref().name.as_ref()?.get_ref()));
    std::iter::once(default).chain(others).cloned().collect()
}

impl Judge<'_> {
    fn say(&mut self, remark: impl Into<Remark>, at: std::ops::Range<usize>) {
        self.findings.push(Finding::new(remark, at));
    }

    /// As [`Self::say`], pointing at a second place that explains it.
    fn say_beside(
        &mut self,
        remark: impl Into<Remark>,
        at: std::ops::Range<usize>,
        see: (std::ops::Range<usize>, &'static str),
    ) {
        let see = Some(see);
        let remark = remark.into();
        self.findings.push(Finding { remark, at, see });
    }

    /// Says a fault and gives the `None` that stands for it.
    fn refuse<T>(&mut self, fault: impl Into<Fault>, at: std::ops::Range<usize>) -> Option<T> {
        self.say(fault.into(), at);
        None
    }

    /// As [`Self::refuse`], pointing at a second place that explains it.
    fn refuse_beside<T>(
        &mut self,
        fault: impl Into<Fault>,
        at: std::ops::Range<usize>,
        see: Option<(std::ops::Range<usize>, &'static str)>,
    ) -> Option<T> {
        self.findings.push(Finding {
            remark: fault.into().into(),
            at,
            see,
        });
        None
    }

    fn number(
        &mut self,
        key: impl Into<KeyName>,
        written: Option<&Number>,
        possible: RangeInclusive<u32>,
        default: u32,
    ) -> Option<u32> {
        let Some(written) = written else {
            return Some(default);
        };
        match u32::try_from(*written.get_ref()) {
            Ok(number) if possible.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                let key = key.into();
                let (least, most) = (possible.start().to_string(), possible.end().to_string());
                self.refuse(Fault::Range { key, least, most }, written.span())
            }
        }
    }

    fn duration(
        &mut self,
        key: &'static str,
        written: Option<&Text>,
        possible: RangeInclusive<Duration>,
        default: Duration,
    ) -> Option<Duration> {
        let Some(written) = written else {
            return Some(default);
        };
        let duration = match humantime::parse_duration(written.get_ref()) {
            Ok(duration) if duration.subsec_nanos() == 0 => duration,
            Ok(_) | Err(_) => {
                let (key, form) = (key.into(), Form::Duration);
                return self.refuse(Fault::Form { key, form }, written.span());
            }
        };
        if possible.contains(&duration) {
            return Some(duration);
        }
        let words = |duration: &Duration| humantime::format_duration(*duration).to_string();
        let (least, most) = (words(possible.start()), words(possible.end()));
        let key = key.into();
        self.refuse(Fault::Range { key, least, most }, written.span())
    }
}

fn icmp(written: Option<IcmpPolicy>) -> IcmpTold {
    match written {
        None => IcmpTold::default(),
        Some(IcmpPolicy::Rfc8489) => IcmpTold::Rfc8489,
        Some(IcmpPolicy::Always) => IcmpTold::Always,
        Some(IcmpPolicy::Never) => IcmpTold::Never,
    }
}

fn log(table: &LogTable) -> Log {
    Log {
        level: table.level.unwrap_or(Level::Info),
        format: table.format.unwrap_or(Format::Text),
        addresses: table.addresses.unwrap_or(false),
    }
}
