//! How busy the machine was while a step ran: whether a test failed for want of a processor should not be a guess.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

/// Looks at the machine as long as it lives.
pub(crate) struct Watch {
    windows: Arc<Windows>,
}

/// What was seen in each stretch of [`WINDOW`], and when that began.
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
    let before = Reading::take()?;
    let (mut late, mut running, mut looks) = (Duration::ZERO, 0.0, 0.0);
    while before.at.elapsed() < WINDOW {
        let asleep = Instant::now();
        thread::sleep(PAUSE);
        late = late.max(asleep.elapsed().saturating_sub(PAUSE));
        running += running_threads(&fs::read_to_string("/proc/stat").ok()?)?;
        looks += 1.0;
    }
    let after = Reading::take()?;
    let time = after.at - before.at;
    let share = |after: Duration, before| 100.0 * (after - before).div_duration_f64(time);
    Some(Load {
        late,
        running: running / looks,
        stolen: after.ticks.stolen_since(&before.ticks),
        disk: share(after.disk, before.disk),
        memory: share(after.memory, before.memory),
    })
}

/// The kernel's counters, which begin with the machine.
struct Reading {
    at: Instant,
    ticks: Ticks,
    disk: Duration,
    memory: Duration,
}

impl Reading {
    fn take() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        Some(Self {
            at: Instant::now(),
            ticks: Ticks::read(&read("/proc/stat")?)?,
            disk: waited(&read("/proc/pressure/io")?)?,
            memory: waited(&read("/proc/pressure/memory")?)?,
        })
    }
}

/// The processors' time. man 5 proc, /proc/stat
struct Ticks {
    all: f64,
    stolen: f64,
}

impl Ticks {
    fn read(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.split_whitespace();
        let fields: Vec<f64> = fields.filter_map(|it| it.parse().ok()).collect();
        Some(Self {
            // Those after it, of guests, are in the first two already.
            all: fields.get(..=STOLEN)?.iter().sum(),
            stolen: fields[STOLEN],
        })
    }

    /// In per cent.
    fn stolen_since(&self, earlier: &Self) -> f64 {
        100.0 * (self.stolen - earlier.stolen) / (self.all - earlier.all).max(1.0)
    }
}

/// How many threads run or wait for a processor, this one not among them.
fn running_threads(stat: &str) -> Option<f64> {
    let mut counts = stat
        .lines()
        .filter_map(|it| it.strip_prefix("procs_running "));
    Some(counts.next()?.parse::<f64>().ok()? - 1.0)
}

/// How long somebody waited. The kernel's documentation, accounting/psi
fn waited(pressure: &str) -> Option<Duration> {
    let some = pressure.lines().find(|it| it.starts_with("some "))?;
    let (_, total) = some.rsplit_once("total=")?;
    Some(Duration::from_micros(total.parse().ok()?))
}

/// Long enough for a mean, and shorter than a test's patience.
const WINDOW: Duration = Duration::from_secs(5);
/// How long the thread sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The field of stolen time among the processors' times.
const STOLEN: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_part_of_all_time_without_that_of_guests() {
        let read = |stat| Ticks::read(stat).unwrap();
        let earlier = read("cpu  10 0 10 80 0 0 0 0 5 5\ncpu0 1 2 3\n");
        let later = read("cpu  40 0 20 110 0 0 0 30 9 9\ncpu0 1 2 3\n");
        assert_eq!(later.stolen_since(&earlier), 30.0);
        assert_eq!(later.stolen_since(&later), 0.0);
        assert!(Ticks::read("cpu  10 0 10 80\n").is_none());
    }

    #[test]
    fn running_threads_and_waits_for_the_disk_are_read_as_the_kernel_writes_them() {
        let stat =
            "ctxt 2883013661\nbtime 1796116000\nprocesses 91\nprocs_running 5\nprocs_blocked 0\n";
        assert_eq!(running_threads(stat), Some(4.0));
        assert_eq!(running_threads("ctxt 2883013661\n"), None);
        let pressure = "some avg10=0.10 avg60=0.11 avg300=0.85 total=508336237\n\
             full avg10=0.10 avg60=0.10 avg300=0.65 total=180744917\n";
        assert_eq!(waited(pressure), Some(Duration::from_micros(508_336_237)));
        assert_eq!(waited(""), None);
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
