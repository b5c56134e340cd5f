//! The newer authentication of RFC 8489: what the client uses of it, and when it must not trust an
//! offer. RFC 8489 §9.2.5.

use wire::attributes::{Nonce, PasswordAlgorithm, PasswordAlgorithms};
use wire::{Message, SecurityFeatures};

/// Whether keys and integrity may, or must, be of SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sha256 {
    /// Not at all: MD5 and SHA-1 as in RFC 5389, whatever the server offers.
    Off,
    /// Where the server offers it. A client that has used it once does not go back.
    #[default]
    Accept,
    /// Always: a challenge that does not offer it is not answered.
    Require,
}

/// How a challenge is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// As in RFC 5389.
    Old,
    /// With this algorithm of this offer, under MESSAGE-INTEGRITY-SHA256.
    New {
        algorithm: PasswordAlgorithm,
        offered: PasswordAlgorithms<'a>,
    },
}

impl Sha256 {
    /// How to answer a 401 or a 438; `None` if it must not be answered. `was_new`: the server has
    /// offered algorithms before.
    pub(crate) fn choose<'a>(self, message: &Message<'a>, was_new: bool) -> Option<Choice<'a>> {
        if self == Self::Off {
            return Some(Choice::Old);
        }
        if is_bid_down(message) {
            return None;
        }
        let Some(offered) = message.get::<PasswordAlgorithms<'_>>().ok()? else {
            return (self == Self::Accept && !was_new).then_some(Choice::Old);
        };
        // The best one, wherever it is in the list: RFC 8656 §6.
        let known = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];
        let known = if self == Self::Require {
            &known[..1]
        } else {
            &known
        };
        let mut known = known.iter().copied();
        let algorithm = known.find(|known| offered.iter().any(|it| it == *known))?;
        Some(Choice::New { algorithm, offered })
    }
}

/// Whether an answer's nonce announces PASSWORD-ALGORITHMS but the answer has none.
pub(crate) fn is_bid_down(message: &Message<'_>) -> bool {
    let Ok(Some(Nonce(nonce))) = message.get() else {
        return false;
    };
    let announced = SecurityFeatures::of(nonce).is_some_and(|it| it.password_algorithms);
    announced && !matches!(message.get::<PasswordAlgorithms<'_>>(), Ok(Some(_)))
}
