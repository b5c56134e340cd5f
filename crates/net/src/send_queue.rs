//! What waits for a TCP client that reads more slowly than its peers send.
//!
//! Media that comes late is worthless, so the oldest of it makes room for the newest. Answers are
//! never dropped: a client that does not even read its answers is not served any longer.

use std::collections::VecDeque;

/// Frames that wait, within a bound.
#[derive(Debug)]
pub(crate) struct SendQueue {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are on the wire already.
    sent: usize,
    bytes: usize,
    limit: usize,
}

/// Whether a frame may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Peers' data: late is as good as lost.
    Media,
    /// What the client asked for.
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
            bytes: 0,
            limit,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends a frame of which `sent` bytes are on the wire already; returns how many media
    /// frames were dropped for it, itself perhaps among them.
    pub(crate) fn push(
        &mut self,
        bytes: Box<[u8]>,
        sent: usize,
        urgency: Urgency,
    ) -> Result<u64, Stuck> {
        debug_assert!(
            sent == 0 || self.is_empty(),
            "only the first frame can be half sent"
        );
        let mut dropped = 0;
        while self.bytes + bytes.len() > self.limit && !(self.is_empty() && sent > 0) {
            // Half a frame on the wire needs its other half, or the stream is broken.
            let first = usize::from(self.sent > 0);
            let oldest = self.frames.iter().skip(first).position(Frame::is_media);
            match oldest.and_then(|at| self.frames.remove(first + at)) {
                Some(frame) => {
                    self.bytes -= frame.bytes.len();
                    dropped += 1;
                }
                None if urgency == Urgency::Media => return Ok(dropped + 1),
                None => return Err(Stuck),
            }
        }
        if self.is_empty() {
            self.sent = sent;
        }
        self.bytes += bytes.len();
        self.frames.push_back(Frame { bytes, urgency });
        Ok(dropped)
    }

    /// The bytes to send next.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        Some(&self.frames.front()?.bytes[self.sent..])
    }

    /// So many bytes of [`SendQueue::front`] are on the wire.
    pub(crate) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        if self
            .frames
            .front()
            .is_some_and(|frame| frame.bytes.len() == self.sent)
        {
            self.bytes -= self.sent;
            self.sent = 0;
            self.frames.pop_front();
        }
    }
}

impl Frame {
    fn is_media(&self) -> bool {
        self.urgency == Urgency::Media
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(byte: u8, length: usize) -> Box<[u8]> {
        vec![byte; length].into()
    }

    fn drain(queue: &mut SendQueue) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(front) = queue.front() {
            out.extend_from_slice(front);
            queue.advance(front.len());
        }
        out
    }

    #[test]
    fn the_oldest_media_makes_room_and_answers_stay() {
        let mut queue = SendQueue::new(30);
        queue.push(frame(1, 10), 0, Urgency::Media).unwrap();
        queue.push(frame(2, 10), 0, Urgency::Answer).unwrap();
        queue.push(frame(3, 10), 0, Urgency::Media).unwrap();
        assert_eq!(queue.push(frame(4, 10), 0, Urgency::Media), Ok(1));
        assert_eq!(drain(&mut queue), [[2; 10], [3; 10], [4; 10]].concat());
    }

    #[test]
    fn a_frame_half_on_the_wire_is_finished() {
        let mut queue = SendQueue::new(20);
        queue.push(frame(1, 20), 5, Urgency::Media).unwrap();
        assert_eq!(queue.push(frame(2, 20), 0, Urgency::Media), Ok(1));
        assert_eq!(drain(&mut queue), [1; 15]);
    }

    #[test]
    fn a_client_that_reads_no_answers_is_stuck() {
        let mut queue = SendQueue::new(20);
        queue.push(frame(1, 20), 0, Urgency::Answer).unwrap();
        assert_eq!(queue.push(frame(2, 1), 0, Urgency::Answer), Err(Stuck));
        assert_eq!(queue.push(frame(2, 1), 0, Urgency::Media), Ok(1));
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limit_nor_breaks_a_frame(
            steps in prop::collection::vec((any::<bool>(), 1usize..40, 0usize..60), 1..100),
        ) {
            let mut queue = SendQueue::new(100);
            let mut wire = Vec::new();
            for (number, (is_media, length, read)) in steps.into_iter().enumerate() {
                let urgency = if is_media { Urgency::Media } else { Urgency::Answer };
                // A frame that tells its number and its length, so that a broken one shows.
                let mut bytes = vec![length as u8; length + 1];
                bytes[1..].fill(number as u8);
                let _ = queue.push(bytes.into(), 0, urgency);
                prop_assert!(queue.bytes <= 100);
                let held: usize = queue.frames.iter().map(|frame| frame.bytes.len()).sum();
                prop_assert_eq!(held, queue.bytes);
                let sent = queue.front().map_or(0, |front| front.len().min(read));
                wire.extend_from_slice(&queue.front().unwrap_or_default()[..sent]);
                queue.advance(sent);
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
