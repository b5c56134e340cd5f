//! ADDRESS-ERROR-CODE. RFC 8656 §18.12.

use crate::{AddressFamily, Attribute, Malformed, TransactionId};

/// ADDRESS-ERROR-CODE: why a dual allocation lacks the address of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressErrorCode<'a> {
    /// The family that was asked for and not granted.
    pub family: AddressFamily,
    /// The code, as in ERROR-CODE.
    pub code: u16,
    /// The reason phrase, for people.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const TYPE: u16 = 0x8001;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
        let malformed = Malformed::Value(Self::TYPE);
        let (&[family, _, class, number], reason) = value.split_first_chunk().ok_or(malformed)?;
        let class = class & 0x07;
        if !(3..=6).contains(&class) || number > 99 {
            return Err(malformed);
        }
        Ok(Self {
            family: AddressFamily::from_code(family).ok_or(malformed)?,
            code: u16::from(class) * 100 + u16::from(number),
            reason: std::str::from_utf8(reason).map_err(|_| malformed)?,
        })
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        let (class, number) = ((self.code / 100) as u8, (self.code % 100) as u8);
        value.extend_from_slice(&[self.family.code(), 0, class, number]);
        value.extend_from_slice(self.reason.as_bytes());
    }
}
