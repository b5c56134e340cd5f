//! Network namespaces: the tests build their networks in namespaces of their own.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::command::{path_with_sbin, run, succeeds};
use crate::failure::{Failure, Lack};
use crate::tools::is_root;

/// Makes one and changes something in it, as tests will: some systems let a user make one and then
/// forbid every change.
pub(crate) fn try_one() -> Result<(), Failure> {
    let mut up = inside(&["--net", "--mount"]);
    up.args(["ip", "link", "set", "lo", "up"]);
    if succeeds(&mut up) {
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

/// A command that runs what is added to it in namespaces of its own, as their root.
pub(crate) fn inside(which: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(which).env("PATH", path_with_sbin());
    unshare
}

/// Moves this process into a network namespace of its own, in which there is only loopback. A program that it starts from then on
/// is in there, too.
pub(crate) fn enter_own() -> Result<(), Failure> {
    try_one()?;
    let enter = || {
        let [user, group] = [geteuid().as_raw(), getegid().as_raw()];
        if is_root() {
            return unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        }
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        // Root in there is this user outside. user_namespaces(7)
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))
    };
    enter().map_err(|_| Lack::Namespaces)?;
    let mut up = Command::new("ip");
    run(up
        .args(["link", "set", "lo", "up"])
        .env("PATH", path_with_sbin()))
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
