//! The running server, as the kernel shows it. proc_pid_limits(5), proc_pid_status(5).

use std::fs;
use std::path::PathBuf;

/// A process of this program that serves.
pub(super) struct Process(u32);

impl Process {
    /// The first one there is.
    pub(super) fn serving() -> Option<Self> {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.map(Self).find(Self::serves)
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
