//! The frames that wait for a TCP client that reads more slowly than its peers send.
//!
//! Media that comes late is worthless, so the oldest of it makes room for the newest. Answers are
//! never dropped: a client that does not read them is not read either, until it does.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::connection::length_of;

/// Frames that wait, within a bound.
#[derive(Debug)]
pub(crate) struct SendQueue {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are on the wire already.
    sent: usize,
    /// The memory that the frames cost.
    cost: usize,
    /// The part of `cost` that is answers.
    answers: usize,
    limit: usize,
}

/// Whether a frame may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Data of peers: late is as good as lost.
    Media,
    /// The answer to a request of the client.
    Answer,
}

#[derive(Debug)]
struct Frame {
    bytes: Box<[u8]>,
    urgency: Urgency,
}

/// The queue holds so many answers that there is no room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

impl SendQueue {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            sent: 0,
            cost: 0,
            answers: 0,
            limit,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the client leaves so many answers unread that its next requests can wait.
    pub(crate) const fn is_backed_up(&self) -> bool {
        self.answers > ANSWERS / 2
    }

    /// Appends what is left of frames, each in parts, of which `sent` bytes are on the wire already; returns
    /// how many media frames were dropped for it, of these perhaps among them.
    pub(crate) fn keep<const PARTS: usize>(
        &mut self,
        frames: &[[IoSlice<'_>; PARTS]],
        mut sent: usize,
        urgency: Urgency,
    ) -> Result<u64, Stuck> {
        let mut dropped = 0;
        for parts in frames {
            let length = length_of(parts);
            if sent >= length {
                sent -= length;
                continue;
            }
            let mut frame = Vec::with_capacity(length);
            for part in parts {
                frame.extend_from_slice(part);
            }
            dropped += self.push(frame.into(), std::mem::take(&mut sent), urgency)?;
        }
        Ok(dropped)
    }

    /// Appends a frame of which `sent` bytes are on the wire already; returns how many media
    /// frames were dropped for it, itself perhaps among them.
    fn push(&mut self, bytes: Box<[u8]>, sent: usize, urgency: Urgency) -> Result<u64, Stuck> {
        debug_assert!(
            sent == 0 || self.is_empty(),
            "only the first frame can be half sent"
        );
        let frame = Frame { bytes, urgency };
        // Answers are the only frames that a client without an allocation can make us keep.
        if !frame.is_media() && self.answers + frame.cost() > ANSWERS {
            return Err(Stuck);
        }
        let mut dropped = 0;
        while self.cost + frame.cost() > self.limit && !(self.is_empty() && sent > 0) {
            // A frame that is sent in part must be sent whole, or the stream is broken.
            let first = usize::from(self.sent > 0);
            let oldest = self.frames.iter().skip(first).position(Frame::is_media);
            match oldest.and_then(|at| self.frames.remove(first + at)) {
                Some(oldest) => {
                    self.cost -= oldest.cost();
                    dropped += 1;
                }
                None if urgency == Urgency::Media => return Ok(dropped + 1),
                None => return Err(Stuck),
            }
        }
        if self.is_empty() {
            self.sent = sent;
        }
        self.cost += frame.cost();
        self.answers += frame.cost_of_answer();
        self.frames.push_back(frame);
        Ok(dropped)
    }

    /// Fills `frames` with the bytes to send next, in order; returns how many frames there are.
    pub(crate) fn gather<'q>(&'q self, frames: &mut [[IoSlice<'q>; 1]]) -> usize {
        let mut sent = self.sent;
        for (next, frame) in frames.iter_mut().zip(&self.frames) {
            *next = [IoSlice::new(&frame.bytes[sent..])];
            sent = 0;
        }
        self.frames.len().min(frames.len())
    }

    /// Notes that so many bytes of [`SendQueue::gather`] were sent.
    pub(crate) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        while let Some(first) = self
            .frames
            .pop_front_if(|first| first.bytes.len() <= self.sent)
        {
            self.sent -= first.bytes.len();
            self.cost -= first.cost();
            self.answers -= first.cost_of_answer();
        }
    }
}

impl Frame {
    /// The bytes of memory that it takes: its own and those of the bookkeeping.
    fn cost(&self) -> usize {
        self.bytes.len() + KEEPING
    }

    fn cost_of_answer(&self) -> usize {
        if self.is_media() { 0 } else { self.cost() }
    }

    fn is_media(&self) -> bool {
        self.urgency == Urgency::Media
    }
}

/// The most memory that answers may cost: some hundred of them. A client that leaves half of it unread
/// is not read, so only answers that were long under way can pass the other half.
const ANSWERS: usize = 16 * 1024;

/// The memory that a frame costs beside its bytes: its place in the queue, and the share of the
/// allocator. Otherwise a client that does not read could be sent empty datagrams until they fill
/// many times the limit.
const KEEPING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(byte: u8, length: usize) -> Box<[u8]> {
        vec![byte; length].into()
    }

    /// A limit for so many bytes in so many frames.
    const fn limit(frames: usize, bytes: usize) -> usize {
        frames * KEEPING + bytes
    }

    /// Reads at most `most` bytes.
    fn read(queue: &mut SendQueue, most: usize) -> Vec<u8> {
        let mut frames = [[IoSlice::new(&[])]; 4];
        let count = queue.gather(&mut frames);
        let mut out: Vec<u8> = frames[..count]
            .as_flattened()
            .iter()
            .flat_map(|part| part.to_vec())
            .collect();
        out.truncate(most);
        queue.advance(out.len());
        out
    }

    fn drain(queue: &mut SendQueue) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            out.extend(read(queue, usize::MAX));
        }
        out
    }

    #[test]
    fn the_oldest_media_makes_room_and_answers_stay() {
        let mut queue = SendQueue::new(limit(3, 30));
        queue.push(frame(1, 10), 0, Urgency::Media).unwrap();
        queue.push(frame(2, 10), 0, Urgency::Answer).unwrap();
        queue.push(frame(3, 10), 0, Urgency::Media).unwrap();
        assert_eq!(queue.push(frame(4, 10), 0, Urgency::Media), Ok(1));
        assert_eq!(drain(&mut queue), [[2; 10], [3; 10], [4; 10]].concat());
    }

    #[test]
    fn a_frame_half_on_the_wire_is_finished() {
        let mut queue = SendQueue::new(limit(1, 20));
        queue.push(frame(1, 20), 5, Urgency::Media).unwrap();
        assert_eq!(queue.push(frame(2, 20), 0, Urgency::Media), Ok(1));
        assert_eq!(drain(&mut queue), [1; 15]);
    }

    #[test]
    fn a_client_that_reads_no_answers_is_stuck() {
        let mut queue = SendQueue::new(limit(1, 20));
        queue.push(frame(1, 20), 0, Urgency::Answer).unwrap();
        assert_eq!(queue.push(frame(2, 1), 0, Urgency::Answer), Err(Stuck));
        assert_eq!(queue.push(frame(2, 1), 0, Urgency::Media), Ok(1));
    }

    #[test]
    fn requests_wait_long_before_there_is_no_room_for_answers() {
        let mut queue = SendQueue::new(256 * 1024);
        while !queue.is_backed_up() {
            queue.push(frame(1, 100), 0, Urgency::Answer).unwrap();
        }
        // The longest request has an answer that is no longer than this.
        assert_eq!(queue.push(frame(2, 4096), 0, Urgency::Answer), Ok(0));
        read(&mut queue, 1000);
        assert!(queue.is_backed_up());
        drain(&mut queue);
        assert!(!queue.is_backed_up());
    }

    #[test]
    fn a_stranger_makes_the_server_keep_little() {
        let mut queue = SendQueue::new(256 * 1024);
        let kept = (0..10_000).take_while(|_| queue.push(frame(1, 32), 0, Urgency::Answer).is_ok());
        assert!(kept.count() <= ANSWERS / 32);
        assert!(queue.cost <= ANSWERS);
        assert_eq!(queue.push(frame(2, 1000), 0, Urgency::Media), Ok(0));
    }

    #[test]
    fn empty_datagrams_fill_the_queue_too() {
        let mut queue = SendQueue::new(64 * 1024);
        let dropped: u64 = (0..10_000)
            .map(|_| queue.push(frame(0, 4), 0, Urgency::Media).unwrap())
            .sum();
        assert!(dropped > 9_000, "only {dropped} were dropped");
    }

    /// Frames of three parts with bytes that differ, of lengths that parts and frames end at anywhere.
    fn in_parts(bytes: &[u8]) -> [[IoSlice<'_>; 3]; 3] {
        [[0, 4, 4, 4], [4, 8, 19, 20], [20, 24, 25, 28]]
            .map(|[a, b, c, d]| [&bytes[a..b], &bytes[b..c], &bytes[c..d]].map(IoSlice::new))
    }

    #[test]
    fn what_the_kernel_has_not_taken_waits_whichever_byte_it_stopped_at() {
        let bytes: Vec<u8> = (0..28).collect();
        for sent in 0..=bytes.len() {
            for most in 1..=bytes.len() {
                let mut queue = SendQueue::new(limit(3, 28));
                let dropped = queue.keep(&in_parts(&bytes), sent, Urgency::Media);
                assert_eq!(dropped, Ok(0));
                let mut wire = bytes[..sent].to_vec();
                while !queue.is_empty() {
                    wire.extend(read(&mut queue, most));
                }
                assert_eq!(wire, bytes, "{sent} were sent, and then {most} at a time");
                assert_eq!((queue.cost, queue.sent), (0, 0));
            }
        }
    }

    #[test]
    fn of_frames_that_wait_together_as_many_are_dropped_as_one_by_one() {
        let bytes: Vec<u8> = (0..28).collect();
        let frames = in_parts(&bytes);
        for frames_that_fit in 0..4 {
            for sent in [0, 1, 30] {
                let waiting = || {
                    let mut queue = SendQueue::new(limit(frames_that_fit + 1, 40));
                    queue.push(frame(9, 31), sent, Urgency::Media).unwrap();
                    queue
                };
                let (mut together, mut apart) = (waiting(), waiting());
                let dropped = together.keep(&frames, 0, Urgency::Media).unwrap();
                let one_by_one = frames.chunks(1);
                let one_by_one =
                    one_by_one.map(|frame| apart.keep(frame, 0, Urgency::Media).unwrap());
                assert_eq!(dropped, one_by_one.sum::<u64>());
                assert_eq!(drain(&mut together), drain(&mut apart));
            }
        }
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limit_nor_breaks_a_frame(
            steps in prop::collection::vec((any::<bool>(), 1usize..40, 0usize..100), 1..100),
        ) {
            let most = limit(4, 100);
            let mut queue = SendQueue::new(most);
            let mut wire = Vec::new();
            for (number, (is_media, length, read)) in steps.into_iter().enumerate() {
                let urgency = if is_media { Urgency::Media } else { Urgency::Answer };
                // Each frame holds its number and its length, so that a broken one shows.
                let mut bytes = vec![length as u8; length + 1];
                bytes[1..].fill(number as u8);
                let _ = queue.push(bytes.into(), 0, urgency);
                prop_assert!(queue.cost <= most);
                let cost: usize = queue.frames.iter().map(Frame::cost).sum();
                prop_assert_eq!(cost, queue.cost);
                let answers: usize = queue.frames.iter().map(Frame::cost_of_answer).sum();
                prop_assert_eq!(answers, queue.answers);
                wire.extend(self::read(&mut queue, read));
            }
            wire.extend(drain(&mut queue));
            let mut rest = wire.as_slice();
            while let Some((length, tail)) = rest.split_first() {
                let (body, tail) = tail.split_at(usize::from(*length));
                prop_assert!(body.iter().all(|byte| *byte == body[0]));
                rest = tail;
            }
        }
    }
}
