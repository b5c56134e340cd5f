//! The attributes that protect a message; [`crate::Message`] and [`crate::Writer`] handle them.
//! RFC 8489 §14.5-14.7.

/// MESSAGE-INTEGRITY: HMAC-SHA1 over the message before it.
#[derive(Clone, Copy, Debug)]
pub struct MessageIntegrity;

impl MessageIntegrity {
    /// The attribute type.
    pub const TYPE: u16 = 0x0008;
    /// The length of its value.
    pub const LENGTH: usize = 20;
}

/// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256 over the message before it.
#[derive(Clone, Copy, Debug)]
pub struct MessageIntegritySha256;

impl MessageIntegritySha256 {
    /// The attribute type.
    pub const TYPE: u16 = 0x001C;
    /// The length of its value; the RFC lets usages truncate it, and TURN does not.
    pub const LENGTH: usize = 32;
}

/// FINGERPRINT: tells STUN from other protocols on one port.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint;

impl Fingerprint {
    /// The attribute type.
    pub const TYPE: u16 = 0x8028;

    /// The value for a message that begins with these bytes.
    pub fn of(message: &[u8]) -> u32 {
        crc32fast::hash(message) ^ 0x5354_554E
    }
}
