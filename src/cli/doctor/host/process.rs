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
        let limits = self.read("limits")?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        // "unlimited" is no number, and no limit.
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Whether it can gain no privilege, or its system calls are filtered.
    pub(super) fn is_sandboxed(&self) -> Option<bool> {
        let status = self.read("status")?;
        let value = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().parse::<u32>().ok()
        };
        Some(value("NoNewPrivs")? > 0 || value("Seccomp")? > 0)
    }

    fn serves(&self) -> bool {
        let Some(command) = self.read("cmdline") else {
            return false;
        };
        let mut words = command.split('\0');
        let program = words.next().unwrap_or_default();
        program.rsplit('/').next() == Some(env!("CARGO_PKG_NAME"))
            && words.any(|word| word == "serve")
    }

    fn read(&self, file: &str) -> Option<String> {
        let path: PathBuf = ["/proc", &self.0.to_string(), file].iter().collect();
        fs::read_to_string(path).ok()
    }
}
