//! Frames on a byte stream: STUN and ChannelData carry their own lengths. RFC 8656 §3.1, §12.5.

use crate::{ChannelData, Kind, Message};

/// The stream cannot be followed any further; the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte begins neither a STUN message nor ChannelData.
    #[error("neither STUN nor ChannelData")]
    Unknown,
    /// A STUN message announces a length that none can have. RFC 8489 §5.
    #[error("a STUN length of {length}, which is no multiple of four")]
    Uneven {
        /// Bytes announced after the header.
        length: usize,
    },
    /// The frame is longer than allowed here.
    #[error("frame of {length} bytes where {limit} are allowed")]
    TooLong {
        /// Bytes announced, header and padding included.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// The longest frame that the protocol can announce: a STUN message, whose length is a multiple of
/// four. ChannelData ends a little earlier.
pub const MAX_FRAME: usize = Message::HEADER + (u16::MAX as usize & !3);

/// Cuts a byte stream into frames. A frame that is whole in the input is returned in place; only
/// one that is split over reads is copied, and at most one is held.
#[derive(Debug, Default)]
pub struct Deframer {
    partial: Vec<u8>,
    /// Whether `partial` was returned whole; then the next call clears it.
    spent: bool,
}

impl Deframer {
    /// Takes the next frame off the front of `input`, or `None` when `input` is used up. `limit`
    /// bounds the frame and so the memory held. ChannelData comes with its padding.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is then beyond repair.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limit: usize,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        if std::mem::take(&mut self.spent) {
            self.partial.clear();
        }
        if self.partial.is_empty()
            && let Some(frame) = whole_frame(input, limit)?
        {
            return Ok(Some(frame));
        }
        while !input.is_empty() {
            let wanted = match frame_length(&self.partial, limit)? {
                Some(length) => length,
                None => LENGTH_KNOWN_AT,
            };
            let missing = (wanted - self.partial.len()).min(input.len());
            let (taken, rest) = input.split_at(missing);
            self.partial.extend_from_slice(taken);
            *input = rest;
            if frame_length(&self.partial, limit)? == Some(self.partial.len()) {
                self.spent = true;
                return Ok(Some(&self.partial));
            }
        }
        Ok(None)
    }

    /// Keeps the beginning of a frame, which [`whole_frame`] has left, until [`Deframer::next`] is given the rest.
    pub fn keep(&mut self, beginning: &[u8]) {
        if std::mem::take(&mut self.spent) {
            self.partial.clear();
        }
        self.partial.extend_from_slice(beginning);
    }

    /// Bytes of an unfinished frame.
    pub fn pending(&self) -> usize {
        if self.spent { 0 } else { self.partial.len() }
    }
}

/// Takes the next frame off the front of `input` if it is whole there. So several frames of one input can be
/// borrowed at once. While [`Deframer::pending`] bytes wait for the rest of their frame, the beginning of an input is
/// [`Deframer::next`]'s; what is left in the end is for [`Deframer::keep`].
///
/// # Errors
/// As [`Deframer::next`].
pub fn whole_frame<'i>(input: &mut &'i [u8], limit: usize) -> Result<Option<&'i [u8]>, FrameError> {
    let Some(length) = frame_length(input, limit)? else {
        return Ok(None);
    };
    let Some((frame, rest)) = input.split_at_checked(length) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some(frame))
}

/// Both kinds have their length field within the first four bytes.
const LENGTH_KNOWN_AT: usize = 4;

/// The length of the frame that begins here, `None` if there are too few bytes to tell.
fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = Kind::of(bytes).ok_or(FrameError::Unknown)?;
    let Some(&[_, _, l0, l1]) = bytes.first_chunk::<LENGTH_KNOWN_AT>() else {
        return Ok(None);
    };
    let announced = usize::from(u16::from_be_bytes([l0, l1]));
    let length = match kind {
        // A stream that is out of step fails here, three times of four.
        Kind::Stun if !announced.is_multiple_of(4) => {
            return Err(FrameError::Uneven { length: announced });
        }
        Kind::Stun => Message::HEADER + announced,
        Kind::ChannelData => ChannelData::HEADER + announced + crate::padding(announced),
    };
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames_of(reads: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut deframer = Deframer::default();
        let mut frames = Vec::new();
        for mut read in reads.iter().copied() {
            while let Some(frame) = deframer.next(&mut read, MAX_FRAME)? {
                frames.push(frame.to_vec());
            }
        }
        Ok(frames)
    }

    /// The same where frames that are whole in a read are borrowed all at once.
    fn frames_in_place(reads: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut deframer = Deframer::default();
        let mut frames = Vec::new();
        for mut read in reads.iter().copied() {
            let mut together = Vec::new();
            if deframer.pending() > 0 {
                together.extend(deframer.next(&mut read, MAX_FRAME)?);
            }
            while let Some(frame) = whole_frame(&mut read, MAX_FRAME)? {
                together.push(frame);
            }
            frames.extend(together.into_iter().map(<[u8]>::to_vec));
            deframer.keep(read);
        }
        Ok(frames)
    }

    fn channel_data(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x40, 0x00];
        frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        frame.extend_from_slice(payload);
        frame.resize(frame.len() + crate::padding(payload.len()), 0);
        frame
    }

    fn stun(words: usize) -> Vec<u8> {
        let mut frame = vec![0x00, 0x01];
        frame.extend_from_slice(&(words as u16 * 4).to_be_bytes());
        frame.resize(Message::HEADER + words * 4, 0xAA);
        frame
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_frames(
            sizes in prop::collection::vec((any::<bool>(), 0usize..200), 1..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let frames: Vec<Vec<u8>> = sizes
                .iter()
                .map(|&(is_stun, size)| if is_stun { stun(size / 4) } else { channel_data(&vec![7; size]) })
                .collect();
            let stream = frames.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(frames_of(&reads), Ok(frames.clone()));
            prop_assert_eq!(frames_in_place(&reads), Ok(frames));
        }

        #[test]
        fn no_input_makes_it_hold_more_than_a_frame(
            reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40),
            limit in 20usize..100,
        ) {
            let mut deframer = Deframer::default();
            'stream: for read in &reads {
                let mut read = read.as_slice();
                loop {
                    match deframer.next(&mut read, limit) {
                        Ok(Some(frame)) => prop_assert!(frame.len() <= limit),
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(deframer.pending() <= limit);
            }
        }
    }

    #[test]
    fn a_byte_that_begins_no_frame_ends_the_stream() {
        assert_eq!(
            frames_of(&[b"\x16\x03\x01\x02\x00"]),
            Err(FrameError::Unknown)
        );
        let after_a_frame = [channel_data(b"abc"), vec![0xFF]].concat();
        assert_eq!(frames_of(&[&after_a_frame]), Err(FrameError::Unknown));
    }

    #[test]
    fn a_stun_length_that_is_no_multiple_of_four_ends_the_stream_before_the_body_comes() {
        for length in [1_u8, 2, 3, 5, 255] {
            let header = [0x00, 0x01, 0x00, length];
            let length = usize::from(length);
            let refused = Err(FrameError::Uneven { length });
            assert_eq!(frames_of(&[&header]), refused);
            // The same where it is split, and after frames that are right.
            assert_eq!(frames_of(&[&header[..3], &header[3..]]), refused);
            let behind = [stun(2), channel_data(b"abc"), header.to_vec()].concat();
            assert_eq!(frames_of(&[&behind]), refused);
        }
        // ChannelData has any length.
        assert_eq!(frames_of(&[&channel_data(b"abc")]).unwrap().len(), 1);
    }

    #[test]
    fn an_http_request_looks_like_channel_data_and_meets_the_limit() {
        let mut input = &b"GET / HTTP/1.1\r\n"[..];
        let mut deframer = Deframer::default();
        assert!(matches!(
            deframer.next(&mut input, 2048),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn the_longest_frames_pass() {
        let message = stun(65_532 / 4);
        assert_eq!(message.len(), MAX_FRAME);
        for frame in [message, channel_data(&vec![1; 65_535])] {
            assert_eq!(
                frames_of(&[&frame[..10], &frame[10..]]),
                Ok(vec![frame.clone()])
            );
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_its_body_comes() {
        let frame = channel_data(&[1; 300]);
        let mut input = &frame[..4];
        let mut deframer = Deframer::default();
        let refused = deframer.next(&mut input, 100);
        assert_eq!(
            refused,
            Err(FrameError::TooLong {
                length: 304,
                limit: 100
            })
        );
    }
}
