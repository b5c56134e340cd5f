//! The way to the server and to the keyboard: threads that tell what happens.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use ::admin::live::{By, Sort, Wanted};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};

use super::super::{Asking, api, server, sessions};
use crate::cli::{Failure, runtime};

/// News for the screen.
pub(super) enum Told {
    /// A key, or another size of the terminal.
    Event(Event),
    /// The server was looked at.
    Seen(Box<api::live::Seen>),
    /// The server does not answer, for this reason.
    Lost(String),
    /// All about the session of this id.
    Details(String, String),
    /// Something was done, in words.
    Done(String),
    /// A signal ends this program.
    Terminate,
}

/// The way to the server and to the keyboard.
pub(super) struct Link {
    asking: Asking,
    sender: Sender<Told>,
    told: Receiver<Told>,
    /// The number of the stream that is followed; others end.
    current: Arc<AtomicU64>,
}

/// The first look.
pub(super) fn first(asking: &Asking, wanted: &Wanted) -> Result<api::live::Seen, Failure> {
    let mut first = None;
    asking.follow(&path(wanted), |line| {
        first = seen(line).map_err(server::Fault::from)?;
        Ok(match first {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    first.ok_or_else(|| server::Fault::Refused("the server ends".to_owned()).into())
}

impl Link {
    /// Begins to read the keyboard.
    pub(super) fn begin(asking: Asking) -> Self {
        let (sender, told) = channel();
        let keys = sender.clone();
        // It ends with the program: a read of the terminal cannot be ended.
        thread::spawn(move || {
            while let Ok(event) = event::read()
                && keys.send(Told::Event(event)).is_ok()
            {}
        });
        let signals = sender.clone();
        thread::spawn(move || {
            // Without it the signal ends the program at once.
            if let Ok(runtime) = runtime() {
                runtime.block_on(terminated());
                let _ = signals.send(Told::Terminate);
            }
        });
        Self {
            asking,
            sender,
            told,
            current: Arc::default(),
        }
    }

    /// The next that happens, unless nothing does for so long.
    pub(super) fn next(&self, patience: Duration) -> Result<Told, RecvTimeoutError> {
        self.told.recv_timeout(patience)
    }

    /// Watches this from now on, again and again if the server goes away.
    pub(super) fn watch(&self, wanted: Wanted) {
        let own = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        let (asking, sender) = (self.asking.clone(), self.sender.clone());
        let current = Arc::clone(&self.current);
        let is_current = move || current.load(Ordering::Relaxed) == own;
        let path = path(&wanted);
        thread::spawn(move || {
            while is_current() {
                let ended = asking.follow(&path, |line| {
                    let seen = seen(line).map_err(server::Fault::from)?;
                    if !is_current() {
                        return Ok(ControlFlow::Break(()));
                    }
                    let sent = seen.map(|seen| sender.send(Told::Seen(Box::new(seen))));
                    Ok(match sent {
                        Some(Err(_)) => ControlFlow::Break(()),
                        Some(Ok(())) | None => ControlFlow::Continue(()),
                    })
                });
                if !is_current() {
                    return;
                }
                let why = match ended {
                    Ok(()) => "the server has ended".to_owned(),
                    Err(failure) => failure.to_string(),
                };
                if sender.send(Told::Lost(why)).is_err() {
                    return;
                }
                thread::sleep(AGAIN);
            }
        });
    }

    /// Asks for all about a session.
    pub(super) fn details(&self, id: String) {
        self.ask(move |asking| {
            let escaped = utf8_percent_encode(&id, NON_ALPHANUMERIC);
            let answer = asking.ask(Method::GET, &format!("/v1/sessions/{escaped}"), &());
            let details = answer.and_then(|answer| {
                let details = serde_json::from_value(answer).map_err(server::Fault::from)?;
                Ok(sessions::details(details))
            });
            let text = details.unwrap_or_else(|failure| failure.to_string());
            Told::Details(id, text)
        });
    }

    /// Ends sessions.
    pub(super) fn end(&self, end: api::End) {
        self.ask(move |asking| {
            let answer = asking.ask(Method::POST, "/v1/sessions/end", &end);
            let ended = answer.and_then(|answer| {
                let ended: api::Ended =
                    serde_json::from_value(answer).map_err(server::Fault::from)?;
                Ok(ended.ended)
            });
            Told::Done(match ended {
                Ok(1) => "1 session ended".to_owned(),
                Ok(count) => format!("{count} sessions ended"),
                Err(failure) => failure.to_string(),
            })
        });
    }

    fn ask(&self, question: impl FnOnce(&Asking) -> Told + Send + 'static) {
        let (asking, sender) = (self.asking.clone(), self.sender.clone());
        thread::spawn(move || sender.send(question(&asking)));
    }
}

async fn terminated() {
    let signals = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ];
    let signals = signals.map(signal);
    let [Ok(mut terminate), Ok(mut hangup), Ok(mut interrupt)] = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The data of a server-sent event, if the line has one.
fn seen(line: &str) -> serde_json::Result<Option<api::live::Seen>> {
    let data = line.strip_prefix("data:");
    data.map(serde_json::from_str).transpose()
}

pub(super) fn path(wanted: &Wanted) -> String {
    let Wanted {
        by,
        sort,
        filter,
        limit,
    } = wanted;
    let by = match by {
        By::Sessions => "sessions",
        By::Users => "users",
        By::Clients => "clients",
        By::Peers => "peers",
    };
    let sort = match sort {
        Sort::Rate => "rate",
        Sort::Sent => "sent",
        Sort::Received => "received",
        Sort::Bytes => "bytes",
        Sort::Age => "age",
    };
    let filter = utf8_percent_encode(filter, NON_ALPHANUMERIC);
    format!("/v1/live?by={by}&sort={sort}&limit={limit}&filter={filter}")
}

/// How long a server that does not answer is left alone.
const AGAIN: Duration = Duration::from_secs(1);
