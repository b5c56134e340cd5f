//! Tokens: those of other implementations, and texts that are no token.

use proptest::prelude::*;

use super::*;

/// The key that the samples of RFC 7635, Appendix A, have in common. AES-128 uses the first half of
/// it.
const RFC_KEY: &[u8] = b"HGkj32KJGiuy098sdfaqbNjOiaz71923";
const RFC_SERVER: &str = "blackdow.carleon.gov";
const RFC_NONCE: [u8; 12] = *b"h4j3k2l2n4b5";

fn rfc_token() -> Token {
    let timestamp: u64 = 92_470_300_704_768;
    Token {
        mac_key: Key::precomputed(b"ZksjpweoixXmvn67534m"),
        validity: Validity {
            issued: Duration::from_secs(timestamp >> 16),
            lifetime: 3600,
        },
    }
}

fn key(encryption: Encryption, bytes: &[u8]) -> TokenKey {
    TokenKey::new(encryption, &bytes[..encryption.key_length()]).unwrap()
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let bytes = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    bytes.collect()
}

#[track_caller]
fn assert_same(one: &Token, other: &Token) {
    assert_eq!(one.mac_key.as_bytes(), other.mac_key.as_bytes());
    assert_eq!(one.validity, other.validity);
}

#[test]
fn the_sample_tokens_of_rfc_7635_are_opened_and_sealed() {
    for (encryption, sealed) in [
        (
            Encryption::A256Gcm,
            "000c68346a336b326c326e346235617ef134a3d5e44e9a19cc7dc104b0c03d03b2a551d8fdf5cd3b6dca\
             6f10cfb77e5b2ddec84d293a5c50499359f0c2e26f76",
        ),
        (
            Encryption::A128Gcm,
            "000c68346a336b326c326e3462357fb9e99f0827be3df1e1bd651493d3031d36df57079784aee5eacb65\
             fad4f27fab1a3f97974b69f851b24bf5af09eda357e0",
        ),
    ] {
        let key = key(encryption, RFC_KEY);
        let sealed = hex(sealed);
        assert_eq!(key.seal(RFC_SERVER, RFC_NONCE, &rfc_token()), sealed);
        let opened = key.open(RFC_SERVER, &sealed).unwrap();
        assert_same(&opened, &rfc_token());
        assert!(key.open("another.carleon.gov", &sealed).is_none());
    }
}

/// By `AESGCM` of Python's cryptography 48: a key of bytes 0 to 31, a mac_key of 0x80 to 0x9F, a
/// nonce of 0x30 to 0x3B, timestamp `1795181820 << 16 | 16000`, lifetime 1800.
#[test]
fn a_token_that_another_implementation_sealed_is_opened() {
    let bytes: Vec<u8> = (0..32).collect();
    let expected = Token {
        mac_key: Key::precomputed(&(0x80..0xA0).collect::<Vec<u8>>()),
        validity: Validity {
            issued: Duration::from_millis(1_795_181_820_250),
            lifetime: 1800,
        },
    };
    for (encryption, sealed) in [
        (
            Encryption::A256Gcm,
            "000c303132333435363738393a3bb315b1416becce86acb406659812b2e512a8dfc651add090b129c9d5\
             7228e2a3ddff0c6447c0d75b90a412497dcec9f4bb619785234f165240cbc5a69b65",
        ),
        (
            Encryption::A128Gcm,
            "000c303132333435363738393a3b9b3dc96bc0338e69363b63045a644e348a1ea95ce824b2c88fdbac2f\
             a5bfae13932eb9b49ad293ab9dbb52841847327ef4d364f6707fe80e30623d244f0a",
        ),
    ] {
        let opened = key(encryption, &bytes).open("turn.exämple.org", &hex(sealed));
        assert_same(&opened.unwrap(), &expected);
    }
}

#[test]
fn no_byte_of_a_token_can_change_and_none_can_be_cut_off() {
    let key = key(Encryption::A256Gcm, RFC_KEY);
    let sealed = key.seal(RFC_SERVER, RFC_NONCE, &rfc_token());
    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 1;
        assert!(key.open(RFC_SERVER, &forged).is_none(), "byte {at}");
        assert!(key.open(RFC_SERVER, &sealed[..at]).is_none(), "cut at {at}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert!(key.open(RFC_SERVER, &longer).is_none());
}

/// A key that an authorization server shares, and a block that no honest one would seal.
fn sealed_block(block: &[u8]) -> Option<Token> {
    let key = key(Encryption::A256Gcm, RFC_KEY);
    let mut block = block.to_vec();
    let nonce = Nonce::assume_unique_for_key(RFC_NONCE);
    key.aead
        .seal_in_place_append_tag(nonce, Aad::from(RFC_SERVER), &mut block)
        .unwrap();
    let sealed = [&NONCE_LENGTH[..], &RFC_NONCE, &block].concat();
    key.open(RFC_SERVER, &sealed)
}

#[test]
fn a_seal_does_not_make_a_token_of_anything() {
    let block = |length: usize, mac_key: usize, lifetime: u32| {
        let mut block = (length as u16).to_be_bytes().to_vec();
        block.resize(2 + mac_key, 7);
        block.extend([0; 8]);
        block.extend(lifetime.to_be_bytes());
        block
    };
    for good in [16, 20, 32, 64] {
        let token = sealed_block(&block(good, good, 1)).unwrap();
        assert_eq!(token.mac_key.as_bytes(), vec![7; good]);
    }
    let [short, long] = [15, 65].map(|length| block(length, length, 1));
    for (bad, why) in [
        (short, "its mac_key could be guessed"),
        (long, "its mac_key is longer than a block of its hash"),
        (block(20, 20, 0), "it is never good"),
        (block(20, 21, 1), "a byte is left over"),
        (block(21, 20, 1), "a byte is missing"),
        (block(65_535, 20, 1), "its length reaches beyond the end"),
        (Vec::new(), "it is empty"),
        (vec![0], "it ends within its first field"),
    ] {
        assert!(sealed_block(&bad).is_none(), "{why}");
    }
}

#[test]
fn a_nonce_of_another_length_is_no_nonce_of_aes_gcm() {
    let key = key(Encryption::A256Gcm, RFC_KEY);
    let sealed = key.seal(RFC_SERVER, RFC_NONCE, &rfc_token());
    for length in [0, 11, 13, 256, 65_535_u16] {
        let mut other = sealed.clone();
        other[..2].copy_from_slice(&length.to_be_bytes());
        assert!(key.open(RFC_SERVER, &other).is_none(), "{length}");
    }
}

#[test]
fn a_key_has_the_length_of_its_encryption() {
    for encryption in [Encryption::A256Gcm, Encryption::A128Gcm] {
        for length in [0, 16, 24, 32, 33] {
            let key = TokenKey::new(encryption, &vec![7; length]);
            assert_eq!(key.is_some(), length == encryption.key_length());
        }
    }
}

#[test]
fn forged_tokens_cost_no_memory() {
    let mut keys = TokenKeys::new(RFC_SERVER.to_owned());
    keys.add("north", key(Encryption::A256Gcm, RFC_KEY));
    let mut forged = key(Encryption::A256Gcm, RFC_KEY).seal("elsewhere", RFC_NONCE, &rfc_token());
    let unix = rfc_token().validity.issued;
    let counted = allocation_counter::measure(|| {
        for length in [0, 2, 14, 30, 64] {
            let refused = keys.open("north", &forged[..length], unix);
            assert!(matches!(refused, Err(Reject::BadToken)));
        }
        assert!(matches!(
            keys.open("south", &forged, unix),
            Err(Reject::UnknownKey)
        ));
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    forged.resize(60_000, 7);
    let counted = allocation_counter::measure(|| {
        assert!(keys.open("north", &forged, unix).is_err());
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn no_debug_output_shows_a_key() {
    let mut keys = TokenKeys::new(RFC_SERVER.to_owned());
    keys.add("north", key(Encryption::A256Gcm, RFC_KEY));
    let text = format!("{keys:?} {:?}", rfc_token());
    assert!(text.contains("north") && text.contains("Key(***)"));
    // The first bytes of both keys, neither as text nor as numbers.
    for secret in ["HGkj", "Zksj", "72, 71", "90, 107"] {
        assert!(!text.contains(secret), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(
        mac_key in prop::collection::vec(any::<u8>(), 16..=64),
        seconds in 0_u64..1 << 48,
        fraction in 0_u32..64_000,
        lifetime in 1..=u32::MAX,
        nonce in any::<[u8; 12]>(),
        name in ".{0,80}",
    ) {
        let key = key(Encryption::A128Gcm, RFC_KEY);
        let issued = Duration::from_secs(seconds) + Duration::from_nanos(15_625 * u64::from(fraction));
        let validity = Validity { issued, lifetime };
        let token = Token { mac_key: Key::precomputed(&mac_key), validity };
        let opened = key.open(&name, &key.seal(&name, nonce, &token)).unwrap();
        assert_same(&opened, &token);
    }

    #[test]
    fn no_block_that_is_sealed_makes_the_server_panic(
        block in prop::collection::vec(any::<u8>(), 0..100),
        unix in any::<u32>(),
    ) {
        // Mostly with a length that fits, so that the rest is read too.
        let mut block = block;
        if let [_, low, ..] = block[..] && low & 1 == 0 {
            let length = block.len().saturating_sub(14) as u16;
            block[..2].copy_from_slice(&length.to_be_bytes());
        }
        if let Some(token) = sealed_block(&block) {
            prop_assert_eq!(&token.encode()[..2], &block[..2]);
            if let Ok(left) = token.validity.left(Duration::from_secs(unix.into())) {
                prop_assert!((1..=token.validity.lifetime).contains(&left));
            }
        }
        let key = key(Encryption::A256Gcm, RFC_KEY);
        prop_assert!(key.open(RFC_SERVER, &block).is_none());
    }
}
