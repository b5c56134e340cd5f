//! The attributes, each a small type of its own. RFC 8489 §14, RFC 8656 §18, RFC 6062 §6.2,
//! RFC 7635 §6, RFC 8016 §3.3, RFC 5780 §7.

/// An attribute whose value is any bytes.
macro_rules! opaque {
    ($name:ident = $code:literal) => {
        impl<'a> crate::Attribute<'a> for $name<'a> {
            const TYPE: u16 = $code;

            fn decode(value: &'a [u8], _: crate::TransactionId) -> Result<Self, crate::Malformed> {
                Ok(Self(value))
            }

            fn encode(&self, value: &mut Vec<u8>, _: crate::TransactionId) {
                value.extend_from_slice(self.0);
            }
        }
    };
}

mod access_token;
mod address;
mod address_error_code;
mod channel_number;
mod connection_id;
mod data;
mod dont_fragment;
mod error_code;
mod even_port;
mod family;
mod icmp;
mod lifetime;
mod mobility_ticket;
mod nat_discovery;
mod password_algorithm;
mod protection;
mod requested_transport;
mod reservation_token;
mod text;
mod unknown;
mod user_hash;

pub use access_token::AccessToken;
pub use address::{
    AlternateServer, ChangedAddress, MappedAddress, OtherAddress, ResponseOrigin, SourceAddress,
    XorAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
pub use address_error_code::AddressErrorCode;
pub use channel_number::ChannelNumberAttribute;
pub use connection_id::ConnectionId;
pub use data::Data;
pub use dont_fragment::DontFragment;
pub use error_code::ErrorCode;
pub use even_port::EvenPort;
pub use family::{AdditionalAddressFamily, DraftAdditionalAddressFamily, RequestedAddressFamily};
pub use icmp::Icmp;
pub use lifetime::Lifetime;
pub use mobility_ticket::MobilityTicket;
pub use nat_discovery::{ChangeRequest, Padding, ResponsePort};
pub use password_algorithm::{PasswordAlgorithm, PasswordAlgorithms};
pub use protection::{Fingerprint, MessageIntegrity, MessageIntegritySha256};
pub use requested_transport::RequestedTransport;
pub use reservation_token::ReservationToken;
pub use text::{AlternateDomain, Nonce, Realm, Software, ThirdPartyAuthorization, Username};
pub use unknown::UnknownAttributes;
pub use user_hash::UserHash;
