//! Tickets: a number that only this server can read. RFC 8016 §3.1.2, §5.
//!
//! A ticket is eight bytes, unlike those of any other ticket, encrypted and authenticated under
//! keys that are derived from the secret of the process. So it tells a reader nothing, and nobody
//! else can make or change one. The construction is that of a synthetic IV (RFC 5297) with
//! HMAC-SHA256: the tag over the plaintext is sent, and it also keys the pad that hides the
//! plaintext. So a ticket takes neither memory nor random numbers, and comes out the same whenever
//! it is made again.
//!
//! It is text of 32 characters, because coturn's client keeps it as a C string of at most that
//! length: the nonce and tag of AES-GCM alone would be longer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::ProcessSecret;

/// The content of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The allocation, by its [`crate::mobility::Mobile::number`], which is below 2^40.
    pub(crate) number: u64,
    /// Which of the allocation's tickets it is: the one after so many moves, modulo 2^24.
    pub(crate) moves: u32,
}

/// A ticket as the client gets it.
pub(crate) type Sealed = [u8; TEXT];

/// Seals and opens tickets.
#[derive(Debug)]
pub(crate) struct Tickets {
    tag: hmac::Key,
    pad: hmac::Key,
}

impl Tickets {
    pub(crate) fn new(secret: &ProcessSecret) -> Self {
        let derived = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &secret.derived(label));
        Self {
            tag: derived(b"mobility ticket, authentication"),
            pad: derived(b"mobility ticket, encryption"),
        }
    }

    pub(crate) fn seal(&self, ticket: Ticket) -> Sealed {
        let plain = ticket.plain();
        let tag = self.tag(plain);
        let hidden = plain ^ self.pad(&tag);
        let mut sealed = [0; SEALED];
        sealed[..TAG].copy_from_slice(&tag);
        sealed[TAG..].copy_from_slice(&hidden.to_be_bytes());
        let mut text = [0; TEXT];
        URL_SAFE_NO_PAD
            .encode_slice(sealed, &mut text)
            .expect("24 bytes are 32 characters");
        text
    }

    /// The content of a ticket, if it is one of ours.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Ticket> {
        let mut sealed = [0; SEALED];
        // Lengths first: the decoder must not be given more than fits.
        if text.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(text, &mut sealed) != Ok(SEALED) {
            return None;
        }
        let (tag, hidden) = sealed.split_first_chunk::<TAG>()?;
        let plain = u64::from_be_bytes(hidden.try_into().ok()?) ^ self.pad(tag);
        bool::from(self.tag(plain).ct_eq(tag)).then(|| Ticket::of(plain))
    }

    fn tag(&self, plain: u64) -> [u8; TAG] {
        first_chunk(&hmac::sign(&self.tag, &plain.to_be_bytes()))
    }

    fn pad(&self, tag: &[u8; TAG]) -> u64 {
        u64::from_be_bytes(first_chunk(&hmac::sign(&self.pad, tag)))
    }
}

impl Ticket {
    const fn plain(self) -> u64 {
        (self.number << MOVES_BITS) | (self.moves & MOVES_MASK) as u64
    }

    const fn of(plain: u64) -> Self {
        Self {
            number: plain >> MOVES_BITS,
            moves: plain as u32 & MOVES_MASK,
        }
    }

    /// The ticket that comes with the allocation.
    pub(crate) const fn first(number: u64) -> Self {
        Self { number, moves: 0 }
    }

    /// The number of moves after one more. It begins again after 2^24, when no client still has the
    /// first ticket.
    pub(crate) const fn next(moves: u32) -> u32 {
        (moves + 1) & MOVES_MASK
    }
}

fn first_chunk<const N: usize>(tag: &hmac::Tag) -> [u8; N] {
    *tag.as_ref().first_chunk().expect("a tag has 32 bytes")
}

const MOVES_BITS: u32 = 24;
const MOVES_MASK: u32 = (1 << MOVES_BITS) - 1;
/// 128 bits: online guessing is hopeless.
const TAG: usize = 16;
const SEALED: usize = TAG + 8;
const TEXT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket = Ticket {
        number: (1 << 40) - 1,
        moves: 7,
    };

    #[test]
    fn a_ticket_opens_with_the_secret_that_sealed_it_and_no_other() {
        let tickets = Tickets::new(&ProcessSecret([1; 32]));
        assert_eq!(tickets.open(&tickets.seal(TICKET)), Some(TICKET));
        let others = Tickets::new(&ProcessSecret([2; 32]));
        assert_eq!(others.open(&tickets.seal(TICKET)), None);
    }

    #[test]
    fn no_bit_of_a_ticket_can_change() {
        let tickets = Tickets::new(&ProcessSecret([1; 32]));
        let sealed = tickets.seal(TICKET);
        for bit in 0..TEXT * 8 {
            let mut forged = sealed;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tickets.open(&forged), None, "bit {bit}");
        }
        for length in [0, 1, 24, 31, 33, 500] {
            assert_eq!(tickets.open(&sealed.repeat(20)[..length]), None);
        }
    }

    #[test]
    fn the_next_ticket_has_nothing_in_common_with_the_last() {
        let tickets = Tickets::new(&ProcessSecret([1; 32]));
        let last = tickets.seal(TICKET);
        let next = tickets.seal(Ticket {
            moves: Ticket::next(TICKET.moves),
            ..TICKET
        });
        let same = last.iter().zip(&next).filter(|(a, b)| a == b).count();
        assert!(same <= 4, "{same} of 32 characters");
        assert_eq!(Ticket::next(MOVES_MASK), 0);
    }

    #[test]
    fn a_ticket_is_text_without_a_nul() {
        let sealed = Tickets::new(&ProcessSecret([1; 32])).seal(TICKET);
        assert!(sealed.iter().all(u8::is_ascii_graphic));
    }
}
