//! What of RFC 8489's newer authentication is offered, and how clients are told. RFC 8489 §9.2.

use wire::attributes::{PasswordAlgorithm, PasswordAlgorithms};
use wire::{Algorithm, Message};

use crate::Reject;

/// Whether keys and integrity may, or must, be of SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sha256 {
    /// As RFC 5389 has it: MD5 and SHA-1 only.
    Off,
    /// Clients that know it use it, others go on as before.
    #[default]
    Offer,
    /// Clients that do not know it are refused.
    Require,
}

/// How a request was signed, and how its answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Algorithms {
    /// How the key was derived.
    pub(crate) password: PasswordAlgorithm,
    /// What the key was used for.
    pub(crate) integrity: Algorithm,
    /// What it will be used for.
    pub(crate) answer: Algorithm,
}

/// What the challenges of a server say. It depends on the configuration alone, so that a nonce
/// needs no memory of what was offered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Begins every nonce: the nonce cookie and the security features. RFC 8489 §9.2.
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
                    nonce_prefix: "",
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
            nonce_prefix: if has_names {
                "obMatJos2wAAA"
            } else {
                "obMatJos2gAAA"
            },
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
        // Who says nothing of algorithms is an old client, and answered as one. The RFC would have
        // all others answered with SHA-256; those that choose an algorithm and yet sign with SHA-1,
        // as no client may, understand only their own.
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

    /// The algorithm that a request chose, `None` if it says nothing of it. RFC 8489 §9.2.4: what
    /// it says must be what we offered, or somebody between bids it down.
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
