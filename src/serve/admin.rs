//! `[admin]`: how the operator looks into the server and steers it: by a Unix socket, and where it is wanted over
//! HTTPS, too.

mod counted;
mod network;
mod socket;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ::admin::api::{
    self, DrainWish, Endless, Handles, ReloadWish, configuration, log_level, policy,
};
use ::admin::live::Live;
use ::admin::{guarded, metrics};
use axum::Router;
use axum::extract::Request;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::bans;
use super::control::Control;
use super::metrics::sample;
use crate::config::{AdminSocket, Config};
use crate::log::Thinned;
use counted::{Counted, Written};
pub(super) use network::begin;
use socket::{Removed, listener};
pub(crate) use socket::{SOCKET, place};

/// The wishes of the operator, which tasks of the control side grant.
pub(super) struct Wishes {
    /// To drain, or to go on.
    pub(super) drain: mpsc::Receiver<DrainWish>,
    /// When a server that drains ends what is left.
    pub(super) deadline: watch::Sender<Option<SystemTime>>,
    /// To read the configuration again.
    pub(super) reload: mpsc::Receiver<ReloadWish>,
}

/// The senders of those wishes, and what is heard of them.
pub(super) struct Wishing {
    wishes: api::Wishes,
    deadline: watch::Receiver<Option<SystemTime>>,
}

/// A way for wishes.
pub(super) fn wishes() -> (Wishing, Wishes) {
    // A wish waits until the one before was taken.
    let (drain, drains) = mpsc::channel(1);
    let (reload, reloads) = mpsc::channel(1);
    let (deadline, seen) = watch::channel(None);
    let wishing = Wishing {
        wishes: api::Wishes { drain, reload },
        deadline: seen,
    };
    let wishes = Wishes {
        drain: drains,
        deadline,
        reload: reloads,
    };
    (wishing, wishes)
}

/// Serves the socket until the server ends. Where it cannot be had the log says why, and the server does
/// without.
pub(super) async fn serve(config: Config, routes: Router) {
    let routes = guarded(routes.merge(httpd::dashboard()));
    let Some(path) = place(&config.admin.socket, |name| std::env::var_os(name)) else {
        if config.admin.socket == AdminSocket::Auto {
            info!(
                "admin.no-socket: there is no socket, for neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set; \
                 `hairpin status` and others need one (key `socket` in [admin])"
            );
        }
        return std::future::pending().await;
    };
    let listener = listener(&path).await;
    info!(path = %path.display(), "admin.listening");
    let _removed = Removed::with(path);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let lines = Arc::new(Thinned::new(3, Duration::from_secs(5)));
    loop {
        // Those beyond wait at the socket.
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = answer(stream, routes.clone(), Arc::clone(&lines));
                tokio::spawn(async move {
                    let _place = place;
                    answered.await;
                });
            }
            Err(error) => {
                warn!(%error, "admin.accept-failed: no connection can be accepted, the next try is in a second");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// All that the operator may ask for. A feature with a file of its own in `admin::api` is one line here.
pub(super) fn routes(
    control: &Arc<Control>,
    config: &Config,
    source: String,
    Wishing { wishes, deadline }: Wishing,
    live: Arc<Live>,
) -> Router {
    let [sampled, judging, configured] = [(); 3].map(|()| Arc::clone(control));
    let addresses = config.log.addresses;
    let lifted = move |ban: &relay::Ban| bans::say_ended(ban, "lifted", addresses);
    let handles = Handles {
        running: Arc::clone(&control.running),
        version: env!("CARGO_PKG_VERSION"),
        configuration: source,
        started: SystemTime::now(),
        deadline,
    };
    let routes = api::router(handles, wishes)
        .merge(metrics::router(Arc::new(move || sample(&sampled))))
        .merge(api::bans::router(Arc::clone(&control.running), lifted))
        .merge(api::live::router(live))
        .merge(api::trace::router(Arc::clone(&control.running)))
        .merge(api::usage::router(control.usage.source()))
        .merge(log_level::router(super::log_level::of(control)))
        .merge(policy::router(Arc::new(move || judging.policy.load_full())))
        .merge(configuration::router(Arc::new(move || {
            configured.configuration.load_full()
        })));
    api::bound_endless(routes)
}

/// Answers one request. The tasks of the control side have one thread, and their own to do.
async fn answer(stream: UnixStream, routes: Router, lines: Arc<Thinned>) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false);
    let routes = TowerToHyperService::new(routes);
    let is_endless = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, is_endless, lines) = (routes.call(request), &is_endless, &lines);
        async move {
            let answer = answer.await?;
            let endless = answer.extensions().get::<Endless>();
            is_endless.store(endless.is_some(), Ordering::Relaxed);
            if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
                say(lines, "body-too-large");
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let written = Written::default();
    let stream = Counted {
        stream,
        written: written.clone(),
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = match timeout(REQUEST, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) if is_endless.load(Ordering::Relaxed) => {
            match while_read(connection, &written).await {
                Some(ended) => ended,
                None => {
                    return debug!("admin.connection-failed: an answer without an end is not read");
                }
            }
        }
        Err(_) => return say(&lines, "slow"),
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_timeout() => say(&lines, "head-late"),
        Err(error) => debug!(%error, "admin.connection-failed: a connection ended early"),
    }
}

/// Says what a connection of the socket was ended or refused for, each reason once in a while.
fn say(lines: &Thinned, reason: &'static str) {
    if let Some(silent) = lines.may_log(reason, Instant::now()) {
        let silent = (silent > 0).then_some(silent);
        info!(reason, silent, "admin.refused");
    }
}

/// Waits for the end of a connection; `None` if nothing of its answer was taken for so long that its reader
/// must be gone. An answer without an end has something to say more often than that.
async fn while_read<T>(
    mut connection: Pin<&mut impl Future<Output = T>>,
    written: &Written,
) -> Option<T> {
    loop {
        let before = written.bytes();
        if let Ok(ended) = timeout(UNREAD, connection.as_mut()).await {
            return Some(ended);
        }
        if written.bytes() == before {
            return None;
        }
    }
}

/// How many connections are answered at a time. The answers without an end are fewer
/// ([`api::bound_endless`]), so that there is always room for others.
const CONNECTIONS: usize = 32;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a whole request and its answer may take, unless that has no end.
const REQUEST: Duration = Duration::from_secs(60);
/// How long nobody may read an answer that has no end.
const UNREAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_an_end_goes_on_while_it_is_read_and_no_longer() {
        let events = || async {
            let (sender, parts) = mpsc::channel(1);
            tokio::spawn(async move {
                while sender.send(Bytes::from_static(&[b'x'; 8192])).await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            });
            api::endless("text/plain", "\n", parts)
        };
        let routes = Router::new().route("/", get(events));
        let lines = Arc::new(Thinned::new(1, Duration::from_secs(5)));
        let ask = async || {
            let (mut client, server) = UnixStream::pair().unwrap();
            let head = b"GET / HTTP/1.1\r\nHost: hairpin\r\n\r\n";
            client.write_all(head).await.unwrap();
            (
                client,
                tokio::spawn(answer(server, routes.clone(), Arc::clone(&lines))),
            )
        };
        let (mut reads, mut read) = ask().await;
        let (_stands_still, unread) = ask().await;
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 1 << 16];
            while reads.read(&mut buffer).await.unwrap() > 0 {}
        });
        timeout(Duration::from_secs(600), unread)
            .await
            .unwrap()
            .unwrap();
        timeout(Duration::from_secs(600), &mut read)
            .await
            .unwrap_err();
        reading.abort();
    }
}
