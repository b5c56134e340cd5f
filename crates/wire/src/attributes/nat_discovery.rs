//! The attributes of requests that explore a NAT. RFC 5780 §7.

use crate::{Attribute, Malformed, TransactionId};

/// CHANGE-REQUEST: the address that the answer is to come from. RFC 5780 §7.2, and the same in
/// RFC 3489 §11.2.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeRequest {
    /// From the server's other IP address.
    pub ip: bool,
    /// From the server's other port.
    pub port: bool,
}

impl Attribute<'_> for ChangeRequest {
    const TYPE: u16 = 0x0003;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let flags = value.try_into().map_err(|_| Malformed::Value(Self::TYPE))?;
        let flags = u32::from_be_bytes(flags);
        Ok(Self {
            ip: flags & CHANGE_IP != 0,
            port: flags & CHANGE_PORT != 0,
        })
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        let ip = if self.ip { CHANGE_IP } else { 0 };
        let port = if self.port { CHANGE_PORT } else { 0 };
        value.extend_from_slice(&(ip | port).to_be_bytes());
    }
}

/// RESPONSE-PORT: the port of the client that the answer is to go to, never 0. RFC 5780 §7.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePort(pub u16);

impl Attribute<'_> for ResponsePort {
    const TYPE: u16 = 0x0027;

    /// Some clients count the two bytes after the port as part of the value, others as the padding
    /// that every attribute may have. Both lengths are read.
    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let (&[p0, p1] | &[p0, p1, _, _]) = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        match u16::from_be_bytes([p0, p1]) {
            0 => Err(Malformed::Value(Self::TYPE)),
            port => Ok(Self(port)),
        }
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        let [p0, p1] = self.0.to_be_bytes();
        value.extend_from_slice(&[p0, p1, 0, 0]);
    }
}

/// PADDING: makes a message so long that it travels in fragments. Its bytes have no meaning.
/// RFC 5780 §7.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding<'a>(pub &'a [u8]);

opaque!(Padding = 0x0026);

const CHANGE_IP: u32 = 0x4;
const CHANGE_PORT: u32 = 0x2;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId::new([0; 12]);

    fn encoded<'a>(attribute: &impl Attribute<'a>) -> Vec<u8> {
        let mut value = Vec::new();
        attribute.encode(&mut value, ID);
        value
    }

    #[test]
    fn the_flags_of_change_request_are_those_of_both_rfcs() {
        for (ip, port, flags) in [
            (false, false, 0),
            (true, false, 4),
            (false, true, 2),
            (true, true, 6),
        ] {
            let change = ChangeRequest { ip, port };
            assert_eq!(encoded(&change), [0, 0, 0, flags]);
            assert_eq!(ChangeRequest::decode(&[0, 0, 0, flags], ID), Ok(change));
            // The other bits have no meaning.
            assert_eq!(
                ChangeRequest::decode(&[0xFF, 0xFF, 0xFF, flags | 0xF9], ID),
                Ok(change)
            );
        }
        assert!(ChangeRequest::decode(&[0, 0, 6], ID).is_err());
        assert!(ChangeRequest::decode(&[], ID).is_err());
    }

    #[test]
    fn a_response_port_is_read_with_and_without_the_bytes_behind_it() {
        assert_eq!(encoded(&ResponsePort(0x1234)), [0x12, 0x34, 0, 0]);
        for value in [&[0x12, 0x34][..], &[0x12, 0x34, 7, 7]] {
            assert_eq!(ResponsePort::decode(value, ID), Ok(ResponsePort(0x1234)));
        }
        for value in [&[][..], &[0x12], &[0x12, 0x34, 0], &[0, 0], &[0, 0, 1, 2]] {
            assert!(ResponsePort::decode(value, ID).is_err(), "{value:?}");
        }
    }
}
