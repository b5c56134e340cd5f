//! Where two browsers meet: a page on the Internet, and a board that both can write on.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Html,
    routing::get,
};
use serde_json::Value;
use tokio::runtime;

use crate::net::{WEB, server_v4};

/// What is pinned to the board, by name.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<HashMap<String, Value>>>);

/// Serves `tests/pages/meeting.html` and the board.
pub(crate) struct Meeting {
    url: String,
    board: Board,
}

impl Meeting {
    /// For peers that will use `ice_servers`.
    pub(crate) fn open(ice_servers: Value) -> Self {
        let board = Board::default();
        board.pin("ice-servers".to_owned(), ice_servers);
        let router = Router::new()
            .route(
                "/",
                get(|| async { Html(include_str!("../pages/meeting.html")) }),
            )
            .route("/board/{name}", get(read).post(pin))
            .with_state(board.clone());
        let listener = TcpListener::bind((server_v4(WEB), 80)).expect("a namespace of our own");
        thread::spawn(move || serve(listener, router));
        Self {
            url: format!("http://{}/", server_v4(WEB)),
            board,
        }
    }

    /// What a browser shows who is to be `role`.
    pub(crate) fn url(&self, role: &str) -> String {
        format!("{}#{role}", self.url)
    }

    /// How it went for `role`, once that is known.
    pub(crate) fn result(&self, role: &str) -> Option<Value> {
        self.board.read(&format!("{role}-result"))
    }
}

impl Board {
    fn pin(&self, name: String, value: Value) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.insert(name, value);
    }

    fn read(&self, name: &str) -> Option<Value> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.get(name).cloned()
    }
}

async fn pin(State(board): State<Board>, Path(name): Path<String>, Json(value): Json<Value>) {
    board.pin(name, value);
}

async fn read(State(board): State<Board>, Path(name): Path<String>) -> Json<Option<Value>> {
    Json(board.read(&name))
}

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
