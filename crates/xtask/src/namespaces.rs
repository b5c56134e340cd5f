//! Network namespaces: the tests build their networks in namespaces of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{path_with_sbin, succeeds};
use crate::failure::{Failure, Lack};
use crate::tools::is_root;

/// Makes one and changes something in it, as tests will: some systems let a user make one and then
/// forbid every change.
pub(crate) fn try_one() -> Result<(), Failure> {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["--net", "--mount", "ip", "link", "set", "lo", "up"])
        .env("PATH", path_with_sbin());
    if succeeds(&mut unshare) {
        return Ok(());
    }
    if is_root() {
        return Err(Lack::Capabilities.into());
    }
    let closed = SWITCHES
        .iter()
        .find(|switch| read(switch.key).is_some_and(|value| value == switch.closed));
    Err(closed
        .map_or(Lack::Namespaces, |switch| Lack::Switch {
            key: switch.key,
            open: switch.open,
        })
        .into())
}

/// A switch of the kernel that forbids namespaces to users.
struct Switch {
    key: &'static str,
    closed: &'static str,
    open: &'static str,
}

const SWITCHES: [Switch; 3] = [
    Switch {
        key: "kernel.unprivileged_userns_clone",
        closed: "0",
        open: "1",
    },
    Switch {
        key: "kernel.apparmor_restrict_unprivileged_userns",
        closed: "1",
        open: "0",
    },
    Switch {
        key: "user.max_user_namespaces",
        closed: "0",
        open: "10000",
    },
];

fn read(key: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(key.replace('.', "/"))).ok()?;
    Some(value.trim().to_owned())
}
