//! Bytes to STUN and TURN messages and back. RFC 8489, RFC 8656.
//!
//! Reading is zero-copy: [`Message`] checks the shape of a packet once and then gives typed
//! [`attributes`] on demand, borrowed from the packet. Writing goes into a buffer of the caller's
//! through [`Writer`]. Nothing here knows a socket, a clock, a policy or a log.
//!
//! One rule holds everywhere: an attribute behind MESSAGE-INTEGRITY does not count. It is not
//! signed, so [`Message::get`] does not return it.

mod address_family;
mod attribute;
pub mod attributes;
mod channel_data;
mod integrity;
mod malformed;
mod message;
mod method;
mod nested;
mod not_one_host;
mod relay_header;
mod security_features;
pub mod stream;
mod transaction;
mod transport;
mod writer;

pub use address_family::AddressFamily;
pub use attribute::Attribute;
pub use channel_data::{ChannelData, ChannelNumber};
pub use integrity::{Algorithm, IntegrityError, Key, MacKey};
pub use malformed::Malformed;
pub use message::{Attributes, Message, RawAttribute};
pub use method::{Class, Method};
pub use nested::{is_turn, turn_headers};
pub use not_one_host::NotOneHost;
pub use relay_header::RelayHeader;
pub use security_features::{NONCE_COOKIE, SecurityFeatures};
pub use transaction::TransactionId;
pub use transport::Transport;
pub use writer::Writer;

/// The kind of message that the first byte of a packet announces. RFC 7983, with the channel range
/// of RFC 5766 §11: see [`ChannelNumber`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0..=3: a STUN message.
    Stun,
    /// 64..=127: ChannelData.
    ChannelData,
}

impl Kind {
    /// The kind of a packet, or `None` if it is neither of the two or empty.
    pub fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? {
            0x00..=0x03 => Some(Self::Stun),
            0x40..=0x7F => Some(Self::ChannelData),
            _ => None,
        }
    }
}

/// Zero bytes that follow a value of `length` bytes up to the next multiple of four.
/// RFC 8489 §14, RFC 8656 §12.5.
pub const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}
