//! The running server, as the kernel shows it. proc_pid_limits(5), proc_pid_status(5).

use std::fs;
use std::path::PathBuf;

/// A process of this program that serves.
pub(super) struct Process(u32);

impl Process {
    /// The first such process.
    pub(super) fn serving() -> Option<Self> {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.map(Self)
            .find(|process| process.serves() && process.shares_network())
    }

    pub(super) const fn pid(&self) -> u32 {
        self.0
    }

    /// The limit of open files.
    pub(super) fn open_files(&self) -> Option<u64> {
        open_files(&self.read("limits")?)
    }

    /// Whether it can gain no privilege, or its system calls are filtered.
    pub(super) fn is_sandboxed(&self) -> Option<bool> {
        is_sandboxed(&self.read("status")?)
    }

    /// Whether it gets socket buffers beyond the limit for all.
    pub(super) fn may_force_buffers(&self) -> Option<bool> {
        may_administrate_network(&self.read("status")?)
    }

    /// Whether it is on this host's network, and not in a container of its own. If that cannot be
    /// read, it counts as yes.
    fn shares_network(&self) -> bool {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        match (of("self"), of(&self.0.to_string())) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        }
    }

    fn serves(&self) -> bool {
        self.read("cmdline").is_some_and(|command| serves(&command))
    }

    fn read(&self, file: &str) -> Option<String> {
        let path: PathBuf = ["/proc", &self.0.to_string(), file].iter().collect();
        fs::read_to_string(path).ok()
    }
}

/// The soft limit of open files; "unlimited" is no number, and no limit.
fn open_files(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn is_sandboxed(status: &str) -> Option<bool> {
    let value = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse::<u32>().ok()
    };
    Some(value("NoNewPrivs")? > 0 || value("Seccomp")? > 0)
}

/// capabilities(7): CAP_NET_ADMIN in the effective set.
fn may_administrate_network(status: &str) -> Option<bool> {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(effective & CAP_NET_ADMIN != 0)
}

/// Whether a command line, its words ended by zeros, is that of a server.
fn serves(command: &str) -> bool {
    let mut words = command.split('\0');
    let program = words.next().unwrap_or_default();
    program.rsplit('/').next() == Some(env!("CARGO_PKG_NAME")) && words.next() == Some("serve")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
";

    const STATUS: &str = "\
Name:\thairpin
Uid:\t998\t998\t998\t998
CapEff:\t0000000000001400
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t5
";

    #[test]
    fn the_soft_limit_of_files_is_read() {
        assert_eq!(open_files(LIMITS), Some(1_024));
        let unlimited = LIMITS.replace("1024  ", "unlimited");
        assert_eq!(open_files(&unlimited), None);
        assert_eq!(open_files("Max open files"), None);
        assert_eq!(open_files(""), None);
    }

    #[test]
    fn one_wall_of_the_sandbox_is_enough_and_none_is_not() {
        let without = |name: &str, value: &str| {
            let line = format!("{name}:\t{value}");
            STATUS.replace(&line, &format!("{name}:\t0"))
        };
        assert_eq!(is_sandboxed(STATUS), Some(true));
        assert_eq!(is_sandboxed(&without("NoNewPrivs", "1")), Some(true));
        let neither = without("NoNewPrivs", "1").replace("Seccomp:\t2", "Seccomp:\t0");
        assert_eq!(is_sandboxed(&neither), Some(false));
        assert_eq!(is_sandboxed("Name:\thairpin\n"), None);
    }

    #[test]
    fn who_may_administrate_the_network_is_known_by_its_capabilities() {
        assert_eq!(may_administrate_network(STATUS), Some(true));
        let bound_to_low_ports = STATUS.replace("1400", "0400");
        assert_eq!(may_administrate_network(&bound_to_low_ports), Some(false));
        assert_eq!(may_administrate_network("CapEff:\tno number"), None);
        assert_eq!(may_administrate_network(""), None);
    }

    #[test]
    fn only_the_server_serves() {
        assert!(serves(
            "/usr/bin/hairpin\0serve\0--config\0turnserver.toml\0"
        ));
        assert!(serves("hairpin\0serve\0"));
        assert!(!serves("hairpin\0doctor\0turn:example.org\0serve\0"));
        assert!(!serves("/usr/bin/nothairpin\0serve\0"));
        assert!(!serves(""));
    }
}
