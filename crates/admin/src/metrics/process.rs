//! The process as the system sees it, from /proc.

use std::time::Duration;

use procfs::process::{Process as Proc, Task};
use procfs::{page_size, ticks_per_second};

/// The share of the machine that the process takes. A value that the system does not tell is 0.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// How many there may be.
    pub most_descriptors: u64,
    /// Processor time of each thread, by name.
    pub threads: Vec<(String, Duration)>,
}

impl Process {
    /// This process now.
    pub fn now() -> Self {
        let Ok(own) = Proc::myself() else {
            return Self::default();
        };
        let limit = own.limits().map(|limits| limits.max_open_files.soft_limit);
        let tasks = own.tasks().into_iter().flatten().flatten();
        Self {
            resident: own.stat().map_or(0, |stat| stat.rss * page_size()),
            descriptors: own.fd_count().unwrap_or_default() as u64,
            most_descriptors: match limit {
                Ok(procfs::process::LimitValue::Value(most)) => most,
                Ok(procfs::process::LimitValue::Unlimited) | Err(_) => 0,
            },
            threads: tasks.filter_map(|task| used(&task)).collect(),
        }
    }
}

/// The name of a thread and the time that it took; `None` for one that has just ended.
fn used(task: &Task) -> Option<(String, Duration)> {
    let stat = task.stat().ok()?;
    let ticks = stat.utime + stat.stime;
    let time = Duration::from_millis(ticks * 1000 / ticks_per_second());
    Some((stat.comm, time))
}
