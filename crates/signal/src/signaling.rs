//! The host around [`Rooms`]: the clock, the log, and who is to be woken.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use rand::Rng;
use relay::Now;
use tokio::sync::Notify;

use crate::notice::Notices;
use crate::{Access, ConnectionId, Counters, Full, Limits, Mint, Rooms, origin, socket};

/// Signaling at `/signal`. All clones are one.
#[derive(Clone)]
pub struct Signaling(Arc<Host>);

/// The options that may change while rooms are open.
#[derive(Clone, Debug)]
pub struct Options {
    /// The right to enter a room.
    pub access: Access,
    /// How much of everything there may be.
    pub limits: Limits,
    /// The pages that may connect, as origins such as `https://example.org`; `*` is all of them. Pages
    /// of the host and port that they connect to always may.
    pub origins: Vec<String>,
}

/// The state that all connections share.
pub(crate) struct Host {
    core: Mutex<Core>,
    notices: Notices,
    clock: Once,
    /// A deadline has come that is before the others.
    sooner: Notify,
    /// The last connection has ended.
    idle: Notify,
}

struct Core {
    rooms: Rooms,
    origins: Vec<String>,
    message: usize,
    longest_told: usize,
    connections: BTreeMap<ConnectionId, Arc<Wakes>>,
}

/// How a connection's task is woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// There are frames to send.
    pub(crate) frames: Notify,
    /// Nothing more is taken from the client.
    pub(crate) over: Notify,
}

impl Signaling {
    /// No rooms yet.
    pub fn new(options: Options, mint: Mint) -> Self {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let message = options.limits.message;
        let longest_told = options.limits.longest_told();
        Self(Arc::new(Host {
            core: Mutex::new(Core {
                rooms: Rooms::new(options.access, options.limits, mint, seed),
                origins: options.origins,
                message,
                longest_told,
                connections: BTreeMap::new(),
            }),
            notices: Notices::default(),
            clock: Once::new(),
            sooner: Notify::new(),
            idle: Notify::new(),
        }))
    }

    /// `/signal`. The address of the visitor is taken from the request's `ConnectInfo<SocketAddr>`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/signal", any(upgrade))
            .with_state(self.clone())
    }

    /// How often each thing happened, and how much there is now.
    pub fn counters(&self) -> Counters {
        self.0.core().rooms.counters()
    }

    /// Takes other options. Members stay, and connections keep the longest message that they had.
    pub fn follow(&self, options: Options) {
        let mut core = self.0.core();
        core.message = options.limits.message;
        core.longest_told = options.limits.longest_told();
        core.origins = options.origins;
        core.rooms.follow(options.access, options.limits);
    }

    /// Ends all connections and waits until they have ended, 3 seconds at most.
    pub async fn end(&self) {
        self.0.with(|rooms, now| rooms.end(now.mono));
        let ended = async {
            loop {
                let idle = self.0.idle.notified();
                if self.0.core().connections.is_empty() {
                    break;
                }
                idle.await;
            }
        };
        // Connections that have not ended by then end with the process.
        drop(tokio::time::timeout(Duration::from_secs(3), ended).await);
    }
}

impl fmt::Debug for Signaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signaling").finish_non_exhaustive()
    }
}

async fn upgrade(
    State(Signaling(host)): State<Signaling>,
    visitor: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let visitor = visitor.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |visitor| {
        visitor.0.0.ip()
    });
    if !origin::is_welcome(&headers, &host.core().origins) {
        host.core().rooms.count_origin_refused();
        let reason = "pages of this origin may not use this server (key `origins` in [http])\n";
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) if !headers.contains_key(header::UPGRADE) => {
            let own = [
                (header::UPGRADE, "websocket"),
                (header::CONNECTION, "upgrade"),
            ];
            let reason = "a WebSocket is here: docs/signaling.md\n";
            return (StatusCode::UPGRADE_REQUIRED, own, reason).into_response();
        }
        Err(rejection) => return rejection.into_response(),
    };
    let (longest, longest_told) = {
        let core = host.core();
        (core.message, core.longest_told)
    };
    host.start_clock();
    let Ok(connection) = Connection::open(&host, visitor) else {
        let retry = [(header::RETRY_AFTER, "10")];
        let reason = "there are too many connections: try later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry, reason).into_response();
    };
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(longest_told)
        .max_message_size(longest)
        .max_frame_size(longest)
        .on_upgrade(move |socket| socket::run(socket, connection))
}

impl Host {
    /// Calls the rooms, then does everything that follows.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Rooms, Now) -> T) -> T {
        let now = now();
        let mut core = self.core();
        let before = core.rooms.poll_timeout();
        let result = call(&mut core.rooms, now);
        while let Some(id) = core.rooms.poll_wake() {
            if let Some(wakes) = core.connections.get(&id) {
                wakes.frames.notify_one();
                if core.rooms.is_over(id) {
                    wakes.over.notify_one();
                }
            }
        }
        let mut reports = Vec::new();
        reports.extend(std::iter::from_fn(|| core.rooms.poll_report()));
        let after = core.rooms.poll_timeout();
        drop(core);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        for report in &reports {
            self.notices.write(now.mono, report);
        }
        result
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One task wakes the rooms when something is due. It ends with the last clone of [`Signaling`].
    fn start_clock(self: &Arc<Self>) {
        self.clock.call_once(|| {
            let host = Arc::downgrade(self);
            tokio::spawn(tick(host));
        });
    }
}

async fn tick(host: Weak<Host>) {
    while let Some(host) = host.upgrade() {
        let due = host.core().rooms.poll_timeout();
        let most = Instant::now() + Duration::from_secs(1);
        let until = due.map_or(most, |due| due.min(most));
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = host.sooner.notified() => {}
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            host.with(|rooms, now| rooms.handle_timeout(now.mono));
        }
    }
}

/// A connection among the rooms; dropping it ends it there, whatever ended the task.
pub(crate) struct Connection {
    pub(crate) host: Arc<Host>,
    pub(crate) id: ConnectionId,
    pub(crate) wakes: Arc<Wakes>,
}

impl Connection {
    fn open(host: &Arc<Host>, visitor: IpAddr) -> Result<Self, Full> {
        let id = host.with(|rooms, now| rooms.open(now.mono, visitor))?;
        let wakes = Arc::new(Wakes::default());
        host.core().connections.insert(id, Arc::clone(&wakes));
        Ok(Self {
            host: Arc::clone(host),
            id,
            wakes,
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let id = self.id;
        self.host
            .with(|rooms, now| rooms.handle_closed(now.mono, id));
        let mut core = self.host.core();
        core.connections.remove(&id);
        if core.connections.is_empty() {
            self.host.idle.notify_waiters();
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        mono: Instant::now(),
        unix: unix.unwrap_or_default(),
    }
}

/// The subprotocol, which a client may offer.
const PROTOCOL: &str = "hairpin.signal.1";

/// Bytes read at once. Each connection has such a buffer, and what follows a long text is read into the
/// rest of the buffer of that one. The default is 128 KiB.
const READ_BUFFER: usize = 256;
