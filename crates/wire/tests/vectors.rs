//! The test vectors of RFC 5769 and of RFC 8489 Appendix B.1, read and written.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wire::attributes::{
    Nonce, PasswordAlgorithm, Realm, Software, UserHash, Username, XorMappedAddress,
};
use wire::{Algorithm, Class, Key, MacKey, Message, Method, TransactionId, Writer};

/// RFC 5769 §2: username, password and transaction id of the short-term vectors.
const USERNAME: &str = "evtj:h6vY";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const ID: [u8; 12] = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

/// RFC 5769 §2.4 and RFC 8489 App. B.1: "The M<a>tr<I>X", once as sent and once prepared.
const LONG_TERM_USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const LONG_TERM_PASSWORD: &str = "TheMatrIX";
const REALM: &str = "example.org";
const LONG_TERM_ID: [u8; 12] = *b"\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e";

/// RFC 5769 §2.1, whose padding is spaces.
const SAMPLE_REQUEST: &[u8] = b"\
    \x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\
    \x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769 §2.2.
const SAMPLE_IPV4_RESPONSE: &[u8] = b"\
    \x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
    \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769 §2.3.
const SAMPLE_IPV6_RESPONSE: &[u8] = b"\
    \x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
    \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
    \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
    \x80\x28\x00\x04\xc8\xfb\x0b\x4c";

/// RFC 5769 §2.4.
const LONG_TERM_REQUEST: &[u8] = b"\
    \x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00\
    \x00\x15\x00\x1c\x66\x2f\x2f\x34\x39\x39\x6b\x39\x35\x34\x64\x36\x4f\x4c\x33\x34\x6f\x4c\x39\x46\x53\x54\x76\x79\x36\x34\x73\x41\
    \x00\x14\x00\x0b\x65\x78\x61\x6d\x70\x6c\x65\x2e\x6f\x72\x67\x00\
    \x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66";

fn short_term() -> MacKey {
    Key::short_term(PASSWORD).schedule(Algorithm::Sha1)
}

/// Asserts that a change of any byte that the MAC covers is noticed.
fn assert_no_byte_can_change(packet: &[u8], covered: usize, key: &MacKey) {
    for at in 0..covered {
        let mut forged = packet.to_vec();
        forged[at] ^= 0x01;
        let verdict = Message::parse(&forged).map(|message| message.verify(key));
        assert!(!matches!(verdict, Ok(Ok(()))), "byte {at} can be changed");
    }
}

#[test]
fn the_sample_request_verifies() {
    let message = Message::parse(SAMPLE_REQUEST).unwrap();
    assert_eq!(
        (message.method(), message.class()),
        (Method::Binding, Class::Request)
    );
    assert_eq!(message.transaction(), TransactionId::new(ID));
    assert_eq!(
        message.get::<Username<'_>>().unwrap(),
        Some(Username(USERNAME))
    );
    assert_eq!(
        message.get::<Software<'_>>().unwrap(),
        Some(Software("STUN test client"))
    );
    assert!(message.has_fingerprint() && message.fingerprint_matches());
    assert_eq!(message.verify(&short_term()), Ok(()));
    assert_no_byte_can_change(SAMPLE_REQUEST, 20 + 64, &short_term());
}

#[test]
fn the_sample_responses_verify() {
    for (packet, mapped) in [
        (SAMPLE_IPV4_RESPONSE, "192.0.2.1:32853"),
        (
            SAMPLE_IPV6_RESPONSE,
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ] {
        let message = Message::parse(packet).unwrap();
        assert_eq!(
            (message.method(), message.class()),
            (Method::Binding, Class::Success)
        );
        let address = message.get::<XorMappedAddress>().unwrap().unwrap();
        assert_eq!(address.0, mapped.parse().unwrap());
        assert!(message.has_fingerprint() && message.fingerprint_matches());
        assert_eq!(message.verify(&short_term()), Ok(()));
    }
}

#[test]
fn the_long_term_request_verifies_and_is_written_byte_for_byte() {
    let key = Key::md5(LONG_TERM_USERNAME, REALM, LONG_TERM_PASSWORD).schedule(Algorithm::Sha1);
    let message = Message::parse(LONG_TERM_REQUEST).unwrap();
    assert_eq!(message.verify(&key), Ok(()));

    let mut written = Vec::new();
    Writer::new(
        &mut written,
        Method::Binding,
        Class::Request,
        TransactionId::new(LONG_TERM_ID),
    )
    .put(&Username(LONG_TERM_USERNAME))
    .put(&Nonce("f//499k954d6OL34oL9FSTvy64sA"))
    .put(&Realm(REALM))
    .sign(&key);
    assert_eq!(written, LONG_TERM_REQUEST);
}

#[test]
fn responses_are_written_as_in_the_rfc_but_for_the_padding_byte() {
    for (packet, mapped) in [
        (SAMPLE_IPV4_RESPONSE, "192.0.2.1:32853"),
        (
            SAMPLE_IPV6_RESPONSE,
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ] {
        let mut written = Vec::new();
        Writer::new(
            &mut written,
            Method::Binding,
            Class::Success,
            TransactionId::new(ID),
        )
        .put(&Software("test vector"))
        .put(&XorMappedAddress(mapped.parse().unwrap()));
        // The vector pads SOFTWARE with a space where RFC 8489 §14 asks for zero.
        assert_eq!(written[35], 0);
        written[35] = b' ';
        let length = packet.len() as u16 - 20 - 32;
        assert_eq!(written[2..4], length.to_be_bytes());
        assert_eq!(written[4..], packet[4..packet.len() - 32]);
    }
}

#[test]
fn a_flipped_bit_breaks_the_fingerprint() {
    for at in 0..SAMPLE_REQUEST.len() - 8 {
        let mut forged = SAMPLE_REQUEST.to_vec();
        forged[at] ^= 0x80;
        if let Ok(message) = Message::parse(&forged) {
            assert!(
                !message.has_fingerprint() || !message.fingerprint_matches(),
                "byte {at}"
            );
        }
    }
}

/// RFC 8489 App. B.1, as corrected by erratum 6268.
const SHA256_REQUEST: &[u8] = b"\
    \x00\x01\x00\x90\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x1e\x00\x20\x4a\x3c\xf3\x8f\xef\x69\x92\xbd\xa9\x52\xc6\x78\x04\x17\xda\x0f\
    \x24\x81\x94\x15\x56\x9e\x60\xb2\x05\xc4\x6e\x41\x40\x7f\x17\x04\
    \x00\x15\x00\x29obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA\x00\x00\x00\
    \x00\x14\x00\x0bexample.org\x00\
    \x00\x1d\x00\x04\x00\x02\x00\x00\
    \x00\x1c\x00\x20\xb5\xc7\xbf\x00\x5b\x6c\x52\xa2\x1c\x51\xc5\xe8\x92\xf8\x19\x24\
    \x13\x62\x96\xcb\x92\x7c\x43\x14\x93\x09\x27\x8c\xc6\x51\x8e\x65";

#[test]
fn the_sha256_request_verifies_and_is_written_byte_for_byte() {
    let key =
        Key::sha256(LONG_TERM_USERNAME, REALM, LONG_TERM_PASSWORD).schedule(Algorithm::Sha256);
    let message = Message::parse(SHA256_REQUEST).unwrap();
    assert_eq!(message.verify(&key), Ok(()));
    assert_no_byte_can_change(SHA256_REQUEST, SHA256_REQUEST.len(), &key);

    let mut written = Vec::new();
    Writer::new(
        &mut written,
        Method::Binding,
        Class::Request,
        TransactionId::new(LONG_TERM_ID),
    )
    .put(&UserHash::of(LONG_TERM_USERNAME, REALM))
    .put(&Nonce("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"))
    .put(&Realm(REALM))
    .put(&PasswordAlgorithm::SHA256)
    .sign(&key);
    assert_eq!(written, SHA256_REQUEST);
}

#[test]
fn what_stands_behind_the_integrity_is_not_there() {
    let key = short_term();
    let mut packet = Vec::new();
    Writer::new(
        &mut packet,
        Method::Allocate,
        Class::Request,
        TransactionId::new(ID),
    )
    .put(&Username(USERNAME))
    .sign(&key)
    .put(&Realm(REALM))
    .fingerprint();
    let message = Message::parse(&packet).unwrap();
    assert_eq!(message.verify(&key), Ok(()));
    assert!(message.has_fingerprint() && message.fingerprint_matches());
    assert_eq!(message.get::<Realm<'_>>(), Ok(None));
    assert_eq!(message.attributes().count(), 1);
}

/// RFC 8489 §14.6 lets a usage allow that the code is cut short; TURN does not.
#[test]
fn a_truncated_integrity_is_no_integrity() {
    let key = Key::sha256(LONG_TERM_USERNAME, REALM, LONG_TERM_PASSWORD);
    let scheduled = key.schedule(Algorithm::Sha256);
    let signed = &SHA256_REQUEST[..SHA256_REQUEST.len() - 36];
    for length in [16, 20, 28, 32] {
        let mut packet = signed.to_vec();
        let body = (packet.len() + 4 + length - Message::HEADER) as u16;
        packet[2..4].copy_from_slice(&body.to_be_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(&packet);
        let code = mac.finalize().into_bytes();
        packet.extend_from_slice(&[0x00, 0x1C, 0x00, length as u8]);
        packet.extend_from_slice(&code[..length]);
        let message = Message::parse(&packet).unwrap();
        let verdict = message.verify(&scheduled);
        assert_eq!(verdict.is_ok(), length == 32, "{length}: {verdict:?}");
    }
}
