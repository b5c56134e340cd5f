//! The Unix socket of `[admin]`: where it is, and that it is this server's.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::UnixListener;
use tokio::time::sleep;
use tracing::warn;

use crate::config::AdminSocket;

/// The places of the socket, the first of which is used: that of the configuration, else the runtime
/// directory of systemd, else that of the user's session.
pub(crate) fn place(
    socket: &AdminSocket,
    variable: impl Fn(&str) -> Option<OsString>,
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

/// The socket, which is tried for until it can be had: the server that has it may be about to end.
pub(super) async fn listener(path: &Path) -> UnixListener {
    let mut said = String::new();
    loop {
        match bind(path) {
            Ok(listener) => return listener,
            Err(why) => {
                let why = why.to_string();
                if why != said {
                    let path = path.display();
                    warn!(%path, why, "admin.no-socket: there is no socket yet (key `socket` in [admin])");
                    said = why;
                }
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// Takes the socket away with the server, unless another server's is there by now.
pub(super) struct Removed {
    path: PathBuf,
    /// Device and inode.
    own: Option<(u64, u64)>,
}

impl Removed {
    pub(super) fn with(path: PathBuf) -> Self {
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
    // The mask of the process does not count.
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
