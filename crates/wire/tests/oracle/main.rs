//! `stun-rs` as an independent witness: each of the two reads messages that the other wrote, and
//! both agree on which packets are messages.
//!
//! These are the differences between the two:
//! - stun-rs reads every attribute of a message and refuses all of it for one that it cannot read,
//!   even behind MESSAGE-INTEGRITY; here a value is read when it is asked for.
//! - stun-rs knows the magic cookie only; here RFC 3489 is read too.
//! - stun-rs leaves bytes behind the message to its caller; here a packet is one message.
//! - stun-rs names each type in UNKNOWN-ATTRIBUTES once; here the list is as it came.
//! - stun-rs takes values that are longer than their attribute allows: [`is_longer_than_allowed`].

mod sample;

use proptest::prelude::*;
use sample::{Sample, sample};
use stun_rs::attributes::stun;
use stun_rs::{
    Algorithm as TheirAlgorithm, AlgorithmId, DecoderContextBuilder, HMACKey, MessageClass,
    MessageDecoderBuilder, MessageEncoder, MessageMethod, StunMessage, StunMessageBuilder,
};
use wire::attributes::*;
use wire::{
    Algorithm, Attribute, Class, IntegrityError, Key, Message, Method, RawAttribute, TransactionId,
    Writer,
};

/// How a message ends.
#[derive(Clone, Copy, Debug)]
struct Protection {
    algorithm: Option<Algorithm>,
    fingerprint: bool,
}

fn write(header: Header, samples: &[Sample], protection: Protection) -> Vec<u8> {
    let (method, class, id) = header;
    let mut packet = Vec::new();
    let mut writer = Writer::new(&mut packet, Method::from_code(method), class, id_of(id));
    for sample in samples {
        sample.put(&mut writer);
    }
    if let Some(algorithm) = protection.algorithm {
        writer.sign(&Key::short_term(PASSWORD).schedule(algorithm));
    }
    if protection.fingerprint {
        writer.fingerprint();
    }
    packet
}

fn write_theirs(header: Header, samples: &[Sample], protection: Protection) -> Vec<u8> {
    let (method, class, id) = header;
    let method = MessageMethod::try_from(method).expect("twelve bits");
    let mut builder =
        StunMessageBuilder::new(method, their_class(class)).with_transaction_id(id.into());
    for sample in samples.iter().filter_map(Sample::theirs) {
        builder = builder.with_attribute(sample);
    }
    let key = their_key();
    builder = match protection.algorithm {
        Some(Algorithm::Sha1) => builder.with_attribute(stun::MessageIntegrity::new(key)),
        Some(Algorithm::Sha256) => builder.with_attribute(stun::MessageIntegritySha256::new(key)),
        None => builder,
    };
    if protection.fingerprint {
        builder = builder.with_attribute(stun::Fingerprint::default());
    }
    let mut packet = vec![0; 8192];
    let encoder = MessageEncoder::default();
    let length = encoder.encode(&mut packet, &builder.build());
    packet.truncate(length.expect("eight kilobytes suffice"));
    packet
}

/// The message that stun-rs reads in a packet, protection unchecked, and its length.
fn read_theirs(packet: &[u8]) -> Option<(StunMessage, usize)> {
    let context = DecoderContextBuilder::default().with_unknown_data().build();
    let decoder = MessageDecoderBuilder::default().with_context(context);
    decoder.build().decode(packet).ok()
}

/// Whether stun-rs finds the protection right, if there is any.
fn is_valid_theirs(packet: &[u8]) -> bool {
    let context = DecoderContextBuilder::default()
        .with_key(their_key())
        .with_validation();
    let decoder = MessageDecoderBuilder::default().with_context(context.build());
    decoder.build().decode(packet).is_ok()
}

/// Whether the protection is right here, if there is any.
fn is_valid(message: &Message<'_>) -> bool {
    let mut algorithms = [Algorithm::Sha1, Algorithm::Sha256].into_iter();
    let verified = algorithms.any(|algorithm| verify(message, algorithm).is_ok());
    message.fingerprint_matches() && (verified || !message.is_signed())
}

fn verify(message: &Message<'_>, algorithm: Algorithm) -> Result<(), IntegrityError> {
    message.verify(&Key::short_term(PASSWORD).schedule(algorithm))
}

/// Compares a message with the one that stun-rs read from the same bytes.
fn assert_same(message: &Message<'_>, theirs: &StunMessage) {
    assert_eq!(message.method().code(), theirs.method().as_u16());
    assert_eq!(their_class(message.class()), theirs.class());
    let id = message.transaction();
    assert_eq!(&id.as_bytes()[4..], &theirs.transaction_id()[..]);

    let (mut content, mut protection) = (Vec::new(), [false; 3]);
    for attribute in theirs.attributes() {
        match attribute.attribute_type().as_u16() {
            MessageIntegrity::TYPE => protection[0] = true,
            MessageIntegritySha256::TYPE => protection[1] = true,
            Fingerprint::TYPE => protection[2] = true,
            _ => content.push(attribute),
        }
    }
    let has = |algorithm| verify(message, algorithm) != Err(IntegrityError::Missing);
    let (sha1, sha256) = (has(Algorithm::Sha1), has(Algorithm::Sha256));
    assert_eq!([sha1, sha256, message.has_fingerprint()], protection);
    assert_eq!(message.is_signed(), sha1 || sha256);
    assert_eq!(message.attributes().count(), content.len());
    for (raw, theirs) in message.attributes().zip(content) {
        match Sample::read(raw, id) {
            Ok(sample) => assert!(sample.is(theirs), "{sample:?} here, {theirs:?} there"),
            Err(_) => assert!(is_longer_than_allowed(raw), "{theirs:?} is unreadable here"),
        }
    }
}

/// Values that are too long: stun-rs reads the front of them, here they are malformed.
fn is_longer_than_allowed(raw: RawAttribute<'_>) -> bool {
    let allowed = match raw.kind {
        MappedAddress::TYPE
        | XorMappedAddress::TYPE
        | AlternateServer::TYPE
        | XorPeerAddress::TYPE
        | XorRelayedAddress::TYPE
        | ResponseOrigin::TYPE
        | OtherAddress::TYPE => match raw.value {
            [_, 0x01, ..] => 8,
            _ => 20,
        },
        DontFragment::TYPE => 0,
        EvenPort::TYPE => 1,
        ReservationToken::TYPE => 8,
        Lifetime::TYPE
        | ChannelNumberAttribute::TYPE
        | RequestedTransport::TYPE
        | RequestedAddressFamily::TYPE => 4,
        _ => return false,
    };
    raw.value.len() > allowed
}

fn their_key() -> HMACKey {
    HMACKey::new_short_term(PASSWORD).expect("plain ASCII")
}

fn id_of(id: [u8; 12]) -> TransactionId {
    TransactionId::new(id)
}

fn their_class(class: Class) -> MessageClass {
    match class {
        Class::Request => MessageClass::Request,
        Class::Indication => MessageClass::Indication,
        Class::Success => MessageClass::SuccessResponse,
        Class::Error => MessageClass::ErrorResponse,
    }
}

type Header = (u16, Class, [u8; 12]);

fn header() -> impl Strategy<Value = Header> {
    let class = prop::sample::select(vec![
        Class::Request,
        Class::Indication,
        Class::Success,
        Class::Error,
    ]);
    (0u16..0x1000, class, any::<[u8; 12]>())
}

fn protection() -> impl Strategy<Value = Protection> {
    let algorithm =
        prop::sample::select(vec![None, Some(Algorithm::Sha1), Some(Algorithm::Sha256)]);
    (algorithm, any::<bool>()).prop_map(|(algorithm, fingerprint)| Protection {
        algorithm,
        fingerprint,
    })
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    prop::collection::vec(sample(), 0..10)
}

/// Messages of valid attributes and some that are not: protection at any place, and known types
/// with the values of others.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let length = prop::sample::select(vec![0usize, 1, 4, 5, 8, 20, 24, 32]);
    let odd = (
        prop::sample::select(KINDS.to_vec()),
        length.prop_flat_map(|length| prop::collection::vec(0u8..5, length)),
    );
    let protection = prop::sample::select(vec![
        (MessageIntegrity::TYPE, vec![7; MessageIntegrity::LENGTH]),
        (
            MessageIntegritySha256::TYPE,
            vec![7; MessageIntegritySha256::LENGTH],
        ),
        (Fingerprint::TYPE, vec![7; 4]),
    ]);
    let long_username = "[a-z]{500,780}".prop_map(Sample::Username);
    let attribute = prop_oneof![
        10 => sample(),
        3 => protection.prop_map(|(kind, value)| Sample::Other(kind, value)),
        1 => odd.prop_map(|(kind, value)| Sample::Other(kind, value)),
        1 => long_username,
    ];
    (header(), prop::collection::vec(attribute, 0..8)).prop_map(|(header, samples)| {
        let unprotected = Protection {
            algorithm: None,
            fingerprint: false,
        };
        write(header, &samples, unprotected)
    })
}

/// Every type that has a name here, and some that have one only in stun-rs or nowhere.
const KINDS: [u16; 28] = [
    0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x000C, 0x000D, 0x0012, 0x0013, 0x0014, 0x0015, 0x0016,
    0x0017, 0x0018, 0x0019, 0x001A, 0x001C, 0x001D, 0x0020, 0x0022, 0x7ABC, 0x8001, 0x8022, 0x8023,
    0x8028, 0x802B, 0x802C, 0xFABC,
];

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

proptest! {
    #[test]
    fn what_is_written_here_is_read_there(
        header in header(),
        samples in samples(),
        protection in protection(),
    ) {
        let packet = write(header, &samples, protection);
        let (theirs, size) = read_theirs(&packet).expect("stun-rs reads it");
        prop_assert_eq!(size, packet.len());
        assert_same(&Message::parse(&packet).unwrap(), &theirs);
        prop_assert!(is_valid_theirs(&packet));
        for (sample, theirs) in samples.iter().zip(theirs.attributes()) {
            prop_assert!(sample.is(theirs), "{:?} here, {:?} there", sample, theirs);
        }
    }

    #[test]
    fn what_is_written_there_is_read_here(
        header in header(),
        mut samples in samples(),
        protection in protection(),
    ) {
        samples.retain(|sample| sample.theirs().is_some());
        let packet = write_theirs(header, &samples, protection);
        let message = Message::parse(&packet).expect("it is a message here");
        prop_assert!(is_valid(&message));
        prop_assert_eq!(message.is_signed(), protection.algorithm.is_some());
        prop_assert_eq!(message.has_fingerprint(), protection.fingerprint);
        let read: Result<Vec<_>, _> = message
            .attributes()
            .map(|raw| Sample::read(raw, message.transaction()))
            .collect();
        prop_assert_eq!(read, Ok(samples.clone()));
        // Both put the same bytes on the wire.
        prop_assert_eq!(write(header, &samples, protection), packet);
    }

    #[test]
    fn what_is_a_message_there_is_the_same_message_here(packet in noise()) {
        if let Some((theirs, size)) = read_theirs(&packet) {
            let message = Message::parse(&packet[..size]).expect("it is a message here");
            assert_same(&message, &theirs);
        }
    }

    #[test]
    fn a_changed_byte_is_judged_alike(
        header in header(),
        samples in samples(),
        protection in protection(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut packet = write(header, &samples, protection);
        let at = at.index(packet.len());
        packet[at] ^= flip;
        if let Some((theirs, size)) = read_theirs(&packet) {
            let message = Message::parse(&packet[..size]).expect("it is a message here");
            assert_same(&message, &theirs);
            prop_assert_eq!(is_valid(&message), is_valid_theirs(&packet));
        }
    }

    #[test]
    fn no_bytes_do_harm(packet in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(message) = Message::parse(&packet) {
            let _ = (message.method(), message.class(), is_valid(&message));
            for raw in message.attributes() {
                let _ = Sample::read(raw, message.transaction());
            }
        }
        if let Some((_, size)) = read_theirs(&packet) {
            prop_assert!(Message::parse(&packet[..size]).is_ok());
        }
    }

    #[test]
    fn keys_are_derived_alike(
        username in "[a-z0-9:]{1,40}",
        realm in "[a-z.]{1,40}",
        password in "[ -~]{1,40}",
    ) {
        for (ours, algorithm) in [
            (Key::md5(&username, &realm, &password), AlgorithmId::MD5),
            (Key::sha256(&username, &realm, &password), AlgorithmId::SHA256),
        ] {
            let algorithm = TheirAlgorithm::from(algorithm);
            let theirs = HMACKey::new_long_term(&username, &realm, &password, algorithm).unwrap();
            prop_assert_eq!(ours.as_bytes(), theirs.as_bytes());
        }
    }
}
