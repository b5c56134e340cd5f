//! The first bytes of a stream: what they tell does not depend on how they arrive, it is known in time,
//! and no more than a bound is kept for it.

use net::fuzzing::{FirstBytes, MOST};

use crate::input::Input;

/// The first bytes say where the stream comes from, and where it is cut.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_proxy = input.flag();
    let cuts: [u8; 8] = std::array::from_fn(|_| input.byte());
    // A zero stands for a long piece: a hello in two segments.
    let cuts = cuts.map(|cut| match cut {
        0 => 1_400,
        cut => usize::from(cut),
    });
    let copies = usize::from(input.byte());
    let rest = input.rest();
    // Streams that are too long are made of short inputs.
    let stream = [rest, &rest.repeat(copies.min(2 * MOST / rest.len().max(1)))].concat();
    let whole = told(&mut FirstBytes::new(is_proxy), [&stream[..]]);
    // Byte by byte, unless that would take its time.
    let small = stream.chunks(1 + stream.len() / 2_048);
    assert_eq!(whole, told(&mut FirstBytes::new(is_proxy), small));
    let cut = told(&mut FirstBytes::new(is_proxy), pieces(&stream, cuts));
    assert_eq!(whole, cut);
    assert!(stream.len() < 2 * MOST || whole.1, "it is known in time");
}

/// All that is told of a stream, and whether that is the end of it.
fn told<'a>(
    first: &mut FirstBytes,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, bool) {
    for mut piece in pieces {
        while !first.has_ended() && !piece.is_empty() {
            let taken = first.take(piece);
            assert!(taken > 0 || first.has_ended(), "more is wanted");
            assert!(first.kept() <= MOST);
            piece = &piece[taken..];
        }
    }
    (first.told().to_vec(), first.has_ended())
}

fn pieces(mut stream: &[u8], cuts: [usize; 8]) -> impl Iterator<Item = &[u8]> {
    let mut cuts = cuts.into_iter().cycle();
    std::iter::from_fn(move || {
        let length = cuts.next()?.min(stream.len());
        let (piece, rest) = stream.split_at(length);
        stream = rest;
        (length > 0).then_some(piece)
    })
}
