//! A message as others may see it: without credentials.

use wire::attributes::{
    AdditionalAddressFamily, AddressErrorCode, AlternateDomain, AlternateServer, ChangeRequest,
    ChangedAddress, ChannelNumberAttribute, ConnectionId, DontFragment, ErrorCode, EvenPort,
    Fingerprint, Lifetime, MappedAddress, Nonce, OtherAddress, PasswordAlgorithm,
    PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport, ResponseOrigin,
    ResponsePort, Software, SourceAddress, ThirdPartyAuthorization, UnknownAttributes, UserHash,
    Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use wire::{Attribute, Message, padding};

/// The message with zeros for every value but those that are known to open nothing. Lengths stay, and
/// FINGERPRINT fits what is left.
pub(super) fn disclosed(message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let mut at = Message::HEADER;
    while let Some(&[t0, t1, l0, l1]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let kind = u16::from_be_bytes([t0, t1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (before, rest) = bytes.split_at_mut(at);
        let Some(value) = rest.get_mut(4..4 + length) else {
            break;
        };
        if kind == Fingerprint::TYPE {
            if let Ok(value) = <&mut [u8; 4]>::try_from(value) {
                *value = Fingerprint::of(before).to_be_bytes();
            }
        } else if !OPEN_NOTHING.contains(&kind) {
            value.fill(0);
        }
        at += 4 + length + padding(length);
    }
    bytes
}

/// USERNAME is among them: a trace is asked for by it, and the secret of a time-limited one is in the
/// password. NONCE is of no use without the password.
const OPEN_NOTHING: &[u16] = &[
    AdditionalAddressFamily::TYPE,
    AddressErrorCode::TYPE,
    AlternateDomain::TYPE,
    AlternateServer::TYPE,
    ChangeRequest::TYPE,
    ChangedAddress::TYPE,
    ChannelNumberAttribute::TYPE,
    // Only the user whose allocation has the connection can bind it.
    ConnectionId::TYPE,
    DontFragment::TYPE,
    ErrorCode::TYPE,
    EvenPort::TYPE,
    Lifetime::TYPE,
    MappedAddress::TYPE,
    Nonce::TYPE,
    OtherAddress::TYPE,
    PasswordAlgorithm::TYPE,
    PasswordAlgorithms::TYPE,
    Realm::TYPE,
    RequestedAddressFamily::TYPE,
    RequestedTransport::TYPE,
    ResponseOrigin::TYPE,
    ResponsePort::TYPE,
    Software::TYPE,
    SourceAddress::TYPE,
    ThirdPartyAuthorization::TYPE,
    UnknownAttributes::TYPE,
    UserHash::TYPE,
    Username::TYPE,
    XorMappedAddress::TYPE,
    XorPeerAddress::TYPE,
    XorRelayedAddress::TYPE,
];
