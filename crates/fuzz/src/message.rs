//! A STUN message: one that is read can be written and read again, and no attribute counts that is
//! not signed.

use wire::attributes::{
    AccessToken, AdditionalAddressFamily, AddressErrorCode, AlternateDomain, AlternateServer,
    ChannelNumberAttribute, Data, DontFragment, DraftAdditionalAddressFamily, ErrorCode, EvenPort,
    Icmp, Lifetime, MappedAddress, MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms,
    Realm, RequestedAddressFamily, RequestedTransport, ReservationToken, Software,
    ThirdPartyAuthorization, UnknownAttributes, UserHash, Username, XorMappedAddress,
    XorPeerAddress, XorRelayedAddress,
};
use wire::{Algorithm, Attribute, Key, MacKey, Message, Writer};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    assert_eq!(message.as_bytes(), bytes);
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
        let key = Key::short_term("nobody has signed with this").schedule(algorithm);
        assert!(message.verify(&key).is_err(), "signed by nobody");
        assert_written_again(&message, &key);
    }
    assert_attributes(&message);
    message.fingerprint_matches();
    assert!(message.unknown_required(&[]).all(|kind| kind < 0x8000));
}

/// The attributes that count, written again with a signature and a fingerprint, are the same.
fn assert_written_again(message: &Message<'_>, key: &MacKey) {
    let attributes = || message.attributes().map(|found| (found.kind, found.value));
    let length: usize = attributes().map(|(_, value)| value.len() + 8).sum();
    if length > LONGEST {
        // The signature would not fit any more.
        return;
    }
    let mut bytes = b"before".to_vec();
    let mut writer = Writer::new(
        &mut bytes,
        message.method(),
        message.class(),
        message.transaction(),
    );
    for (kind, value) in attributes() {
        writer.put_raw(kind, value);
    }
    writer.sign(key).put_raw(0x7FFF, b"unsigned").fingerprint();
    let again = Message::parse(&bytes[6..]).expect("what is written can be read");
    assert_eq!(again.method(), message.method());
    assert_eq!(again.class(), message.class());
    assert_eq!(again.transaction(), message.transaction());
    assert!(
        again
            .attributes()
            .map(|found| (found.kind, found.value))
            .eq(attributes())
    );
    assert_eq!(again.verify(key), Ok(()));
    assert!(again.has_fingerprint() && again.fingerprint_matches());
}

/// Every typed attribute is read, and written the same if its form has but one spelling.
fn assert_attributes(message: &Message<'_>) {
    assert_round_trip::<AccessToken<'_>>(message);
    assert_round_trip::<AdditionalAddressFamily>(message);
    assert_round_trip::<AddressErrorCode<'_>>(message);
    assert_round_trip::<AlternateServer>(message);
    assert_round_trip::<AlternateDomain<'_>>(message);
    assert_round_trip::<ChannelNumberAttribute>(message);
    assert_round_trip::<Data<'_>>(message);
    assert_round_trip::<DontFragment>(message);
    assert_round_trip::<DraftAdditionalAddressFamily>(message);
    assert_round_trip::<ErrorCode<'_>>(message);
    assert_round_trip::<EvenPort>(message);
    assert_round_trip::<Icmp>(message);
    assert_round_trip::<Lifetime>(message);
    assert_round_trip::<MappedAddress>(message);
    assert_round_trip::<MobilityTicket<'_>>(message);
    assert_round_trip::<Nonce<'_>>(message);
    assert_round_trip::<PasswordAlgorithm>(message);
    assert_round_trip::<PasswordAlgorithms<'_>>(message);
    assert_round_trip::<Realm<'_>>(message);
    assert_round_trip::<RequestedAddressFamily>(message);
    assert_round_trip::<RequestedTransport>(message);
    assert_round_trip::<ReservationToken>(message);
    assert_round_trip::<Software<'_>>(message);
    assert_round_trip::<ThirdPartyAuthorization<'_>>(message);
    assert_round_trip::<UnknownAttributes>(message);
    assert_round_trip::<UserHash>(message);
    assert_round_trip::<Username<'_>>(message);
    assert_round_trip::<XorMappedAddress>(message);
    assert_round_trip::<XorPeerAddress>(message);
    assert_round_trip::<XorRelayedAddress>(message);
}

/// An attribute that is decoded, encoded and decoded again is the same: only reserved bits may
/// change.
fn assert_round_trip<'a, A: Attribute<'a>>(message: &Message<'a>) {
    let transaction = message.transaction();
    for found in message.attributes().filter(|found| found.kind == A::TYPE) {
        let Ok(attribute) = A::decode(found.value, transaction) else {
            continue;
        };
        let mut once = Vec::new();
        attribute.encode(&mut once, transaction);
        assert_eq!(once.len(), found.value.len());
        let lost = found.value.iter().zip(&once).filter(|(was, is)| was != is);
        assert!(
            lost.count() <= RESERVED,
            "{:?} became {once:?}",
            found.value
        );
    }
}

/// Leaves room for a signature and a fingerprint within the length field.
const LONGEST: usize = 65_000;

/// No attribute has more bytes that a reader must ignore: three in REQUESTED-TRANSPORT.
const RESERVED: usize = 3;
