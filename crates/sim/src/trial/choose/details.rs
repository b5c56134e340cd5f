//! Numbers, attributes and bytes to choose from: the important ones and their neighbours.

use wire::attributes::{
    DontFragment, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Username,
};
use wire::{AddressFamily, Attribute};

use crate::choices::Choices;
use crate::trial::step::{Ask, Shown};

/// Fills an Allocate.
pub(super) fn allocate(choices: &mut Choices<'_>, ask: &mut Ask, is_stream: bool) {
    ask.transport = Some(17);
    if choices.rarely(if is_stream { 2 } else { 32 }) {
        ask.transport = Some(6);
        if !choices.rarely(8) {
            // As such a client writes it.
            return;
        }
    }
    if choices.flag() {
        ask.lifetime = Some(lifetime(choices));
    }
    options(choices, ask);
    if choices.rarely(3) {
        ask.mobility = Some(None);
    }
    if choices.rarely(8) {
        ask.odd = Some((DontFragment::TYPE, vec![]));
    }
}

/// The options that it may ask for.
fn options(choices: &mut Choices<'_>, ask: &mut Ask) {
    match choices.below(12) {
        0..=4 => {}
        5 => ask.family = Some(family(choices)),
        6 | 7 => ask.additional = Some(Ok(AddressFamily::V6)),
        8 => ask.even_port = Some(false),
        9 | 10 => {
            ask.even_port = Some(true);
            if choices.rarely(4) {
                ask.family = Some(family(choices));
            }
        }
        _ => ask.token = Some(Shown::Heard(choices.below(3) as u8)),
    }
}

pub(super) fn family(choices: &mut Choices<'_>) -> Result<AddressFamily, u8> {
    Ok(choices.pick(&[AddressFamily::V4, AddressFamily::V6]))
}

pub(super) fn lifetime(choices: &mut Choices<'_>) -> u32 {
    choices.pick(&[1, 600, 601, 777, 3600, 3601, u32::MAX])
}

pub(super) fn channel(choices: &mut Choices<'_>) -> u16 {
    choices.weighted(&[
        (6, 0x4000),
        (4, 0x4001),
        (2, 0x4FFF),
        (1, 0x5000),
        (1, 0x7FFF),
    ])
}

/// A payload's length: short, except for a few that do not fit somewhere on their way.
pub(super) fn length(choices: &mut Choices<'_>, most: u16) -> u16 {
    match choices.below(256) {
        0..=3 => most - u16::from(choices.byte() / 4),
        4 => most.min(65_470),
        5..=16 => 1200,
        // About as long as a Data indication on a stream may be.
        17..=20 => 2000 + u16::from(choices.byte() / 16),
        _ => choices.below(9) as u16,
    }
}

pub(super) fn garbage(choices: &mut Choices<'_>) -> Vec<u8> {
    let length = choices.below(40);
    let mut bytes = choices.take(length);
    if choices.flag()
        && let Some(first) = bytes.first_mut()
    {
        // Bytes that look like STUN or ChannelData at first.
        *first = choices.pick(&[0x00, 0x01, 0x40, 0x4F]);
    }
    bytes
}

/// An attribute that may be unknown, misplaced or unreadable.
pub(super) fn odd(choices: &mut Choices<'_>) -> (u16, Vec<u8>) {
    let kind = choices.pick(&ODD);
    let length = choices.pick(&[0, 1, 4, 8]);
    (kind, choices.take(length))
}

/// Known and expected, known and out of place, unknown; required and optional.
const ODD: [u16; 15] = [
    0x0003, 0x0006, 0x000C, 0x000D, 0x0012, 0x0013, 0x0016, 0x0017, 0x0019, 0x001A, 0x0020, 0x0024,
    0x7FFF, 0x8000, 0xC0FE,
];

pub(super) const CREDENTIALS: [u16; 5] = [
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    PasswordAlgorithm::TYPE,
    PasswordAlgorithms::TYPE,
];

pub(super) const FAMILIES: [Result<AddressFamily, u8>; 3] =
    [Ok(AddressFamily::V4), Ok(AddressFamily::V6), Err(0)];
