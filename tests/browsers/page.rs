//! The page: served to the browser, and heard back from.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::{self, Receiver},
    thread,
};

use axum::{
    Json, Router,
    response::Html,
    routing::{get, post},
};
use serde_json::Value;
use tokio::runtime;

/// Serves `tests/pages/call.html` on a loopback address.
pub(crate) struct Page {
    url: String,
    results: Receiver<Value>,
}

impl Page {
    /// Serves the page, which will use `ice_servers`.
    pub(crate) fn serve(ice_servers: Value) -> Self {
        let (result, results) = mpsc::channel();
        let router = Router::new()
            .route(
                "/",
                get(|| async { Html(include_str!("../pages/call.html")) }),
            )
            .route("/ice-servers", get(|| async { Json(ice_servers) }))
            .route(
                "/result",
                // Nobody listens any more when the test has already failed.
                post(|Json(value)| async move { drop(result.send(value)) }),
            );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        thread::spawn(move || serve(listener, router));
        Self {
            url: format!("http://{address}/"),
            results,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the page reported, once it did.
    pub(crate) fn result(&self) -> Option<Value> {
        self.results.try_recv().ok()
    }
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
