//! ERROR-CODE. RFC 8489 §14.8.

use crate::{Attribute, Malformed, TransactionId};

/// ERROR-CODE: a number from 300 to 699 and a phrase for people, which may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// The code.
    pub code: u16,
    /// The reason phrase, for people.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const TYPE: u16 = 0x0009;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
        let malformed = Malformed::Value(Self::TYPE);
        let (&[_, _, class, number], reason) = value.split_first_chunk().ok_or(malformed)?;
        let class = class & 0x07;
        if !(3..=6).contains(&class) || number > 99 {
            return Err(malformed);
        }
        let code = u16::from(class) * 100 + u16::from(number);
        let reason = std::str::from_utf8(reason).map_err(|_| malformed)?;
        Ok(Self { code, reason })
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&[0, 0, (self.code / 100) as u8, (self.code % 100) as u8]);
        value.extend_from_slice(self.reason.as_bytes());
    }
}
