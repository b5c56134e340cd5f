//! Chains and keys in PEM. RFC 7468.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Flaw;

/// The certificates of a file.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let text = unmarked(text);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        // The reader takes no notice of one that begins in the line where another ends.
        Ok(chain) if beginnings(text) > chain.len() => Err(Flaw::BrokenChain(
            "two certificates share a line".to_owned(),
        )),
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if is_binary(text) => Err(Flaw::BinaryChain),
        Ok(_) if key(text).is_ok() => Err(Flaw::KeyForChain),
        Ok(_) => Err(Flaw::NoCertificate),
        Err(why) => Err(Flaw::BrokenChain(why.to_string())),
    }
}

/// The first key of a file.
pub(super) fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Flaw> {
    let text = unmarked(text);
    if is_encrypted(text) {
        return Err(Flaw::EncryptedKey);
    }
    match PrivateKeyDer::pem_slice_iter(text).next() {
        Some(Ok(key)) => Ok(key),
        // Its words may have a piece of the key in them.
        Some(Err(_)) => Err(Flaw::BrokenKey),
        None if is_binary(text) => Err(Flaw::BinaryKey),
        None if CertificateDer::from_pem_slice(text).is_ok() => Err(Flaw::ChainForKey),
        None => Err(Flaw::NoKey),
    }
}

/// Without the byte order mark, behind which the reader would not see the first part.
fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

fn beginnings(text: &[u8]) -> usize {
    let words = b"-----BEGIN CERTIFICATE-----";
    text.windows(words.len()).filter(|at| at == words).count()
}

/// Whether it is DER or PKCS#12, both of which begin with a SEQUENCE of more than 127 bytes.
fn is_binary(text: &[u8]) -> bool {
    matches!(text, [0x30, 0x81..=0x84, ..])
}

/// PKCS#8 says so in its label, and the older form in a header. RFC 7468 §11, RFC 1421 §4.6.1.1.
fn is_encrypted(text: &[u8]) -> bool {
    let has = |words: &[u8]| text.windows(words.len()).any(|at| at == words);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}
