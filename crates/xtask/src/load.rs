//! How busy the machine was while a step ran: whether a test failed for want of a processor should not be a guess.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI, IoPressure, KernelStats, MemoryPressure, ProcResult};

/// Looks at the machine as long as it lives.
pub(crate) struct Watch {
    windows: Arc<Windows>,
}

/// The machine in each stretch of [`WINDOW`], with the time at which that began.
type Windows = Mutex<Vec<(Instant, Load)>>;

/// The machine in one stretch of time, or the worst of each in several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// How late a thread woke that has the priority of this program.
    late: Duration,
    /// How many threads ran or waited for a processor, at any priority: a mean.
    running: f64,
    /// The part of the processors' time that the host of a virtual machine gave to others, in per cent.
    stolen: f64,
    /// For how much of the time somebody waited for the disk, in per cent.
    disk: f64,
    /// The same for memory.
    memory: f64,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let windows = Arc::new(Windows::default());
        let seen = Arc::downgrade(&windows);
        thread::spawn(move || look_on(&seen));
        Self { windows }
    }

    /// The worst since then, without the stretch that is not over yet: nothing at first, nor where the kernel does not say.
    pub(crate) fn worst_since(&self, then: Instant) -> Option<Load> {
        let windows = self.windows.lock();
        let windows = windows.unwrap_or_else(PoisonError::into_inner);
        let since = windows.iter().filter(|(begun, _)| *begun + WINDOW > then);
        since.map(|(_, load)| load.clone()).reduce(Load::worst)
    }
}

impl Load {
    fn worst(self, other: Self) -> Self {
        Self {
            late: self.late.max(other.late),
            running: self.running.max(other.running),
            stolen: self.stolen.max(other.stolen),
            disk: self.disk.max(other.disk),
            memory: self.memory.max(other.memory),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            late,
            running,
            stolen,
            disk,
            memory,
        } = self;
        let late = late.as_secs_f64();
        write!(f, "at worst {late:.2} s late")?;
        write!(f, ", {running:.0} threads at once, {stolen:.0} % stolen")?;
        write!(f, ", {disk:.0} % waiting for the disk")?;
        write!(f, ", {memory:.0} % for memory")
    }
}

fn look_on(windows: &Weak<Windows>) {
    while let (begun, Some(load)) = (Instant::now(), window()) {
        let Some(windows) = windows.upgrade() else {
            return;
        };
        let windows = windows.lock();
        let mut windows = windows.unwrap_or_else(PoisonError::into_inner);
        windows.push((begun, load));
    }
}

/// Looks on for one stretch.
fn window() -> Option<Load> {
    let before = Reading::take().ok()?;
    let (mut late, mut running, mut looks) = (Duration::ZERO, 0.0, 0.0);
    while before.at.elapsed() < WINDOW {
        let asleep = Instant::now();
        thread::sleep(PAUSE);
        late = late.max(asleep.elapsed().saturating_sub(PAUSE));
        let threads = KernelStats::current().ok()?.procs_running?;
        // This one is among them.
        running += f64::from(threads) - 1.0;
        looks += 1.0;
    }
    Some(Load {
        late,
        running: running / looks,
        ..Reading::take().ok()?.since(&before)
    })
}

/// The kernel's counters, which begin with the machine.
struct Reading {
    at: Instant,
    processors: u32,
    /// Of all processors together.
    stolen: Duration,
    disk: Duration,
    memory: Duration,
}

impl Reading {
    fn take() -> ProcResult<Self> {
        let stats = KernelStats::current()?;
        Ok(Self {
            at: Instant::now(),
            processors: stats.cpu_time.len() as u32,
            stolen: stats.total.steal_duration().unwrap_or_default(),
            disk: Duration::from_micros(IoPressure::current()?.some.total),
            memory: Duration::from_micros(MemoryPressure::current()?.some.total),
        })
    }

    /// What the counters tell of the time since an earlier reading.
    fn since(&self, earlier: &Self) -> Load {
        let time = self.at - earlier.at;
        let share = |of: fn(&Self) -> Duration, time| {
            100.0 * (of(self) - of(earlier)).div_duration_f64(time)
        };
        Load {
            stolen: share(|it| it.stolen, time * self.processors),
            disk: share(|it| it.disk, time),
            memory: share(|it| it.memory, time),
            ..Load::default()
        }
    }
}

/// Long enough for a mean, and shorter than a test's patience.
const WINDOW: Duration = Duration::from_secs(5);
/// How long the thread sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_part_of_that_of_all_processors_and_waits_are_of_the_time() {
        let earlier = Reading {
            at: Instant::now(),
            processors: 2,
            stolen: Duration::from_secs(90),
            disk: Duration::from_secs(7),
            memory: Duration::from_secs(1),
        };
        let later = Reading {
            at: earlier.at + WINDOW,
            stolen: Duration::from_secs(93),
            disk: Duration::from_secs(8),
            ..earlier
        };
        let expected = Load {
            stolen: 30.0,
            disk: 20.0,
            ..Load::default()
        };
        assert_eq!(later.since(&earlier), expected);
    }

    #[test]
    fn only_stretches_that_ended_since_count_and_the_worst_of_each() {
        let watch = Watch {
            windows: Arc::default(),
        };
        let then = Instant::now();
        assert_eq!(watch.worst_since(then), None);
        let [early, late] = [Duration::ZERO, Duration::from_secs(3)];
        let load = |late, disk| Load {
            late,
            disk,
            ..Load::default()
        };
        *watch.windows.lock().unwrap() = vec![
            (then - WINDOW, load(9 * WINDOW, 99.0)),
            (then, load(late, 1.0)),
            (then + WINDOW, load(early, 7.0)),
        ];
        assert_eq!(watch.worst_since(then), Some(load(late, 7.0)));
    }
}
