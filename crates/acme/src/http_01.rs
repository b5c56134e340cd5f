//! The answers of HTTP-01: a server that knows one path, for as long as an order lasts.
//! RFC 8555 §8.3.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::challenges::Tokens;

/// A server that answers until it is dropped.
pub(crate) struct Responder {
    _task: JoinSet<Infallible>,
}

impl Responder {
    pub(crate) fn start(listener: TcpListener, tokens: Tokens) -> Self {
        let mut task = JoinSet::new();
        task.spawn(answer_all(listener, tokens));
        Self { _task: task }
    }
}

async fn answer_all(listener: TcpListener, tokens: Tokens) -> Infallible {
    let mut connections = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connections.spawn(answer(stream, tokens.clone()));
                    oldest_first.retain(|it: &AbortHandle| !it.is_finished());
                    oldest_first.push_back(connection);
                    // Those who say nothing do not keep an authority out.
                    let spare = oldest_first.len().saturating_sub(MOST_CONNECTIONS);
                    for silent in oldest_first.drain(..spare) {
                        silent.abort();
                    }
                }
                // Out of descriptors, most likely: those of the server come first.
                Err(_) => sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, tokens: Tokens) {
    let service = service_fn(|request| {
        let answer = respond(&request, &tokens);
        async move { answer }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // The connection ends here, whatever its client does.
    let _ = timeout(PATIENCE, connection).await;
}

/// An error closes the connection without an answer: there is nothing else here for anybody.
fn respond<B>(request: &Request<B>, tokens: &Tokens) -> Result<Response<Full<Bytes>>, NotOurs> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let token = request.uri().path().strip_prefix(PATH).filter(|_| is_read);
    let answer = tokens.answer(token.ok_or(NotOurs)?);
    let mut response = Response::new(Full::default());
    match answer {
        Some(answer) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            *response.body_mut() = Full::from(answer);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

/// A request for anything but the path of challenges.
#[derive(Debug, thiserror::Error)]
#[error("nothing else is served here")]
struct NotOurs;

const PATH: &str = "/.well-known/acme-challenge/";
/// For a connection as a whole.
const PATIENCE: Duration = Duration::from_secs(10);
const BREATH: Duration = Duration::from_millis(100);
/// Of a request. hyper takes no less.
const MOST_BYTES: usize = 8192;
/// Let's Encrypt looks from five places.
const MOST_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::challenges::Challenges;

    /// The bytes that answer these, until the connection is closed.
    async fn told(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn responder() -> (SocketAddr, Responder, Challenges) {
        let challenges = Challenges::new(Arc::new(|_| ()));
        challenges.prove_by_http("abc".to_owned(), "abc.thumb".to_owned());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let responder = Responder::start(listener, challenges.tokens());
        (address, responder, challenges)
    }

    #[tokio::test]
    async fn a_challenge_is_answered_and_nothing_else() {
        let (address, _responder, challenges) = responder().await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let found = told(address, &get("/.well-known/acme-challenge/abc")).await;
        assert!(
            found.starts_with("HTTP/1.1 200 ") && found.ends_with("\r\n\r\nabc.thumb"),
            "{found}"
        );
        for unknown in ["abd", "", "abc/", "../acme-challenge/abc", "%61bc"] {
            let path = format!("/.well-known/acme-challenge/{unknown}");
            let answer = told(address, &get(&path)).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{unknown}: {answer}");
        }
        for other in [
            get("/"),
            get("/.well-known/"),
            get("/.well-known/acme-challenge/abc").replace("GET", "POST"),
        ] {
            assert_eq!(told(address, &other).await, "", "{other}");
        }
        drop(challenges);
        let gone = told(address, &get("/.well-known/acme-challenge/abc")).await;
        assert!(gone.starts_with("HTTP/1.1 404 "), "{gone}");
    }

    #[tokio::test]
    async fn a_request_without_end_is_cut_off() {
        let (address, _responder, _challenges) = responder().await;
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
        let answer = told(address, &long).await;
        assert!(!answer.contains("200"), "{answer}");
    }

    #[tokio::test]
    async fn clients_that_say_nothing_do_not_keep_an_authority_out() {
        let (address, _responder, _challenges) = responder().await;
        let mut silent = Vec::new();
        for _ in 0..3 * MOST_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let request = "GET /.well-known/acme-challenge/abc HTTP/1.0\r\n\r\n";
        let found = told(address, request).await;
        assert!(found.ends_with("abc.thumb"), "{found}");
    }
}
