//! USERHASH. RFC 8489 §14.4.

use crate::{Attribute, Malformed, TransactionId};
use sha2::{Digest, Sha256};

/// USERHASH: the signer, by a hash that only somebody who knows all names can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// The hash of a name in a realm, both already prepared (OpaqueString).
    pub fn of(username: &str, realm: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [username, ":", realm] {
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl Attribute<'_> for UserHash {
    const TYPE: u16 = 0x001E;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let hash = value.try_into();
        hash.map(Self).map_err(|_| Malformed::Value(Self::TYPE))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0);
    }
}
