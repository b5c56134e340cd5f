//! Talks: calls of browsers that go on while time passes, or while something happens to them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    authority::SERVER_NAME,
    board::Board,
    browser::{Browser, Window},
    machine::name_hosts,
    sdp::relayed_in,
    server::{PASSWORD, PORT, TLS_PORT, USER},
    wait_for,
    world::SERVER_V4,
};

/// The task of the browsers.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The calls, each by its two ends.
    pub calls: &'a [[End; 2]],
    /// More peers that every end tries to reach, and so asks permissions for.
    pub strangers: &'a [Stranger],
    /// Whether they restart ICE when a call is lost.
    pub meets_again: bool,
    /// How long they go on once [`Talks`] are asked whether they do.
    pub duration: Duration,
}

/// One end of a call. It is relayed, whatever its partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The browser of this end.
    pub browser: Browser,
    /// The transport to the server: `udp`, `tcp` or `tls`.
    pub transport: &'static str,
}

/// A candidate that is not the partner's.
#[derive(Clone, Copy, Debug)]
pub struct Stranger {
    /// Its address.
    pub at: SocketAddrV4,
    /// Whether it is tried before the partner.
    pub is_first: bool,
}

/// Calls that all ends say are open. They end when dropped.
pub struct Talks {
    board: Board,
    browsers: Vec<Window>,
    ends: Vec<End>,
    duration: Duration,
}

impl Talks {
    /// Opens a browser of each kind that has an end, and waits until all ends talk.
    pub fn begin(plan: Plan<'_>) -> Self {
        let page = include_str!("../../../tests/pages/talk.html");
        name_hosts(&[(SERVER_V4.into(), SERVER_NAME)]);
        let mut talks = Self {
            board: Board::serve((Ipv4Addr::LOCALHOST, 0), page),
            browsers: Vec::new(),
            ends: plan.calls.concat(),
            duration: plan.duration,
        };
        for browser in [Browser::Chromium, Browser::Firefox] {
            talks.open(browser, plan);
        }
        talks.of_each_end("-talks", BEGINNING);
        talks
    }

    /// The relayed addresses of all ends.
    pub fn relayed(&mut self) -> Vec<SocketAddrV4> {
        let descriptions = self.of_each_end("", BEGINNING);
        descriptions.iter().map(relayed_in).collect()
    }

    /// Lets all calls go on for their time, and waits for their end. Each went on all the time, over a relay at both ends.
    #[track_caller]
    pub fn assert_went_on(mut self) {
        let results = self.assert_stand(LONGEST_SILENCE);
        let planned = self.duration.as_secs() * SAID_A_SECOND;
        for (end, result) in self.ends.iter().zip(&results) {
            let number = |name: &str| result[name].as_i64().expect("a number");
            let (heard, missed) = (number("heard"), number("missed"));
            assert!(
                heard * 10 >= planned.cast_signed() * 9,
                "{end:?}: {results:#?}"
            );
            // A busy machine makes the channel give up a few.
            assert!(missed * 10 <= heard + 30, "{end:?}: {results:#?}");
        }
    }

    /// The same, but whatever was lost before.
    #[track_caller]
    pub fn assert_came_back(mut self) {
        self.assert_stand(COMING_BACK);
    }

    /// Waits for the results of all ends, none of which was silent for longer.
    #[track_caller]
    fn assert_stand(&mut self, longest_silence: Duration) -> Vec<Value> {
        self.board.pin("go-on", json!(true));
        let results = self.of_each_end("-result", self.duration + ENDING);
        for (result, end) in results.iter().zip(&self.ends) {
            let what = format!("{end:?}: {results:#?}");
            assert_eq!(result["state"], "connected", "{what}");
            assert_eq!(result["channel"], "open", "{what}");
            assert_eq!(result["candidateType"], "relay", "{what}");
            assert_eq!(result["relayProtocol"], end.transport, "{what}");
            let gap = result["gap"].as_f64().expect("milliseconds");
            println!("the longest silence of {end:?}: {gap} ms");
            assert!(gap < longest_silence.as_secs_f64() * 1000.0, "{what}");
        }
        results
    }

    fn open(&mut self, browser: Browser, plan: Plan<'_>) {
        let tasks: Vec<Value> = (self.ends.iter().enumerate())
            .filter(|(_, end)| end.browser == browser)
            .map(|(number, end)| end.task(number, plan))
            .collect();
        if tasks.is_empty() {
            return;
        }
        let name = format!("{browser:?}");
        let url = format!("{}#{name}", self.board.url());
        self.board.pin(&name, json!(tasks));
        self.browsers.push(browser.open(&url));
    }

    /// The value that each end left on the board under its name and `suffix`.
    #[track_caller]
    fn of_each_end(&mut self, suffix: &str, patience: Duration) -> Vec<Value> {
        let mut pins = Vec::new();
        for end in 0..self.ends.len() {
            let name = format!("{end}{suffix}");
            pins.push(wait_for(&name, patience, || {
                self.assert_well(end);
                self.board.read(&name)
            }));
        }
        pins
    }

    #[track_caller]
    fn assert_well(&mut self, end: usize) {
        for browser in &mut self.browsers {
            if let Some(status) = browser.ended() {
                panic!("a browser ended with {status}");
            }
        }
        let result = self.board.read(&format!("{end}-result"));
        let error = result.as_ref().and_then(|result| result.get("error"));
        assert_eq!(error, None, "{:?}", self.ends[end]);
    }
}

impl End {
    /// The task in the form of the page.
    fn task(self, number: usize, plan: Plan<'_>) -> Value {
        let strangers: Vec<Value> = plan.strangers.iter().map(Stranger::candidate).collect();
        let url = uri_of(self.transport);
        json!({
            "name": number.to_string(),
            "partner": partner(number).to_string(),
            "offers": number < partner(number),
            "iceServers": [{ "urls": url, "username": USER, "credential": PASSWORD }],
            "strangers": strangers,
            "meetsAgain": plan.meets_again,
            "seconds": plan.duration.as_secs(),
        })
    }
}

impl Stranger {
    /// A candidate of the highest priority that there is, or of the lowest. RFC 8445 §5.1.2.
    fn candidate(&self) -> Value {
        let priority = if self.is_first { i32::MAX } else { 1 };
        json!({ "address": self.at.ip(), "port": self.at.port(), "priority": priority })
    }
}

/// The URI of the world's server over `udp`, `tcp` or `tls`. Firefox opens no TLS to an address.
pub fn uri_of(transport: &str) -> String {
    match transport {
        "tls" => format!("turns:{SERVER_NAME}:{TLS_PORT}?transport=tcp"),
        _ => format!("turn:{SERVER_V4}:{PORT}?transport={transport}"),
    }
}

/// The other end of a call, as ends are numbered.
const fn partner(end: usize) -> usize {
    end ^ 1
}

/// Browsers need seconds to start, more when several start at once on a small machine.
const BEGINNING: Duration = Duration::from_secs(60);
/// How much later than planned a call may end: the page waits 15 s for what is late.
const ENDING: Duration = Duration::from_secs(40);
/// Numbers that the page says in a second.
const SAID_A_SECOND: u64 = 5;
/// A machine that compiles other tests meanwhile may delay messages so long. Patience costs no
/// proof: a permission or a channel that has lapsed is silent to the end, and calls of ten minutes
/// go on for longer than this after the last lifetime is over.
const LONGEST_SILENCE: Duration = Duration::from_secs(9);
/// A browser notices after five to nine seconds that nothing arrives any more.
const COMING_BACK: Duration = Duration::from_secs(20);
