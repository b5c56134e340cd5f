//! `[admin]`: a Unix socket by which the operator looks into the server and steers it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::admin::api::{Handles, Reloaded, router};
use ::admin::metrics;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::control::Control;
use super::metrics::sample;
use crate::config::{AdminSocket, Config};

/// The wishes of the operator, which tasks of the control side grant.
pub(super) struct Wishes {
    /// To drain, or to go on.
    pub(super) drain: mpsc::Receiver<bool>,
    /// To read the configuration again.
    pub(super) reload: mpsc::Receiver<Answer>,
}

/// Takes what changed, or why nothing did.
pub(super) type Answer = oneshot::Sender<Result<Reloaded, String>>;

/// The senders of those wishes.
pub(super) struct Wishing {
    drain: mpsc::Sender<bool>,
    reload: mpsc::Sender<Answer>,
}

/// A way for wishes.
pub(super) fn wishes() -> (Wishing, Wishes) {
    // Whoever wishes waits until the wish before was taken.
    let (drain, drains) = mpsc::channel(1);
    let (reload, reloads) = mpsc::channel(1);
    let wishes = Wishes {
        drain: drains,
        reload: reloads,
    };
    (Wishing { drain, reload }, wishes)
}

/// The places of the socket, the first of which is used: that of the configuration, else the runtime
/// directory of systemd, else that of the user's session.
pub(crate) fn place(
    socket: &AdminSocket,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Option<PathBuf> {
    let directory = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    match socket {
        AdminSocket::Off => None,
        AdminSocket::At(path) => Some(path.clone()),
        AdminSocket::Auto => directory("RUNTIME_DIRECTORY")
            .map(|directory| directory.join(SOCKET))
            .or_else(|| Some(directory("XDG_RUNTIME_DIR")?.join("hairpin").join(SOCKET))),
    }
}

/// Serves the socket until the server ends. Where it cannot be had the log says why, and the server does
/// without.
pub(super) async fn serve(
    control: Arc<Control>,
    config: Config,
    source: String,
    Wishing { drain, reload }: Wishing,
) {
    let Some(path) = place(&config.admin, |name| std::env::var_os(name)) else {
        if config.admin == AdminSocket::Auto {
            info!(
                "admin: there is no socket, for neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set; \
                 `hairpin status` and others need one (key `socket` in [admin])"
            );
        }
        return std::future::pending().await;
    };
    let listener = listener(&path).await;
    info!(path = %path.display(), "admin: listening");
    let sampled = Arc::clone(&control);
    let routes = router(Handles {
        running: Arc::clone(&control.running),
        version: env!("CARGO_PKG_VERSION"),
        configuration: source,
        started: SystemTime::now(),
        drain,
        reload,
    });
    let routes = routes.merge(metrics::router(Arc::new(move || sample(&sampled)), None));
    let _removed = Removed::with(path);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Those beyond wait at the socket.
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = answer(stream, routes.clone());
                tokio::spawn(async move {
                    let _place = place;
                    answered.await;
                });
            }
            Err(error) => {
                warn!(%error, "admin: no connection can be accepted, the next try is in a second");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Answers one request. The tasks of the control side have one thread, and their own to do.
async fn answer(stream: UnixStream, routes: Router) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false);
    let service = TowerToHyperService::new(routes);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    match timeout(REQUEST, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "admin: a connection ended early"),
        Err(_) => debug!("admin: a connection took too long"),
    }
}

/// The socket, which is tried for until it can be had: the server that has it may be about to end.
async fn listener(path: &Path) -> UnixListener {
    let mut said = String::new();
    loop {
        match bind(path) {
            Ok(listener) => return listener,
            Err(why) => {
                let why = why.to_string();
                if why != said {
                    let path = path.display();
                    warn!(%path, why, "admin: there is no socket yet (key `socket` in [admin])");
                    said = why;
                }
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// Takes the socket away with the server, unless another server's is there by now.
struct Removed {
    path: PathBuf,
    /// Device and inode.
    own: Option<(u64, u64)>,
}

impl Removed {
    fn with(path: PathBuf) -> Self {
        let own = identity(&path);
        Self { path, own }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if self.own.is_some() && identity(&self.path) == self.own {
            // It may go at this moment.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let there = fs::symlink_metadata(path).ok()?;
    Some((there.dev(), there.ino()))
}

/// Binds the socket for this user and group, in a directory that is made if need be. A socket that a server
/// left behind is replaced, and nothing else.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750).create(directory)?;
    }
    let listener = match private(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let there = fs::symlink_metadata(path)?.file_type();
            if !there.is_socket() {
                return Err(io::Error::other("there is a file that is no socket"));
            }
            if net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::other("another server has it"));
            }
            fs::remove_file(path)?;
            private(path)?
        }
        bound => bound?,
    };
    // Whatever the mask of the process is.
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Binds a socket that is at no moment for others.
fn private(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::from_raw_mode(0o117));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

/// How many connections are answered at a time.
const CONNECTIONS: usize = 32;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a whole request and its answer may take.
const REQUEST: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The name of the socket in its directory.
pub(crate) const SOCKET: &str = "admin.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_no_other_file_is() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made/admin.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists());
        let listener = bind(&path).unwrap();
        let again = bind(&path).unwrap_err();
        assert_eq!(again.to_string(), "another server has it");
        drop(listener);

        let file = place.path().join("precious");
        fs::write(&file, "a secret").unwrap();
        let flaw = bind(&file).unwrap_err();
        assert_eq!(flaw.to_string(), "there is a file that is no socket");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a secret");
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        bind(&link).unwrap_err();
        assert!(file.exists() && link.exists());
    }

    #[test]
    fn the_socket_is_where_the_configuration_then_systemd_then_the_session_says() {
        let both = |name: &str| match name {
            "RUNTIME_DIRECTORY" => Some("/run/hairpin".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/1".into()),
            _ => None,
        };
        let session = |name: &str| both(name).filter(|_| name == "XDG_RUNTIME_DIR");
        let named = AdminSocket::At("/a/b".into());
        assert_eq!(place(&named, both), Some("/a/b".into()));
        assert_eq!(
            place(&AdminSocket::Auto, both),
            Some("/run/hairpin/admin.sock".into())
        );
        let in_session = Some("/run/user/1/hairpin/admin.sock".into());
        assert_eq!(place(&AdminSocket::Auto, session), in_session);
        assert_eq!(place(&AdminSocket::Auto, |_| None), None);
        assert_eq!(place(&AdminSocket::Off, both), None);
    }
}
