//! The certificates of the issuers, which the engine has no room for.
//!
//! It sends one certificate, and clients that check it need the chain. So it is given the whole list,
//! as the message Certificate has it after the length of its first entry, for one long certificate.
//! The message then is right but for that length, three bytes, which are set right wherever they are
//! sent and hashed. RFC 5246 §7.4.2.

use dimpl::crypto::{Buf, HashAlgorithm, HashContext, HashProvider, rust_crypto};

/// A chain, its first certificate first, as the engine is given it.
pub(super) fn joined<'c>(chain: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for certificate in chain {
        if !joined.is_empty() {
            joined.extend_from_slice(&number(certificate.len()));
        }
        joined.extend_from_slice(certificate);
    }
    joined
}

/// Sets the length right in a datagram that the engine sends.
pub(super) fn mend(datagram: &mut [u8]) {
    let mut records = datagram;
    while let Some((header, rest)) = records.split_first_chunk_mut::<RECORD_HEADER>() {
        let [kind, _, _, epoch @ .., high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((fragment, rest)) = rest.split_at_mut_checked(length) else {
            return;
        };
        // Later epochs are encrypted.
        if kind == HANDSHAKE && epoch[..2] == [0, 0] {
            mend_message(fragment);
        }
        records = rest;
    }
}

/// Sets it right in a message, or in the fragment of one that has it.
fn mend_message(message: &mut [u8]) {
    let Some((header, body)) = message.split_first_chunk_mut::<MESSAGE_HEADER>() else {
        return;
    };
    let [CERTIFICATE, _, _, _, _, _, 0, 0, 0, ..] = *header else {
        return;
    };
    // The length of the list comes before that of its first entry.
    if let Some((_, rest)) = body.split_at_mut_checked(LIST_LENGTH)
        && let Some((length, certificate)) = rest.split_first_chunk_mut::<3>()
        && let Some(own) = length_of(certificate)
    {
        *length = number(own);
    }
}

/// The length of the certificate that bytes begin with, by its own word. X.690 §8.1.3.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes {
        [0x30, length @ ..=0x7F, ..] => 2 + usize::from(length),
        [0x30, 0x81, length, ..] => 3 + usize::from(length),
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        _ => return None,
    };
    Some(length)
}

fn number(length: usize) -> [u8; 3] {
    let [.., high, middle, low] = length.to_be_bytes();
    [high, middle, low]
}

/// The library's hashes, but for the length in a transcript.
#[derive(Debug)]
pub(super) struct Hashes;

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        let hashes = rust_crypto::default_provider().hash_provider;
        Box::new(Transcript(hashes.create_hash(algorithm)))
    }
}

/// The hash of a transcript, which the engine hashes as a whole.
#[derive(Debug)]
struct Transcript(Box<dyn HashContext>);

impl HashContext for Transcript {
    fn update(&mut self, data: &[u8]) {
        let Some((at, length)) = place_in(data) else {
            return self.0.update(data);
        };
        self.0.update(&data[..at]);
        self.0.update(&number(length));
        self.0.update(&data[at + 3..]);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Where in a transcript the length stands, and what it is to be.
fn place_in(transcript: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    loop {
        let header = transcript.get(at..)?.first_chunk::<MESSAGE_HEADER>()?;
        let [kind, high, middle, low, ..] = *header;
        let body = at + MESSAGE_HEADER;
        if kind == CERTIFICATE {
            let place = body + LIST_LENGTH;
            let length = length_of(transcript.get(place + 3..)?)?;
            return Some((place, length));
        }
        let length = u32::from_be_bytes([0, high, middle, low]);
        at = body + usize::try_from(length).ok()?;
    }
}

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
const LIST_LENGTH: usize = 3;
const HANDSHAKE: u8 = 22;
/// The message Certificate.
const CERTIFICATE: u8 = 11;
