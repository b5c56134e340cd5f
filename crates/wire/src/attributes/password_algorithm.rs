//! PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS. RFC 8489 §14.11, §14.12.

use crate::{Attribute, Malformed, TransactionId};

/// PASSWORD-ALGORITHM: how a key is derived from a password, by its registry number. The algorithms
/// known here have no parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordAlgorithm(pub u16);

impl PasswordAlgorithm {
    /// MD5 over `username:realm:password`. RFC 8489 §18.5.1.1.
    pub const MD5: Self = Self(0x0001);
    /// SHA-256 over the same. RFC 8489 §18.5.1.2.
    pub const SHA256: Self = Self(0x0002);
}

impl Attribute<'_> for PasswordAlgorithm {
    const TYPE: u16 = 0x001D;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let &[n0, n1, 0, 0] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        Ok(Self(u16::from_be_bytes([n0, n1])))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0.to_be_bytes());
        value.extend_from_slice(&[0, 0]);
    }
}

/// PASSWORD-ALGORITHMS: the algorithms that a server offers, the best first. A client echoes them,
/// so that an attacker between them cannot have taken one away. The bytes are kept as they are:
/// only the same bytes are an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordAlgorithms<'a>(pub &'a [u8]);

impl<'a> PasswordAlgorithms<'a> {
    /// The algorithms in their order, without their parameters. An entry that is cut short, and all
    /// after it, are left out.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&[n0, n1, l0, l1], behind) = rest.split_first_chunk()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            rest = behind.get(length + crate::padding(length)..)?;
            Some(PasswordAlgorithm(u16::from_be_bytes([n0, n1])))
        })
    }
}

opaque!(PasswordAlgorithms = 0x8002);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_algorithms_is_read_past_their_parameters() {
        let list = [0, 7, 0, 3, b'a', b'b', b'c', 0, 0, 2, 0, 0, 0, 1, 0, 0];
        let read = |list| {
            let numbers = PasswordAlgorithms(list).iter().map(|it| it.0);
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(read(&list), [7, 2, 1]);
        // Cut short: the parameters, an entry, everything.
        assert_eq!(read(&list[..7]), [0; 0]);
        assert_eq!(read(&list[..11]), [7]);
        assert_eq!(read(&[]), [0; 0]);
        assert_eq!(read(&[0, 2, 0xFF, 0xFF]), [0; 0]);
    }
}
