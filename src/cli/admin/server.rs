//! The running server, as commands reach it.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api;
use super::way::{Place, Way};
use crate::cli::{Failure, print, runtime};
use crate::config::{AdminSocket, NoSecret};

/// Why the running server was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No socket was found.
    #[error(
        "no running server was found: there is no {}. Name its socket with --socket, or its `[admin] listen` \
         with --url; the server's log has them, or says why there is none (`admin.no-socket`)",
        listed(.0)
    )]
    NotFound(Vec<PathBuf>),
    /// The socket cannot be opened.
    #[error("cannot reach the server at {}: {source}{}", .path.display(), hint(.source))]
    Unreachable { path: PathBuf, source: io::Error },
    /// The URL cannot be meant.
    #[error("the URL {0} {1} (option --url, or HAIRPIN_URL)")]
    Url(String, &'static str),
    /// There is nothing to show.
    #[error(
        "a token has to be shown there: name its file with --token-file, or in HAIRPIN_TOKEN_FILE"
    )]
    NoToken,
    /// The file with the token has to be changed.
    #[error("the token is in {}, {why} (option --token-file, or HAIRPIN_TOKEN_FILE)", .file.display())]
    Token { file: PathBuf, why: NoSecret },
    /// It cannot stand in a header.
    #[error("the token has characters that no bearer token has")]
    UnsentToken,
    /// The file with the authority has to be changed.
    #[error("the authority is in {}, {why} (option --ca-file, or HAIRPIN_CA_FILE)", .file.display())]
    Authority { file: PathBuf, why: String },
    /// The server cannot be connected to.
    #[error("cannot reach the server at {host}: {source}")]
    Away { host: String, source: io::Error },
    /// The connection broke.
    #[error("the server gave no answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is not one of this version.
    #[error("the answer of the server is not understood (is it of another version?): {0}")]
    Foreign(#[from] serde_json::Error),
    /// A comparison of another file than the server's.
    #[error(
        "the running server reads {}, and not {}: nothing was compared. Without --config the \
         server's own file is",
        .own.as_deref().unwrap_or("no file, but the environment"),
        .named.display()
    )]
    OtherFile { named: PathBuf, own: Option<String> },
    /// The file of messages cannot be written.
    #[error("cannot write {path}: {source} (option --pcap)")]
    Capture { path: PathBuf, source: io::Error },
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

impl Fault {
    /// The faults of the configuration that the server was to read: a report with headings of its own.
    pub(in crate::cli) fn report(&self) -> Option<&str> {
        match self {
            Self::Refused(told) => Some(told)
                .filter(|told| told.ends_with('\n'))
                .map(|it| &**it),
            Self::NotFound(_)
            | Self::Unreachable { .. }
            | Self::Url(..)
            | Self::NoToken
            | Self::Token { .. }
            | Self::UnsentToken
            | Self::Authority { .. }
            | Self::Away { .. }
            | Self::Broken(_)
            | Self::Foreign(_)
            | Self::OtherFile { .. }
            | Self::Capture { .. } => None,
        }
    }
}

/// How the server is found, and how answers are printed.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Asking {
    #[command(flatten)]
    place: Place,

    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    /// At this socket, or where the server is found; the answer as JSON if that is wanted.
    pub(in crate::cli) const fn at(socket: Option<PathBuf>, json: bool) -> Self {
        Self {
            place: Place::at(socket),
            json,
        }
    }

    /// Whether the answer is printed as JSON.
    pub(in crate::cli) const fn is_json(&self) -> bool {
        self.json
    }

    /// The same, or at the socket of this configuration where nothing else is named.
    pub(in crate::cli) fn or_of(&self, configured: &AdminSocket) -> Self {
        Self {
            place: self.place.clone().or_of(configured),
            json: self.json,
        }
    }

    /// Asks, and prints the answer as it is, or in words.
    pub(super) fn run<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        words: impl FnOnce(T) -> String,
    ) -> Result<(), Failure> {
        let answer = self.ask(method, path, body)?;
        if self.json {
            return self.print(&answer, Value::to_string);
        }
        let answer = serde_json::from_value(answer).map_err(Fault::from)?;
        print(&words(answer))
    }

    /// Asks for something that is there.
    pub(in crate::cli) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.ask(Method::GET, path, &())?;
        Ok(serde_json::from_value(answer).map_err(Fault::from)?)
    }

    /// Prints an answer as JSON, or in words.
    pub(in crate::cli) fn print<T: Serialize>(
        &self,
        answer: &T,
        words: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return print(&words(answer));
        }
        let text = serde_json::to_string_pretty(answer).map_err(Fault::from)?;
        print(&(text + "\n"))
    }

    /// Asks the server once.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(Fault::from)?;
        let way = self.place.way()?;
        let answer = runtime()?.block_on(async {
            let answer = send(&way, method, path, body).await?;
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<_, Fault>(serde_json::from_slice(&body)?)
        });
        Ok(answer?)
    }

    /// Asks for an answer without an end, and has `each` see its lines as they come, until it breaks off or the
    /// server ends. Empty lines, by which the server sees whether anybody is there, are left out.
    pub(super) fn follow(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let way = self.place.way()?;
        runtime()?.block_on(async {
            let answer = send(&way, Method::GET, path, Vec::new()).await?;
            let mut body = answer.into_body();
            let mut lines = Lines::default();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(Fault::from)?;
                lines.push(frame.data_ref().map_or(&[], |part| part));
                while let Some(line) = lines.next() {
                    if each(&line)?.is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}

/// Sends a request; returns the answer, unless that is a refusal.
async fn send(
    way: &Way,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Response<Incoming>, Fault> {
    let stream = way.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, way.host())
        .header(header::CONTENT_TYPE, "application/json");
    if let Way::Url(address) = way {
        let shown = HeaderValue::from_str(&format!("Bearer {}", address.token.expose()));
        let mut shown = shown.map_err(|_| Fault::UnsentToken)?;
        shown.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, shown);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .expect("paths are made here, of what may stand in one");
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let body = answer.into_body().collect().await?.to_bytes();
    // A refusal that comes before the API may be without JSON.
    let refusal = serde_json::from_slice::<api::Error>(&body);
    Err(Fault::Refused(refusal.map_or_else(
        |_| format!("{status}: {}", String::from_utf8_lossy(&body).trim_end()),
        |refusal| refusal.error,
    )))
}

/// Bytes that become lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole line that is not empty.
    fn next(&mut self) -> Option<String> {
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let rest = self.0.split_off(end + 1);
            let line = std::mem::replace(&mut self.0, rest);
            let line = String::from_utf8_lossy(&line[..end]);
            let line = line.trim_end_matches('\r');
            if !line.is_empty() {
                return Some(line.to_owned());
            }
        }
        None
    }
}

fn listed(places: &[PathBuf]) -> String {
    let places: Vec<String> = places.iter().map(|it| it.display().to_string()).collect();
    places.join(" and no ")
}

fn hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        " (run it as root, or as a user of the group hairpin)"
    } else if source.kind() == io::ErrorKind::ConnectionRefused {
        " (the server has ended, or this is no socket)"
    } else if source.kind() == io::ErrorKind::NotFound {
        " (no server runs, or its socket is elsewhere: the server's log has the path)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_their_bytes_are_cut_and_empty_ones_are_left_out() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for part in ["{\"a\"", ":1}\n\n\r\n{", "}\r\nrest"] {
            lines.push(part.as_bytes());
            seen.extend(std::iter::from_fn(|| lines.next()));
        }
        assert_eq!(seen, ["{\"a\":1}", "{}"]);
    }
}
