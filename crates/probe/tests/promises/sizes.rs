//! The size of datagrams: the way loses those that are too long, in both directions.

use probe::{Findings, Unknown};

use crate::script::{padded_answer, padding, run};

#[test]
fn the_largest_payload_is_the_largest_tried_that_the_way_takes() {
    for (longest, found) in [
        (65_507, 4_000),
        (1_999, 1_472),
        (1_472, 1_472),
        (1_471, 1_372),
        (1_232, 1_232),
        (600, 548),
    ] {
        let findings = through(longest, |asked| asked);
        assert_eq!(findings.largest_payload, Ok(found), "{longest}");
        assert_eq!(findings.fragments, Ok(found > 1_472), "{longest}");
    }
}

#[test]
fn a_server_that_does_not_pad_its_answers_shows_what_passes_towards_it() {
    for (longest, found) in [(65_507, 4_000), (1_472, 1_472), (1_471, 1_372)] {
        let findings = through(longest, |_| 0);
        assert_eq!(findings.largest_payload, Ok(found), "{longest}");
    }
}

#[test]
fn a_server_that_pads_as_much_as_its_link_takes_cannot_tell_where_that_is_lost() {
    let findings = through(65_507, |_| 1_500);
    assert_eq!(findings.largest_payload, Ok(4_000));
    let findings = through(1_472, |_| 1_500);
    assert_eq!(findings.largest_payload, Err(Unknown::NoPaddedAnswer));
    assert_eq!(findings.fragments, Err(Unknown::NoPaddedAnswer));
}

/// The findings over a way that takes no payload over `longest`, with a server that answers so many
/// bytes of padding with `pads` of them.
fn through(longest: usize, pads: impl Fn(usize) -> usize) -> Findings {
    let (findings, _) = run(None, |_, transmit| {
        let answer = padded_answer(transmit, false, padding(transmit).map(&pads));
        if transmit.payload.len().max(answer.len()) > longest {
            return vec![];
        }
        vec![(transmit.from, transmit.to, answer)]
    });
    findings
}
