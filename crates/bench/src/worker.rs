//! A thread of the load: it sends what is due, and takes what comes.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use wire::Message;

use crate::Fault;
use crate::batch::{Batch, MOST};
use crate::carrier::Carrier;
use crate::end::{End, Field};
use crate::lane::{Way, data_of, is_data};
use crate::measured::Packets;
use crate::pace::Pace;
use crate::session::Session;
use crate::tally::{Tally, write_id};

/// A thread's part of the load.
pub(crate) struct Worker {
    ends: Vec<End>,
    tally: Tally,
    /// `None` if lanes wait for what they have sent.
    pace: Option<Pace>,
    /// The lane whose turn it is, at a given rate.
    turn: usize,
    bursts_of: Bursts,
    epoll: Epoll,
    batch: Batch,
    buffer: Vec<u8>,
    start: Instant,
    /// When the load ends, in nanoseconds since its start.
    until: u64,
    seen: Arc<Seen>,
    bursts: u64,
    late: u64,
}

/// How packets of a lane leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bursts {
    /// So many at a time.
    pub(crate) length: usize,
    /// In one message.
    pub(crate) together: bool,
}

/// The findings of a thread.
pub(crate) struct Outcome {
    pub(crate) packets: Packets,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// How many bursts left at a given rate.
    pub(crate) bursts: u64,
    /// How many of them more than a millisecond late.
    pub(crate) late: u64,
}

/// The progress of a thread, for the others.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// When a load begins, counts and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start: Instant,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

impl Worker {
    /// `rate` is this thread's share of the packets per second.
    pub(crate) fn new(
        field: Field,
        bursts_of: Bursts,
        rate: Option<f64>,
        times: Times,
        seen: Arc<Seen>,
    ) -> Result<Self, Fault> {
        let doing = "wait for sockets";
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Fault::errno(doing))?;
        for (place, end) in field.ends.iter().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
            epoll.add(end, event).map_err(Fault::errno(doing))?;
        }
        let from = nanos(times.warm_up);
        let until = from + nanos(times.measured);
        Ok(Self {
            ends: field.ends,
            tally: Tally::new(field.lanes, bursts_of.length, from..until),
            pace: rate.map(|rate| Pace::new(rate, bursts_of.length)),
            turn: 0,
            bursts_of,
            epoll,
            batch: Batch::new(),
            buffer: vec![0; 64 * 1024],
            start: times.start,
            until,
            seen,
            bursts: 0,
            late: 0,
        })
    }

    /// Carries the load to its end.
    pub(crate) fn run(mut self) -> Result<Outcome, Fault> {
        self.carry().map_err(Fault::host("send and receive"))?;
        Ok(Outcome {
            packets: self.tally.packets,
            latency: self.tally.latency,
            bursts: self.bursts,
            late: self.late,
        })
    }

    /// Sends and receives, and waits a little longer for what is on its way.
    fn carry(&mut self) -> io::Result<()> {
        let (mut chores, mut end, mut last) = (0, self.until, 0);
        loop {
            let now = self.now();
            let wait = if self.is_to_send(now) {
                end = now.max(self.until);
                self.send_due(now.min(self.until - 1))?
            } else if now < (end + LINGER).min(self.until + LONGEST) {
                LINGER
            } else {
                return Ok(());
            };
            self.receive(wait)?;
            self.seen.sent.store(self.tally.all.sent, Ordering::Relaxed);
            let received = self.tally.all.received;
            self.seen.received.store(received, Ordering::Relaxed);
            if received > last {
                // It may have stood still since `now`.
                (last, end) = (received, self.now().max(end));
            }
            if now >= chores {
                chores = now + CHORES;
                self.do_chores(now)?;
            }
        }
    }

    /// Whether it is time to send. What was due in time is sent later where the host stood still at the end.
    fn is_to_send(&self, now: u64) -> bool {
        let pace = self.pace.as_ref();
        let is_behind = || pace.is_some_and(|pace| pace.due() < self.until);
        now < self.until || now < self.until + CATCH_UP && is_behind()
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// Sends what is due; returns how long there is nothing to send, in nanoseconds.
    fn send_due(&mut self, now: u64) -> io::Result<u64> {
        let Some(pace) = &mut self.pace else {
            return self.send_ready();
        };
        let mut due = pace.due();
        // Packets that come meanwhile must not wait for all that is late.
        for _ in 0..MOST {
            if due > now {
                return Ok(due - now);
            }
            let lane = self.turn;
            if !self.send(lane, due)? {
                // The kernel has no room.
                return Ok(MILLISECOND);
            }
            self.turn = (lane + 1) % self.tally.lanes.len();
            self.bursts += 1;
            self.late += u64::from(self.now().saturating_sub(due) > MILLISECOND);
            if let Some(pace) = &mut self.pace {
                pace.go_on();
                due = pace.due();
            }
        }
        Ok(0)
    }

    /// Sends a burst on each lane whose last one has arrived.
    fn send_ready(&mut self) -> io::Result<u64> {
        for _ in 0..MOST {
            let Some(lane) = self.tally.ready.pop_front() else {
                return Ok(10 * MILLISECOND);
            };
            let now = self.now();
            if !self.send(lane, now)? {
                self.tally.ready.push_back(lane);
                return Ok(MILLISECOND);
            }
            if self.tally.has_room(lane) {
                self.tally.ready.push_back(lane);
            }
        }
        Ok(0)
    }

    /// Sends a burst of a lane; says whether the kernel took any of it.
    fn send(&mut self, place: usize, nanos: u64) -> io::Result<bool> {
        let burst = self.bursts_of.length;
        let lane = &self.tally.lanes[place];
        let end = &mut self.ends[lane.from];
        let sent = if let End::Client(session) = end
            && let Some(stream) = session.carrier.stream()
        {
            stream.flush()?;
            if stream.is_blocked() {
                return Ok(false);
            }
            for ahead in 0..burst {
                stream.put(&[&lane.before, &lane.stamp(ahead, nanos), &lane.behind])?;
            }
            stream.flush()?;
            Ok(burst)
        } else if lane.is_asking() {
            let numbers = lane.next..lane.next + burst as u64;
            let ids: Vec<[u8; 12]> = numbers.map(|number| write_id(lane.id, number)).collect();
            self.batch.send(end.fd(), &lane.before, &ids, &lane.behind)
        } else {
            let stamps: Vec<_> = (0..burst).map(|ahead| lane.stamp(ahead, nanos)).collect();
            if self.bursts_of.together {
                Batch::send_together(end.fd(), &lane.before, &stamps, &lane.behind)
            } else {
                self.batch
                    .send(end.fd(), &lane.before, &stamps, &lane.behind)
            }
        };
        match sent {
            Ok(count) => {
                let now = self.now();
                self.tally.sent(place, count, nanos, now);
                Ok(count > 0)
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(false),
            // An ICMP error about an earlier packet: the packets that do not arrive are seen.
            Err(Errno::ECONNREFUSED) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what comes within so many nanoseconds.
    fn receive(&mut self, wait: u64) -> io::Result<()> {
        // The kernel counts milliseconds: what is nearer is not slept for.
        let wait = u16::try_from(wait / MILLISECOND).unwrap_or(u16::MAX);
        let mut events = [EpollEvent::empty(); 64];
        let came = match self.epoll.wait(&mut events, EpollTimeout::from(wait)) {
            Err(Errno::EINTR) => 0,
            came => came?,
        };
        for event in &events[..came] {
            let place = event.data() as usize;
            let now = nanos(self.start.elapsed());
            let (batch, tally, buffer) = (&mut self.batch, &mut self.tally, &mut self.buffer);
            match &mut self.ends[place] {
                End::Client(session) => hear(session, batch, buffer, |packet| {
                    take(tally, place, packet, now)
                })?,
                end @ End::Peer(_) => read(end.fd(), batch, |packet| {
                    tally.data(place, Way::Bare, packet, now);
                })?,
                end @ End::Asker(_) => read(end.fd(), batch, |packet| {
                    tally.answer(place, packet, now);
                })?,
            }
        }
        Ok(())
    }

    /// Keeps allocations alive, and gives up packets that do not come.
    fn do_chores(&mut self, now: u64) -> io::Result<()> {
        let instant = Instant::now();
        for end in &mut self.ends {
            if let End::Client(session) = end {
                session.keep_alive(instant)?;
            }
        }
        self.tally.give_up(now.saturating_sub(GIVE_UP));
        Ok(())
    }
}

/// Takes what a client hears: data, and answers to its requests, which `take` leaves.
fn hear(
    session: &mut Session,
    batch: &mut Batch,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Taken,
) -> io::Result<()> {
    let Session {
        client, carrier, ..
    } = session;
    let take = |packet: &[u8]| {
        if take(packet) == Taken::Not {
            client.handle_input(Instant::now(), packet);
        }
    };
    match carrier {
        Carrier::Datagrams(socket) => read(socket.as_raw_fd(), batch, take),
        Carrier::Stream(stream) => stream.frames(buffer, take),
    }
}

/// Whether a packet was data.
#[derive(PartialEq, Eq)]
enum Taken {
    Data,
    Not,
}

/// Takes a packet that came to a client, unless it is an answer of the server.
fn take(tally: &mut Tally, place: usize, packet: &[u8], now: u64) -> Taken {
    if let Some((way, payload)) = data_of(packet) {
        tally.data(place, way, payload, now);
    } else if Message::parse(packet).is_ok_and(|message| !is_data(&message)) {
        return Taken::Not;
    } else {
        // Data without a framing, or what cannot be read.
        tally.data(place, Way::Bare, packet, now);
    }
    Taken::Data
}

/// Takes the datagrams of a socket, until there are no more for now.
fn read(socket: i32, batch: &mut Batch, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    loop {
        let count = match batch.receive(socket) {
            Ok(count) => count,
            Err(Errno::EAGAIN) => return Ok(()),
            Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(error) => return Err(error.into()),
        };
        for index in 0..count {
            take(batch.datagram(index));
        }
        if count < MOST {
            return Ok(());
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const MILLISECOND: u64 = 1_000_000;
/// How long packets are waited for after one was sent or has arrived.
const LINGER: u64 = 300 * MILLISECOND;
/// Where a rate is too high for this host, the rest of it is left out.
const CATCH_UP: u64 = 1_000 * MILLISECOND;
/// How long they are waited for in all, after the time to send.
const LONGEST: u64 = 5_000 * MILLISECOND;
/// A lane that has not moved for so long sends again: its packets are lost.
const GIVE_UP: u64 = 200 * MILLISECOND;
const CHORES: u64 = 100 * MILLISECOND;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::lane::{Framing, Lane, Stop};

    /// A lane of datagrams from one socket to another, without a server between.
    fn field() -> Field {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (one, other) in [(0, 1), (1, 0)] {
            let to = sockets[other].local_addr().unwrap();
            sockets[one].connect(to).unwrap();
        }
        let [from, to] = [0, 1].map(|place| Stop {
            place,
            framing: Framing::None,
        });
        Field {
            ends: sockets.map(End::Peer).into(),
            lanes: vec![Lane::new(0, from, to, 100)],
        }
    }

    #[test]
    fn a_packet_that_leaves_late_is_timed_from_when_it_was_to_leave() {
        let bursts = Bursts {
            length: 1,
            together: false,
        };
        let behind = Duration::from_millis(300);
        let times = Times {
            start: Instant::now() - behind,
            warm_up: Duration::ZERO,
            measured: behind + Duration::from_millis(100),
        };
        let worker = Worker::new(field(), bursts, Some(100.0), times, Arc::default()).unwrap();
        let Outcome {
            packets,
            latency,
            bursts,
            late,
        } = worker.run().unwrap();
        assert_eq!((packets.sent, packets.received, bursts), (40, 40, 40));
        assert!(late >= 30, "{late}");
        let [longest, median] = [latency.max(), latency.value_at_quantile(0.5)];
        assert!(longest >= nanos(behind), "{longest}");
        // The first was due 300 ms ago, and each of the next 29 ten milliseconds later.
        assert!(median >= 90 * MILLISECOND, "{median}");
    }
}
