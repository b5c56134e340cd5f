//! `[admin]`: a Unix socket by which the operator looks into the server and steers it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::admin::api::{Handles, router};
use ::admin::metrics;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

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

/// Takes the keys that changed, or why nothing did.
pub(super) type Answer = oneshot::Sender<Result<String, String>>;

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

/// Serves the socket until the server ends. A socket that cannot be had keeps no client waiting: the log
/// says why, and the server does without.
pub(super) async fn serve(
    control: Arc<Control>,
    config: Config,
    source: String,
    Wishing { drain, reload }: Wishing,
) {
    let Some(path) = place(&config.admin, |name| std::env::var_os(name)) else {
        return std::future::pending().await;
    };
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(why) => {
            let path = path.display();
            warn!(%path, %why, "admin: there is no socket (key `socket` in [admin])");
            return std::future::pending().await;
        }
    };
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
    let _removed = Removed(path);
    if let Err(error) = axum::serve(listener, routes).await {
        error!(%error, "admin: the socket is gone");
    }
    std::future::pending().await
}

/// Takes the socket away with the server.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds the socket for this user and group. One that a server left behind is replaced.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750).create(directory)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    ErrorKind::AddrInUse,
                    "another server has it",
                ));
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// The name of the socket in its directory.
pub(crate) const SOCKET: &str = "admin.sock";
