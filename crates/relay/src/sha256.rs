//! The newer authentication of RFC 8489 §9.2: what is offered of it, and how clients are told.

use wire::attributes::{PasswordAlgorithm, PasswordAlgorithms};
use wire::{Algorithm, Message};

use crate::Reject;

/// Whether keys and integrity may, or must, be of SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sha256 {
    /// Not at all: MD5 and SHA-1 only, as in RFC 5389.
    Off,
    /// Clients that know SHA-256 use it, others go on as before.
    #[default]
    Offer,
    /// Clients that do not know SHA-256 are refused.
    Require,
}

/// How a request was signed, and how its answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Algorithms {
    /// How the key was derived.
    pub(crate) password: PasswordAlgorithm,
    /// The algorithm that signed the request.
    pub(crate) integrity: Algorithm,
    /// The algorithm that signs the answer.
    pub(crate) answer: Algorithm,
}

/// All that a nonce may begin with: nothing, or the nonce cookie and one set of security features.
pub(crate) const PREFIXES: [&str; 3] = ["", "obMatJos2gAAA", "obMatJos2wAAA"];

/// The offer in a server's challenges. It depends on the configuration alone, so the offer that
/// came with a nonce need not be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// The first characters of every nonce: the nonce cookie and the security features.
    /// RFC 8489 §9.2.
    pub(crate) nonce_prefix: &'static str,
    /// The value of PASSWORD-ALGORITHMS.
    pub(crate) algorithms: Option<PasswordAlgorithms<'static>>,
    /// Whether a request may name its user by USERHASH.
    pub(crate) user_hash: bool,
}

impl Offered {
    /// `has_sha256`: every user has a SHA-256 key. `has_names`: every name that may come is known
    /// beforehand, so that a hash can be looked up.
    pub(crate) fn new(policy: Sha256, has_sha256: bool, has_names: bool) -> Self {
        let algorithms = match (policy, has_sha256) {
            (Sha256::Off, _) => {
                return Self {
                    nonce_prefix: PREFIXES[0],
                    algorithms: None,
                    user_hash: false,
                };
            }
            (Sha256::Require, _) => &[0, 2, 0, 0][..],
            (Sha256::Offer, true) => &[0, 2, 0, 0, 0, 1, 0, 0],
            (Sha256::Offer, false) => &[0, 1, 0, 0],
        };
        Self {
            // Bit 0 of 24, the leftmost, is "password algorithms", bit 1 "username anonymity".
            nonce_prefix: if has_names { PREFIXES[2] } else { PREFIXES[1] },
            algorithms: Some(PasswordAlgorithms(algorithms)),
            user_hash: has_names,
        }
    }

    /// The algorithms of a request that is signed with `integrity`. RFC 8489 §9.2.4.
    pub(crate) fn algorithms(
        &self,
        policy: Sha256,
        message: &Message<'_>,
        integrity: Algorithm,
    ) -> Result<Algorithms, Reject> {
        // A client that names no algorithm is an old one, and is answered as such. The RFC would
        // have all others answered with SHA-256; but a client that chooses an algorithm and still
        // signs with SHA-1, which is not allowed, understands only SHA-1.
        let old = (PasswordAlgorithm::MD5, Algorithm::Sha1);
        let chosen = self.chosen(message)?;
        let (password, answer) = chosen.map_or(old, |password| (password, integrity));
        let is_new = password == PasswordAlgorithm::SHA256 && integrity == Algorithm::Sha256;
        if policy == Sha256::Require && !is_new {
            return Err(Reject::Sha256Required);
        }
        Ok(Algorithms {
            password,
            integrity,
            answer,
        })
    }

    /// The algorithm that a request chose, `None` if it names none. RFC 8489 §9.2.4: its list must
    /// be the one that we offered, or an attacker between us has shortened it.
    pub(crate) fn chosen(
        &self,
        message: &Message<'_>,
    ) -> Result<Option<PasswordAlgorithm>, Reject> {
        let Some(offered) = self.algorithms else {
            return Ok(None);
        };
        match (message.get()?, message.get::<PasswordAlgorithms<'_>>()?) {
            (None, None) => Ok(None),
            (Some(chosen), Some(echoed))
                if echoed == offered && offered.iter().any(|it| it == chosen) =>
            {
                Ok(Some(chosen))
            }
            (Some(_), _) | (None, Some(_)) => Err(Reject::BidDown),
        }
    }
}
