//! The subcommands that speak to the running server: by its socket, to its API.

mod end;
mod sessions;
mod status;
mod steer;

use std::env;
use std::io;
use std::path::PathBuf;

use ::admin::api;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Failure, print, runtime};
use crate::config::AdminSocket;
use crate::serve::admin::{SOCKET, place};

pub(super) use end::End;
pub(super) use sessions::{Session, Sessions};
pub(super) use status::Status;
pub(super) use steer::{Drain, Reload};

/// Why the running server was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No socket was found.
    #[error(
        "no running server was found: there is no {}. Name its socket with --socket; the server's log \
         has it, or says why there is none (`admin:`)",
        listed(.0)
    )]
    NotFound(Vec<PathBuf>),
    /// The socket cannot be opened.
    #[error("cannot reach the server at {}: {source}{}", .path.display(), hint(.source))]
    Unreachable { path: PathBuf, source: io::Error },
    /// The connection broke.
    #[error("the server gave no answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is not one of this version.
    #[error("the answer of the server is not understood (is it of another version?): {0}")]
    Foreign(#[from] serde_json::Error),
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

/// How the server is found, and how answers are printed.
#[derive(Args)]
pub(super) struct Asking {
    /// The socket of the server. Where it is not given: /run/hairpin/admin.sock, then
    /// $XDG_RUNTIME_DIR/hairpin/admin.sock.
    #[arg(long, value_name = "PATH", env = "HAIRPIN_SOCKET")]
    socket: Option<PathBuf>,

    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Asking {
    /// Asks, and prints the answer as it is, or in words.
    fn run<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        words: impl FnOnce(T) -> String,
    ) -> Result<(), Failure> {
        let answer = self.ask(method, path, body)?;
        if self.json {
            let text = serde_json::to_string_pretty(&answer).map_err(Fault::from)?;
            return print(&(text + "\n"));
        }
        let answer = serde_json::from_value(answer).map_err(Fault::from)?;
        print(&words(answer))
    }

    /// Asks the server once.
    fn ask(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(Fault::from)?;
        let socket = self.socket()?;
        let answer = runtime()?.block_on(async {
            let stream = UnixStream::connect(&socket).await;
            let stream = stream.map_err(|source| Fault::Unreachable {
                path: socket.clone(),
                source,
            })?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, "hairpin")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body)))
                .expect("paths are made here, of what may stand in one");
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<_, Fault>((status, body))
        });
        let (status, body) = answer?;
        let answer: Value = serde_json::from_slice(&body).map_err(Fault::from)?;
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let sentence = answer["error"].as_str().unwrap_or(status.as_str());
        Err(Fault::Refused(sentence.to_owned()).into())
    }

    fn socket(&self) -> Result<PathBuf, Fault> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let own = place(&AdminSocket::Auto, |name| env::var_os(name));
        let places = [PathBuf::from("/run/hairpin").join(SOCKET)];
        let places: Vec<PathBuf> = places.into_iter().chain(own).collect();
        let there = places.iter().find(|place| place.exists()).cloned();
        there.ok_or(Fault::NotFound(places))
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

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut scaled = count as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"B");
    for next in units {
        if scaled < 1000.0 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    if *unit == "B" {
        format!("{count} B")
    } else {
        format!("{scaled:.1} {unit}")
    }
}

/// A number of seconds for people, to two units.
fn span(seconds: u64) -> String {
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_spans_are_told_in_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (2_000_000, "2.0 MB"),
            (3_400_000_000_000_000, "3400.0 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_720, "1 h 2 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
