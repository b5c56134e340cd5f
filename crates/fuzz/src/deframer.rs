//! A byte stream: however it is split, the frames are the same, and at most one frame is held.

use wire::stream::{Deframer, FrameError, MAX_FRAME};

use crate::input::Input;

/// The first bytes say how long a frame may be and where the stream is split.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limit = match input.byte() {
        0 => MAX_FRAME,
        limit => usize::from(limit) * 8,
    };
    let cuts: [u8; 8] = std::array::from_fn(|_| input.byte());
    let stream = input.rest();
    let whole = frames(std::iter::once(stream), limit);
    let split = frames(pieces(stream, cuts), limit);
    assert_eq!(whole, split);
    let single = frames(stream.chunks(1), limit);
    assert_eq!(whole, single);
    assert!(whole.0.iter().map(Vec::len).sum::<usize>() <= stream.len());
}

/// The frames of a stream until it ends or breaks, and how it broke.
fn frames<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match deframer.next(&mut piece, limit) {
                Ok(Some(frame)) => {
                    assert!(!frame.is_empty() && frame.len() <= limit);
                    frames.push(frame.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(piece.is_empty(), "all of it is taken");
        // A stream that is out of step fails before the bytes of a whole frame are held.
        assert!(deframer.pending() < limit.max(4));
    }
    (frames, None)
}

/// Cuts a stream after so many bytes, over and over; zero is the empty read of a closed window.
fn pieces(mut stream: &[u8], cuts: [u8; 8]) -> impl Iterator<Item = &[u8]> {
    let mut cuts = cuts.into_iter().chain(std::iter::repeat(1)).enumerate();
    std::iter::from_fn(move || {
        if stream.is_empty() {
            return None;
        }
        let (turn, cut) = cuts.next()?;
        // After the cuts of the input, larger and larger pieces.
        let length = usize::from(cut)
            .max(turn.saturating_sub(8))
            .min(stream.len());
        let (piece, rest) = stream.split_at(length);
        stream = rest;
        Some(piece)
    })
}
