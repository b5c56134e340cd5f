//! ChannelData, the four-byte framing of the data path. RFC 8656 §12.

use crate::Malformed;

/// A channel number, 0x4000..=0x7FFF.
///
/// RFC 8656 §12 tells new clients to keep to 0x4000..=0x4FFF, so that other protocols on the same
/// port can be told from ChannelData by the first byte. RFC 5766 §11 gave its clients all of this
/// range, and they are still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The smallest one.
    pub const MIN: Self = Self(0x4000);
    /// The largest one.
    pub const MAX: Self = Self(0x7FFF);
    /// The largest one that RFC 8656 gives to new clients.
    pub const MAX_NEW: Self = Self(0x4FFF);

    /// The channel with this number, if it is one.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x7FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A ChannelData message inside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub number: ChannelNumber,
    /// The application data, without padding.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// The fixed header, in bytes.
    pub const HEADER: usize = 4;

    /// Reads a packet; bytes after the announced length are padding. RFC 8656 §12.5.
    ///
    /// # Errors
    /// [`Malformed`] if the number is not that of a channel or the length reaches past the packet.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (&[n0, n1, l0, l1], rest) = packet.split_first_chunk().ok_or(Malformed::Truncated)?;
        let number =
            ChannelNumber::new(u16::from_be_bytes([n0, n1])).ok_or(Malformed::LeadingBits)?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let payload = rest.get(..length).ok_or(Malformed::Length)?;
        Ok(Self { number, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_not_payload() {
        let data = ChannelData::parse(&[0x40, 0x01, 0, 1, b'x', 0, 0, 0]).unwrap();
        assert_eq!((data.number.get(), data.payload), (0x4001, &b"x"[..]));
    }

    #[test]
    fn an_empty_payload_is_a_message() {
        assert_eq!(
            ChannelData::parse(&[0x7F, 0xFF, 0, 0]).unwrap().payload,
            b""
        );
    }

    #[test]
    fn what_reaches_past_the_packet_is_none() {
        assert_eq!(
            ChannelData::parse(&[0x40, 0, 0, 2, b'x']),
            Err(Malformed::Length)
        );
        assert_eq!(ChannelData::parse(&[0x40, 0, 0]), Err(Malformed::Truncated));
        assert_eq!(
            ChannelData::parse(&[0x80, 0, 0, 0]),
            Err(Malformed::LeadingBits)
        );
    }
}
