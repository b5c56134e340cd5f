//! A byte stream: however it is split, the frames are the same, and at most one frame is held.

use wire::stream::{Deframer, FrameError, MAX_FRAME, whole_frame};

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
    let whole = frames(std::iter::once(stream), limit, one_by_one);
    assert_eq!(whole, frames(pieces(stream, cuts), limit, one_by_one));
    assert_eq!(whole, frames(stream.chunks(1), limit, one_by_one));
    assert_eq!(whole, frames(pieces(stream, cuts), limit, in_place));
    assert!(whole.0.iter().map(Vec::len).sum::<usize>() <= stream.len());
}

/// The frames of a stream until it ends or breaks, and how it broke. `take` takes those of a piece.
fn frames<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limit: usize,
    take: impl Fn(&mut Deframer, &'a [u8], usize, &mut Frames) -> Result<(), FrameError>,
) -> (Frames, Option<FrameError>) {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    for piece in pieces {
        if let Err(error) = take(&mut deframer, piece, limit, &mut frames) {
            return (frames, Some(error));
        }
        // A stream that is out of step fails before the bytes of a whole frame are held.
        assert!(deframer.pending() < limit.max(4));
    }
    (frames, None)
}

type Frames = Vec<Vec<u8>>;

fn one_by_one(
    deframer: &mut Deframer,
    mut piece: &[u8],
    limit: usize,
    frames: &mut Frames,
) -> Result<(), FrameError> {
    while let Some(frame) = deframer.next(&mut piece, limit)? {
        assert!(!frame.is_empty() && frame.len() <= limit);
        frames.push(frame.to_vec());
    }
    assert!(piece.is_empty(), "all of it is taken");
    Ok(())
}

/// The same where frames that are whole in a piece are borrowed all at once.
fn in_place(
    deframer: &mut Deframer,
    mut piece: &[u8],
    limit: usize,
    frames: &mut Frames,
) -> Result<(), FrameError> {
    let mut together = Vec::new();
    let mut next = if deframer.pending() > 0 {
        deframer.next(&mut piece, limit)
    } else {
        whole_frame(&mut piece, limit)
    };
    let outcome = loop {
        match next {
            Ok(Some(frame)) => together.push(frame),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        next = whole_frame(&mut piece, limit);
    };
    frames.extend(together.into_iter().map(<[u8]>::to_vec));
    outcome?;
    deframer.keep(piece);
    Ok(())
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
