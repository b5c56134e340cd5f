//! Secrets that seals and tables are keyed with: one of the process, and one that several servers
//! may share for their nonces.

use std::fmt;

use ring::hmac;

use crate::NonceSecret;

/// Random, the same for all shards of a process and known to no other process. It seals tickets of
/// mobility and keys the table of the amplification budget. It seals the nonces too, unless other
/// servers have to take them.
#[derive(Clone, Copy)]
pub struct ProcessSecret(pub [u8; 32]);

impl ProcessSecret {
    /// A key for one use, which reveals nothing about the keys for others.
    pub(crate) fn derived(&self, label: &[u8]) -> [u8; 32] {
        derived(&self.0, label)
    }
}

impl fmt::Debug for ProcessSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessSecret(***)")
    }
}

impl NonceSecret {
    /// A secret from a text that several servers know, so that each takes the nonces of the others.
    ///
    /// The key is derived under a label of its own, so that it is the key of nothing else. That does
    /// not hide the text: every stranger gets MACs made with the key and can check guesses at the
    /// text with them, as fast as it can compute. So the text has to be random, and no other secret.
    pub fn shared(text: &[u8]) -> Self {
        Self(derived(text, b"nonces of several servers"))
    }
}

fn derived(secret: &[u8], label: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, label);
    *tag.as_ref().first_chunk().expect("a tag has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_of_the_process_secret_has_another_key() {
        let secret = ProcessSecret([7; 32]);
        assert_ne!(secret.derived(b"one"), secret.derived(b"other"));
        assert_ne!(secret.derived(b"one"), secret.0);
        assert_ne!(
            secret.derived(b"one"),
            ProcessSecret([8; 32]).derived(b"one")
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", ProcessSecret([7; 32])),
            "ProcessSecret(***)"
        );
    }
}
