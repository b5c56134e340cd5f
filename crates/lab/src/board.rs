//! A board: a page for browsers, and values that the browsers and the test leave there for each
//! other.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime,
};

use crate::locked;

/// A page that is served, the scripts that it may import, and the board that all find at
/// `/board/NAME`.
pub struct Board {
    url: String,
    pinned: Pinned,
    paths: Paths,
}

const SCRIPT: &str = include_str!("../../../tests/pages/board.js");

const ROOM: &str = include_str!("../../../examples/room.js");

/// The values on the board, by name.
#[derive(Clone, Default)]
struct Pinned(Arc<Mutex<HashMap<String, Value>>>);

/// How often each path was asked for, and which one does not come.
#[derive(Clone, Default)]
struct Paths(Arc<Mutex<Fates>>);

#[derive(Default)]
struct Fates {
    /// How often each was asked for.
    asked: BTreeMap<String, usize>,
    /// The one that does not come.
    left_out: Option<&'static str>,
}

impl Board {
    /// Serves `page` at `address`. Port 0 is any that is free.
    pub fn serve(address: impl Into<SocketAddr>, page: &'static str) -> Self {
        Self::serve_with(address, page, Router::new())
    }

    /// The same, and everything else comes from a web server, whose pages may then be framed by this
    /// one.
    pub fn in_front_of(
        server: SocketAddr,
        address: impl Into<SocketAddr>,
        page: &'static str,
    ) -> Self {
        let router = Router::new().fallback(move |uri: Uri| pass(server, uri));
        Self::serve_with(address, page, router)
    }

    fn serve_with(
        address: impl Into<SocketAddr>,
        page: &'static str,
        router: Router<Pinned>,
    ) -> Self {
        let (pinned, paths) = (Pinned::default(), Paths::default());
        let router = router
            .route("/", get(move || async move { Html(page) }))
            .route("/board.js", get(|| async { script(SCRIPT) }))
            .route("/room.js", get(|| async { script(ROOM) }))
            .route("/board/{name}", get(read).post(pin))
            .layer(from_fn_with_state(paths.clone(), look))
            .with_state(pinned.clone());
        let listener = TcpListener::bind(address.into()).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        thread::spawn(move || serve(listener, router));
        Self {
            url: format!("http://{address}/"),
            pinned,
            paths,
        }
    }

    /// The address of the page.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on this path does not come.
    pub fn leave_out(&self, path: &'static str) {
        self.paths.fates().left_out = Some(path);
    }

    /// Leaves a value under a name, in place of the one before.
    pub fn pin(&self, name: &str, value: Value) {
        self.pinned.pin(name.to_owned(), value);
    }

    /// The value under a name, if there is one.
    pub fn read(&self, name: &str) -> Option<Value> {
        self.pinned.read(name)
    }
}

impl Pinned {
    fn pin(&self, name: String, value: Value) {
        locked(&self.0).insert(name, value);
    }

    fn read(&self, name: &str) -> Option<Value> {
        locked(&self.0).get(name).cloned()
    }
}

impl Paths {
    fn fates(&self) -> MutexGuard<'_, Fates> {
        locked(&self.0)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if thread::panicking() {
            let asked = &self.paths.fates().asked;
            eprintln!("--- {} was asked for: {asked:#?}", self.url);
        }
    }
}

/// Counts what is asked for, and leaves out what is not to come.
async fn look(State(paths): State<Paths>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_left_out = {
        let mut fates = paths.fates();
        let is_left_out = fates.left_out.is_some_and(|left_out| path == left_out);
        *fates.asked.entry(path).or_default() += 1;
        is_left_out
    };
    if is_left_out {
        return StatusCode::NOT_FOUND.into_response();
    }
    next.run(request).await
}

async fn pin(State(pinned): State<Pinned>, Path(name): Path<String>, Json(value): Json<Value>) {
    pinned.pin(name, value);
}

async fn read(State(pinned): State<Pinned>, Path(name): Path<String>) -> Json<Option<Value>> {
    Json(pinned.read(&name))
}

fn script(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript")], text)
}

/// Has the server answer a GET, and lets the page be framed. Everything else in its policy stays.
async fn pass(server: SocketAddr, uri: Uri) -> Response {
    let mut stream = tokio::net::TcpStream::connect(server)
        .await
        .expect("a web server");
    let request = format!("GET {uri} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a web server that reads");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    read.expect("a web server that answers");
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head = head.expect("a head");
    let text = String::from_utf8_lossy(&answer[..head]).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut passed = Response::builder().status(status.expect("a status"));
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        passed = passed.header(name, value.replace("frame-ancestors 'none'", FRAMED));
    }
    let body = Body::from(answer.split_off(head + 4));
    passed.body(body).expect("headers that a server sent")
}

const FRAMED: &str = "frame-ancestors 'self'";

fn serve(listener: TcpListener, router: Router) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        listener.set_nonblocking(true).expect("a socket of our own");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
        axum::serve(listener, router)
            .await
            .expect("the page is served");
    });
}
