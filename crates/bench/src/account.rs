//! The kernel's accounts: processor time and memory of a process, and of the whole machine.

use std::time::{Duration, Instant};

use procfs::process::Process;
use procfs::{CurrentSI, KernelStats, ProcError};

use crate::Fault;

/// The spending up to a moment.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    at: Instant,
    server: Option<Spent>,
    own: Spent,
    machine: Option<Machine>,
}

/// The spending between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spending {
    pub(crate) elapsed: Duration,
    /// The server's processor time, and the share of it that was not the kernel's.
    pub(crate) server: Option<(Duration, f64)>,
    /// Of the server's processor time, that of the thread that used most.
    pub(crate) busiest: Duration,
    /// How many processors the server may use.
    pub(crate) allowed: usize,
    pub(crate) own: Duration,
    /// Processor time of others, as a share of one processor.
    pub(crate) others: Option<f64>,
    /// Time that the host of this machine gave to other machines, likewise.
    pub(crate) stolen: Option<f64>,
}

#[derive(Clone, Debug, Default)]
struct Spent {
    /// By thread, to the nanosecond.
    threads: Vec<(i32, Duration)>,
    /// In ticks of the kernel, which are coarse: only their ratio is used.
    user: u64,
    system: u64,
    /// How many processors it may use.
    allowed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Machine {
    busy: Duration,
    stolen: Duration,
}

impl Account {
    /// Reads the accounts now.
    pub(crate) fn read(server: Option<i32>) -> Result<Self, Fault> {
        let server = server.map(|pid| spent(pid).map_err(|source| Fault::Process { pid, source }));
        let own = std::process::id().cast_signed();
        Ok(Self {
            at: Instant::now(),
            server: server.transpose()?,
            own: spent(own).unwrap_or_default(),
            machine: machine(),
        })
    }

    /// The spending since then.
    pub(crate) fn since(&self, earlier: &Self) -> Spending {
        let elapsed = self.at - earlier.at;
        let both = self.server.as_ref().zip(earlier.server.as_ref());
        let server = both.map(|(now, then)| {
            let [user, system] = [now.user - then.user, now.system - then.system];
            let share = user as f64 / ((user + system).max(1)) as f64;
            (now.since(then).sum(), share)
        });
        let busiest = both.and_then(|(now, then)| now.since(then).max());
        let own = self.own.since(&earlier.own).sum();
        let machine = self.machine.zip(earlier.machine);
        let share = |time: Duration| time.as_secs_f64() / elapsed.as_secs_f64();
        let ours = own + server.map(|(time, _)| time).unwrap_or_default();
        Spending {
            elapsed,
            server,
            busiest: busiest.unwrap_or_default(),
            allowed: self.server.as_ref().map_or(0, |server| server.allowed),
            own,
            others: machine.map(|(now, then)| share((now.busy - then.busy).saturating_sub(ours))),
            stolen: machine.map(|(now, then)| share(now.stolen.saturating_sub(then.stolen))),
        }
    }
}

/// The memory of a process that is its own and in use, in bytes.
pub(crate) fn resident(pid: i32) -> Result<u64, Fault> {
    let size = || Ok(Process::new(pid)?.statm()?.resident * procfs::page_size());
    size().map_err(|source| Fault::Process { pid, source })
}

fn spent(pid: i32) -> Result<Spent, ProcError> {
    let process = Process::new(pid)?;
    let stat = process.stat()?;
    let threads = process.tasks()?.flatten().filter_map(|thread| {
        // One that ends meanwhile is missing, and servers rarely end any.
        let schedule = thread.schedstat().ok()?;
        Some((thread.tid, Duration::from_nanos(schedule.sum_exec_runtime)))
    });
    let allowed = process.status()?.cpus_allowed_list.unwrap_or_default();
    let allowed = allowed
        .iter()
        .map(|(first, last)| (last - first + 1) as usize);
    Ok(Spent {
        threads: threads.collect(),
        allowed: allowed.sum(),
        user: stat.utime,
        system: stat.stime,
    })
}

impl Spent {
    /// The processor time of each thread since then.
    fn since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = Duration> {
        self.threads.iter().map(|(thread, now)| {
            let before = earlier.threads.iter().find(|(it, _)| it == thread);
            now.saturating_sub(before.map_or(Duration::ZERO, |(_, then)| *then))
        })
    }
}

fn machine() -> Option<Machine> {
    let all = KernelStats::current().ok()?.total;
    let ticks =
        |count: u64| Duration::from_secs_f64(count as f64 / procfs::ticks_per_second() as f64);
    let interrupts = all.irq.unwrap_or(0) + all.softirq.unwrap_or(0);
    Some(Machine {
        busy: ticks(all.user + all.nice + all.system + interrupts),
        stolen: ticks(all.steal.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two threads.
    fn spent(millis: [u64; 2], user: u64, system: u64) -> Spent {
        let threads = millis.map(Duration::from_millis);
        Spent {
            threads: (1..).zip(threads).collect(),
            allowed: 2,
            user,
            system,
        }
    }

    #[test]
    fn what_neither_server_nor_generator_used_was_used_by_others() {
        let at = Instant::now();
        let machine = |busy, stolen| {
            Some(Machine {
                busy: Duration::from_millis(busy),
                stolen: Duration::from_millis(stolen),
            })
        };
        let before = Account {
            at,
            server: Some(spent([800, 200], 50, 50)),
            own: spent([250, 250], 25, 25),
            machine: machine(10_000, 100),
        };
        let after = Account {
            at: at + Duration::from_secs(2),
            server: Some(spent([2_000, 600], 90, 170)),
            own: spent([750, 750], 75, 75),
            machine: machine(13_000, 150),
        };
        let spending = after.since(&before);
        let (server, user_share) = spending.server.expect("it was named");
        assert_eq!(server, Duration::from_millis(1_600));
        assert_eq!(spending.busiest, Duration::from_millis(1_200));
        assert_eq!(user_share, 0.25, "40 of 160 ticks");
        assert_eq!(spending.own, Duration::from_secs(1));
        // 3.0 less 1.6 and 1.0 in two seconds; the counts of the machine are the coarser ones.
        assert_eq!(spending.others, Some(0.2));
        assert_eq!(spending.stolen, Some(0.025));
        let unnamed = Account {
            server: None,
            ..after
        };
        let spending = unnamed.since(&before);
        assert!(spending.server.is_none());
        assert_eq!(spending.others, Some(1.0), "the server is one of them");
    }

    #[test]
    fn the_accounts_of_this_process_are_read_and_those_of_none_are_refused() {
        let own = std::process::id().cast_signed();
        let before = Account::read(Some(own)).unwrap();
        let mut sum = 0_u64;
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let spending = Account::read(Some(own)).unwrap().since(&before);
        let (server, share) = spending.server.expect("it was named");
        assert!(server > Duration::ZERO, "{spending:?}");
        assert!((0.0..=1.0).contains(&share), "{spending:?}");
        assert!(spending.allowed >= 1, "{spending:?}");
        assert!(resident(own).unwrap() > 100_000);
        // Above the highest that Linux gives.
        let nobody = Account::read(Some(i32::MAX)).expect_err("no process");
        assert!(matches!(nobody, Fault::Process { pid: i32::MAX, .. }));
    }
}
