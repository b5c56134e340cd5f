//! Crossings: data from a relayed address of one shard to one of another, beside the kernel.
//!
//! Between any two shards there is a lane each way. One shard writes it and the other reads it, so neither
//! waits nor locks. A lane is two rings of a fixed size: what the datagrams are, and their bytes. A
//! datagram that finds it full, or its sender's [share](shares) of it, is dropped and counted
//! (`crossing-full`), as the kernel drops one that finds a receive buffer full. At the end of a turn the
//! other shard is woken once, however many datagrams there are for it, and not again before it has come to
//! them.

use std::net::SocketAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use relay::{Crossing, PeerAddr, ShardId};
use rtrb::chunks::ReadChunk;
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use self::shares::Shares;
use crate::marking::Marking;
use crate::sys::BATCH;

mod shares;

/// The lanes of a shard. They belong to no life of it: the next one goes on where the last one was.
#[derive(Debug)]
pub(crate) struct Lanes {
    entrances: Arc<Mutex<Entrances>>,
    exits: Arc<Mutex<Exits>>,
}

/// The ends of lanes that a shard writes, by the shards that read them.
#[derive(Debug, Default)]
pub(crate) struct Entrances {
    lanes: Vec<Option<Entrance>>,
    /// Whether a shard is to be woken.
    has_written: bool,
}

/// The end of a lane that is written.
#[derive(Debug)]
struct Entrance {
    heads: Producer<Head>,
    bytes: Producer<u8>,
    shares: Shares,
    reader: Arc<Notify>,
    has_written: bool,
}

/// The ends of lanes that a shard reads.
#[derive(Debug)]
pub(crate) struct Exits {
    lanes: Vec<Exit>,
    /// The lane that is read next.
    next: usize,
    /// Where the one datagram of a batch is put together that lies across the end of a ring.
    across: Vec<u8>,
    /// Notified when something was written.
    written: Arc<Notify>,
}

/// The end of a lane that is read.
#[derive(Debug)]
struct Exit {
    heads: Consumer<Head>,
    bytes: Consumer<u8>,
}

/// A datagram in a lane, without its bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    from: PeerAddr,
    to: SocketAddr,
    marking: Marking,
    length: usize,
}

/// A lane has no room, or none for this sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Lays the lanes between so many shards.
pub(crate) fn lay(shards: usize) -> Vec<Lanes> {
    let mut entrances: Vec<Entrances> = Vec::new();
    entrances.resize_with(shards, Entrances::default);
    let mut all_exits = Vec::new();
    for reader in 0..shards {
        let written = Arc::new(Notify::new());
        let mut exits = Vec::new();
        for (writer, entrances) in entrances.iter_mut().enumerate() {
            let lane = (writer != reader).then(|| {
                let (entrance, exit) = lane(lane_bytes(shards), Arc::clone(&written));
                exits.push(exit);
                entrance
            });
            entrances.lanes.push(lane);
        }
        all_exits.push(Exits::new(exits, written));
    }
    let ends = entrances.into_iter().zip(all_exits);
    ends.map(|(entrances, exits)| Lanes {
        entrances: Arc::new(Mutex::new(entrances)),
        exits: Arc::new(Mutex::new(exits)),
    })
    .collect()
}

fn lane(capacity: usize, reader: Arc<Notify>) -> (Entrance, Exit) {
    let (heads_in, heads_out) = RingBuffer::new(capacity / BYTES_OF_EACH);
    let (bytes_in, bytes_out) = RingBuffer::new(capacity);
    let entrance = Entrance {
        heads: heads_in,
        bytes: bytes_in,
        shares: Shares::of(capacity),
        reader,
        has_written: false,
    };
    let exit = Exit {
        heads: heads_out,
        bytes: bytes_out,
    };
    (entrance, exit)
}

impl Lanes {
    /// Both ends, for the life of the shard that begins now: the last one has let go of them.
    pub(crate) async fn ends(&self) -> (OwnedMutexGuard<Entrances>, OwnedMutexGuard<Exits>) {
        let entrances = Arc::clone(&self.entrances).lock_owned().await;
        let exits = Arc::clone(&self.exits).lock_owned().await;
        (entrances, exits)
    }
}

impl Entrances {
    /// Writes data for another shard, which hears of it at [`Entrances::wake`].
    ///
    /// # Errors
    /// [`Full`]; the data is lost.
    pub(crate) fn write(
        &mut self,
        crossing: &Crossing,
        marking: Marking,
        payload: &[u8],
    ) -> Result<(), Full> {
        let lane = self.lanes.get_mut(usize::from(crossing.shard.0));
        let lane = lane.and_then(Option::as_mut).ok_or(Full)?;
        // A reader is woken also by what finds no room: it may never have heard of what is there, when the life that
        // wrote it panicked before the end of its turn.
        lane.has_written = true;
        self.has_written = true;
        let sender = lane.shares.sender(crossing.from);
        if !lane.shares.admit(sender, payload.len()) {
            // To ask what was read makes the two shards share a cache line, so it is asked for want of room only.
            let unread = lane.heads.buffer().capacity() - lane.heads.slots();
            lane.shares.note_read(unread);
            if !lane.shares.admit(sender, payload.len()) {
                return Err(Full);
            }
        }
        lane.bytes.push_entire_slice(payload).map_err(|_| Full)?;
        let head = Head {
            from: crossing.from,
            to: crossing.to,
            marking,
            length: payload.len(),
        };
        // Its bytes are there before it is.
        lane.heads.push(head).map_err(|_| Full)?;
        lane.shares.note_written(sender, payload.len());
        Ok(())
    }

    /// Wakes the shards that something was written for.
    pub(crate) fn wake(&mut self) {
        if !self.has_written {
            return;
        }
        self.has_written = false;
        for lane in self.lanes.iter_mut().flatten() {
            if std::mem::take(&mut lane.has_written) {
                lane.reader.notify_one();
            }
        }
    }
}

impl Exits {
    fn new(lanes: Vec<Exit>, written: Arc<Notify>) -> Self {
        Self {
            lanes,
            next: 0,
            across: Vec::new(),
            written,
        }
    }

    /// Is notified when something was written.
    pub(crate) fn written(&self) -> Arc<Notify> {
        Arc::clone(&self.written)
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.heads.is_empty())
    }

    /// Some of what is there, from one lane; the lanes are called by turns.
    pub(crate) fn read(&mut self) -> Option<Arrived<'_>> {
        let count = self.lanes.len();
        let mut lanes = (self.next..count).chain(0..self.next);
        let at = lanes.find(|at| !self.lanes[*at].heads.is_empty())?;
        self.next = (at + 1) % count;
        let Exit { heads, bytes } = &mut self.lanes[at];
        let heads = heads.read_chunk(heads.slots().min(BATCH)).ok()?;
        let length = each(&heads).map(|head| head.length).sum();
        // The bytes of each head were written before it.
        let bytes = bytes.read_chunk(length).ok()?;
        self.across.clear();
        let (first, second) = bytes.as_slices();
        if let Some((start, end)) = across(&heads, first.len()) {
            self.across.extend_from_slice(&first[start..]);
            self.across.extend_from_slice(&second[..end]);
        }
        let across = &self.across;
        Some(Arrived {
            chunks: Some((heads, bytes)),
            across,
        })
    }
}

/// Where the datagram begins and ends that lies across the end of the ring: in its first part, and in
/// its second.
fn across(heads: &ReadChunk<'_, Head>, first: usize) -> Option<(usize, usize)> {
    let mut start = 0;
    for head in each(heads) {
        let end = start + head.length;
        if start < first && first < end {
            return Some((start, end - first));
        }
        start = end;
    }
    None
}

fn each<'c>(heads: &'c ReadChunk<'_, Head>) -> impl Iterator<Item = &'c Head> {
    let (first, second) = heads.as_slices();
    first.iter().chain(second)
}

/// Data of one lane, in the order in which it was written. It is taken off the lane when this is dropped, also by a
/// panic: the next life of the shard must not read again what ended this one.
pub(crate) struct Arrived<'l> {
    /// `None` while it is dropped.
    chunks: Option<(ReadChunk<'l, Head>, ReadChunk<'l, u8>)>,
    across: &'l [u8],
}

impl Arrived<'_> {
    /// Each datagram: its way, as one to `shard`, its marking, and its bytes.
    pub(crate) fn datagrams(&self, shard: ShardId) -> ArrayVec<(Crossing, Marking, &[u8]), BATCH> {
        let Some((heads, bytes)) = &self.chunks else {
            return ArrayVec::new();
        };
        let (first, second) = bytes.as_slices();
        let mut start = 0;
        let datagram = |head: &Head| {
            let Head {
                from,
                to,
                marking,
                length,
            } = *head;
            let end = start + length;
            let payload = if end <= first.len() {
                &first[start..end]
            } else if start >= first.len() {
                &second[start - first.len()..end - first.len()]
            } else {
                self.across
            };
            start = end;
            (Crossing { shard, from, to }, marking, payload)
        };
        each(heads).map(datagram).collect()
    }
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        if let Some((heads, bytes)) = self.chunks.take() {
            // In the order in which they are looked at by the one who writes.
            bytes.commit_all();
            heads.commit_all();
        }
    }
}

/// The bytes that a lane has room for. All lanes to one shard have four mebibytes together, as far as each
/// has room for two of the longest datagrams; the memory is not touched before it is used.
fn lane_bytes(shards: usize) -> usize {
    let lanes = shards.saturating_sub(1).max(1);
    (INBOX / lanes).clamp(LEAST, MOST)
}

const INBOX: usize = 4 << 20;
const LEAST: usize = 128 << 10;
/// Of which one sender alone takes half: some milliseconds of what one shard can relay.
const MOST: usize = 2 << 20;

/// A lane has room for one datagram in so many bytes: shorter ones on the average fill the ring of what they
/// are first.
const BYTES_OF_EACH: usize = 512;

#[cfg(test)]
mod walks;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    use super::shares::charge;

    fn crossing(to: u16) -> Crossing {
        Crossing {
            shard: ShardId(to),
            from: PeerAddr(([192, 0, 2, 1], 50_000).into()),
            to: ([192, 0, 2, 1], 50_001).into(),
        }
    }

    /// So many crossings to a shard, of as many senders that share no place in its lane's account.
    pub(super) fn of_senders(count: usize, entrances: &Entrances, to: u16) -> Vec<Crossing> {
        let lane = entrances.lanes[usize::from(to)].as_ref().unwrap();
        let mut places = Vec::new();
        let mut all = (1..=u16::MAX).map(|port| Crossing {
            from: PeerAddr(([192, 0, 2, 1], port).into()),
            ..crossing(to)
        });
        let is_apart = |it: &Crossing| {
            let place = lane.shares.sender(it.from);
            let is_apart = !places.contains(&place);
            places.push(place);
            is_apart
        };
        all.by_ref().filter(is_apart).take(count).collect()
    }

    /// How many datagrams like this one find room.
    fn written(entrances: &mut Entrances, crossing: &Crossing, payload: &[u8]) -> usize {
        let once = |_| entrances.write(crossing, Marking::PLAIN, payload).ok();
        (0..1_000_000).map_while(once).count()
    }

    /// Both ends of a lane of so many bytes, from shard 1 to shard 0.
    fn short(capacity: usize) -> (Entrances, Exits) {
        let written = Arc::new(Notify::new());
        let (entrance, exit) = lane(capacity, Arc::clone(&written));
        let entrances = Entrances {
            lanes: vec![Some(entrance), None],
            has_written: false,
        };
        (entrances, Exits::new(vec![exit], written))
    }

    /// All that is there now.
    fn read(exits: &mut Exits) -> Vec<(Marking, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(arrived) = exits.read() {
            let datagrams = arrived.datagrams(ShardId(0));
            let owned = datagrams
                .iter()
                .map(|(_, marking, it)| (*marking, it.to_vec()));
            all.extend(owned);
        }
        all
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whole_and_in_order_or_refused(
            steps in prop::collection::vec((0usize..3, 0usize..1_500, 0u8..4, any::<bool>()), 1..200),
        ) {
            let (mut entrances, mut exits) = short(8 * 1024);
            let senders = of_senders(3, &entrances, 0);
            let mut held = [0; 3];
            let mut expected = VecDeque::new();
            for (number, (sender, length, marking, is_read)) in steps.into_iter().enumerate() {
                let (payload, marking) = (vec![number as u8; length], Marking(marking));
                let free = 8 * 1024 - held.iter().sum::<usize>();
                let has_room = held[sender] + charge(length) <= free;
                let outcome = entrances.write(&senders[sender], marking, &payload);
                prop_assert_eq!(outcome.is_ok(), has_room);
                if has_room {
                    held[sender] += charge(length);
                    expected.push_back((marking, payload));
                }
                if is_read {
                    held = [0; 3];
                    prop_assert_eq!(read(&mut exits), Vec::from(std::mem::take(&mut expected)));
                }
            }
            prop_assert_eq!(read(&mut exits), Vec::from(expected));
        }
    }

    #[test]
    fn one_who_floods_a_lane_leaves_room_for_those_who_do_not() {
        for length in [0, 160, 1_200, 30_000] {
            let mut lanes = lay(2);
            let lanes = lanes.remove(0);
            let mut entrances = lanes.entrances.try_lock().unwrap();
            let payload = vec![7; length];
            let share = |senders: usize| MOST / (senders + 1) / charge(length);
            let [one, two, quiet] = of_senders(3, &entrances, 1).try_into().unwrap();
            let alone = written(&mut entrances, &one, &payload);
            assert!(alone.abs_diff(share(1)) <= 1, "{alone} of {length} bytes");
            assert_eq!(written(&mut entrances, &one, &payload), 0);
            // The second finds what the first has left, and takes half of it.
            let second = written(&mut entrances, &two, &payload);
            assert!(second.abs_diff(share(3)) <= 1, "{second} of {length} bytes");
            let few = (0..10).map_while(|_| entrances.write(&quiet, Marking::PLAIN, b"few").ok());
            assert_eq!(few.count(), 10);
        }
    }

    #[test]
    fn a_share_is_given_back_when_its_datagrams_were_read() {
        let (mut entrances, mut exits) = short(8 * 1024);
        let [one, two] = of_senders(2, &entrances, 0).try_into().unwrap();
        for _ in 0..100 {
            assert_eq!(written(&mut entrances, &one, &[1; 512]), 8);
            assert_eq!(written(&mut entrances, &two, &[2; 512]), 4);
            assert_eq!(read(&mut exits).len(), 12);
        }
    }

    #[test]
    fn a_lane_that_nobody_reads_is_full_and_no_other_is_concerned() {
        let lanes = lay(3);
        let mut entrances = lanes[1].entrances.try_lock().unwrap();
        let longest = [7; 65_507];
        let write = |entrances: &mut Entrances, to| written(entrances, &crossing(to), &longest);
        let share = MOST / 2 / longest.len();
        assert_eq!(write(&mut entrances, 0), share);
        assert_eq!(write(&mut entrances, 2), share);
        let mut others = lanes[2].entrances.try_lock().unwrap();
        assert_eq!(write(&mut others, 0), share);
        // There is no lane from a shard to itself, nor to one that does not exist.
        assert_eq!(write(&mut entrances, 1), 0);
        assert_eq!(write(&mut entrances, 3), 0);
        // Those to one shard are called by turns.
        let mut exits = lanes[0].exits.try_lock().unwrap();
        let mut order = Vec::new();
        for _ in 0..2 {
            let arrived = exits.read().unwrap();
            order.push(arrived.datagrams(ShardId(0)).len());
        }
        assert_eq!(order, [share; 2]);
        assert!(exits.read().is_none());
    }

    #[test]
    fn empty_datagrams_fill_a_lane_too_and_cross_it() {
        let (mut entrances, mut exits) = short(8 * 1024);
        let written = (0..100).map_while(|_| entrances.write(&crossing(0), Marking(3), &[]).ok());
        assert_eq!(written.count(), 8);
        assert_eq!(read(&mut exits), vec![(Marking(3), Vec::new()); 8]);
    }

    #[test]
    fn what_a_shard_panicked_over_is_not_read_by_its_next_life() {
        let (mut entrances, mut exits) = short(8 * 1024);
        entrances
            .write(&crossing(0), Marking::PLAIN, b"a fault")
            .unwrap();
        let panics = std::panic::AssertUnwindSafe(|| {
            let _arrived = exits.read().unwrap();
            std::panic::resume_unwind(Box::new("a fault"));
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert!(exits.is_empty());
        // Nor is the room lost that it took.
        assert_eq!(written(&mut entrances, &crossing(0), &[7; 1_024]), 4);
        assert_eq!(read(&mut exits).len(), 4);
    }

    #[test]
    fn a_turn_wakes_a_shard_once_and_only_the_one_that_it_wrote_for() {
        use std::future::Future;
        use std::pin::pin;
        use std::task::{Context, Poll, Waker};

        let lanes = lay(3);
        let mut entrances = lanes[0].entrances.try_lock().unwrap();
        for _ in 0..5 {
            entrances.write(&crossing(1), Marking::PLAIN, b"x").unwrap();
        }
        let is_woken = |shard: usize| {
            let written = lanes[shard].exits.try_lock().unwrap().written();
            let notified = pin!(written.notified());
            notified.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
        };
        assert!(!is_woken(1));
        entrances.wake();
        assert!(is_woken(1) && !is_woken(1) && !is_woken(2));
        entrances.wake();
        assert!(!is_woken(1));
        // A write that finds no room wakes it, too.
        while entrances.write(&crossing(1), Marking::PLAIN, &[7; 1_024]) == Ok(()) {}
        entrances.wake();
        assert!(is_woken(1));
        let outcome = entrances.write(&crossing(1), Marking::PLAIN, &[7; 1_024]);
        assert_eq!(outcome, Err(Full));
        entrances.wake();
        assert!(is_woken(1));
    }
}
