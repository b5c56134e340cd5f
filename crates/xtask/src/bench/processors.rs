//! The processors of the server and of the load.

use std::fmt;
use std::fs;
use std::process::Command;

/// One processor for the server and another one for the load, if there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Processors {
    /// Of the server, and of the load; `None` if this process may use one only.
    apart: Option<[usize; 2]>,
    /// How many this process may use.
    pub(super) count: usize,
}

impl Processors {
    /// The first that this process may use, and the first behind it that is not the same core.
    pub(super) fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = numbers(list.unwrap_or("0"));
        let siblings = |processor: &usize| {
            let path =
                format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
            fs::read_to_string(path).map_or_else(|_| vec![*processor], |list| numbers(&list))
        };
        Self::choose(&allowed, siblings)
    }

    fn choose(allowed: &[usize], siblings: impl Fn(&usize) -> Vec<usize>) -> Self {
        let apart = allowed.split_first().and_then(|(server, others)| {
            let its = siblings(server);
            let load = others.iter().find(|other| !its.contains(other));
            Some([*server, *load.or(others.first())?])
        });
        Self {
            apart,
            count: allowed.len(),
        }
    }

    /// A command that runs on the processor of the server.
    pub(super) fn for_server(self, program: &str) -> Command {
        pinned(self.apart.map(|[server, _]| server), program)
    }

    /// A command that runs on the processor of the load.
    pub(super) fn for_load(self, program: &str) -> Command {
        pinned(self.apart.map(|[_, load]| load), program)
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.apart {
            Some([server, load]) => write!(
                f,
                "the server alone on processor {server}, the load on processor {load}"
            ),
            None => f.write_str(
                "server and load share the only processor: rates and latencies say little, costs somewhat more",
            ),
        }
    }
}

fn pinned(processor: Option<usize>, program: &str) -> Command {
    let Some(processor) = processor else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string(), program]);
    command
}

/// The numbers of a list as the kernel writes it, as in `0-2,5`.
fn numbers(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_has_another_core_where_there_is_one() {
        assert_eq!(numbers("0-2,5\n"), [0, 1, 2, 5]);
        let pairs = |processor: &usize| vec![processor & !1, processor | 1];
        let chosen = |allowed: &[usize]| Processors::choose(allowed, pairs).apart;
        assert_eq!(chosen(&[0, 1, 2, 3]), Some([0, 2]));
        assert_eq!(chosen(&[2, 3]), Some([2, 3]));
        assert_eq!(chosen(&[4]), None);
    }
}
