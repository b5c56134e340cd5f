//! The running server, as the kernel shows it. proc_pid_limits(5), proc_pid_status(5).

use std::fs;

use procfs::process::{self, LimitValue, Status};

/// A process of this program that serves.
pub(super) struct Process(process::Process);

impl Process {
    /// The first such process on this host's network, and not in a container of its own.
    pub(super) fn serving() -> Option<Self> {
        let mut processes = process::all_processes().ok()?.flatten();
        processes
            .find(|process| {
                let command = process.cmdline().unwrap_or_default();
                serves(&command) && shares_network(process.pid())
            })
            .map(Self)
    }

    pub(super) fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// The soft limit of open files.
    pub(super) fn open_files(&self) -> Option<u64> {
        match self.0.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        }
    }

    /// Whether it can gain no privilege, or its system calls are filtered.
    pub(super) fn is_sandboxed(&self) -> Option<bool> {
        let Status {
            nonewprivs,
            seccomp,
            ..
        } = self.0.status().ok()?;
        Some(nonewprivs? > 0 || seccomp? > 0)
    }

    /// Whether it gets socket buffers beyond the limit for all: CAP_NET_ADMIN. capabilities(7).
    pub(super) fn may_force_buffers(&self) -> Option<bool> {
        const CAP_NET_ADMIN: u64 = 1 << 12;
        Some(self.0.status().ok()?.capeff & CAP_NET_ADMIN != 0)
    }
}

/// If that cannot be read, it counts as yes.
fn shares_network(pid: i32) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    match (of("self"), of(&pid.to_string())) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, _) | (_, None) => true,
    }
}

/// Whether a command line is that of a server.
fn serves(command: &[String]) -> bool {
    let mut words = command.iter().map(String::as_str);
    let program = words.next().unwrap_or_default();
    program.rsplit('/').next() == Some(env!("CARGO_PKG_NAME")) && words.next() == Some("serve")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_serves() {
        let serves = |line: &str| {
            let words = line.split(' ').map(str::to_owned);
            serves(&words.collect::<Vec<_>>())
        };
        assert!(serves("/usr/bin/hairpin serve --config turnserver.toml"));
        assert!(serves("hairpin serve"));
        assert!(!serves("hairpin doctor turn:example.org serve"));
        assert!(!serves("/usr/bin/nothairpin serve"));
        assert!(!serves(""));
    }
}
