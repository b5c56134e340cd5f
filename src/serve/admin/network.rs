//! `[admin] listen`: the same as at the socket, for those who show the token.

use std::sync::Arc;

use ::admin::api::Endless;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use httpd::{Fault, Options, Running};
use tracing::info;

use crate::config::Config;
use crate::serve::access::let_in;
use crate::serve::control::Control;
use crate::serve::http::oldest_tls;

/// Starts what the operator reaches over the network, if there is anything: on a thread of its own.
pub(in crate::serve) fn begin(
    control: &Control,
    config: &Config,
    routes: Router,
) -> Result<Option<Running>, Fault> {
    if config.admin.listen.is_empty() {
        return Ok(None);
    }
    let routes = routes
        .layer(from_fn_with_state(Arc::clone(&control.access), let_in))
        .layer(from_fn(keep))
        // The page asks for the token itself, and shows it.
        .merge(httpd::dashboard());
    let certificates = Arc::new(control.shown.certificates());
    let listen = config.admin.listen.clone();
    let mut options = Options::new("admin", listen, certificates, oldest_tls(config));
    // A page of it has a few connections, and a command that lists sessions comes ten times in a second.
    options.per_prefix = PER_PREFIX;
    let running = httpd::start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP and HTTPS", %listen, path = "/v1", "server.listening");
    }
    Ok(Some(running))
}

/// Has the connection of an answer without an end live as long as that.
async fn keep(request: Request, next: Next) -> axum::response::Response {
    let mut answer = next.run(request).await;
    if answer.extensions().get::<Endless>().is_some() {
        answer.extensions_mut().insert(httpd::Endless);
    }
    answer
}

/// Connections of one network, and its requests in a second.
const PER_PREFIX: usize = 128;
