//! The part of a handshake that is read and written before there is any state: the beginning of a
//! ClientHello, and the answers to one whose sender may be forged. RFC 6347 §4.2.1.

/// The beginning of a ClientHello, as its first fragment has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientHello<'p> {
    /// The version that the client offers at most, before its extensions are read.
    pub(crate) version: [u8; 2],
    pub(crate) random: &'p [u8; 32],
    pub(crate) cookie: &'p [u8],
    /// Which message of the client's handshake it is: 0 for its first one.
    pub(crate) message: u16,
    /// The number of its record.
    record: [u8; 6],
}

impl<'p> ClientHello<'p> {
    /// Reads a datagram that begins with a ClientHello; `None` for anything else.
    pub(crate) fn parse(datagram: &'p [u8]) -> Option<Self> {
        let (header, rest) = datagram.split_first_chunk::<RECORD_HEADER>()?;
        let [HANDSHAKE, 0xFE, _, 0, 0, record @ .., high, low] = *header else {
            return None;
        };
        let fragment = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        let (header, body) = fragment.split_first_chunk::<HANDSHAKE_HEADER>()?;
        let [CLIENT_HELLO, _, _, _, high, low, 0, 0, 0, _, _, _] = *header else {
            return None;
        };
        let message = u16::from_be_bytes([high, low]);
        let (version, body) = body.split_first_chunk::<2>()?;
        let (random, body) = body.split_first_chunk::<32>()?;
        let (_, body) = vector(body)?;
        let (cookie, _) = vector(body)?;
        Some(Self {
            version: *version,
            random,
            cookie,
            message,
            record,
        })
    }
}

/// Something with its length in one byte before it.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Asks a client to say its hello again, with a cookie. It bears the number of the hello's record,
/// as RFC 6347 §4.2.1 demands, and is shorter than any hello.
pub(crate) fn verify_request(hello: &ClientHello<'_>, cookie: &[u8; 32]) -> [u8; VERIFY_REQUEST] {
    let mut datagram = [0; VERIFY_REQUEST];
    let (record, message) = datagram.split_at_mut(RECORD_HEADER);
    record.copy_from_slice(&record_header(HANDSHAKE, hello.record, message.len()));
    let (header, body) = message.split_at_mut(HANDSHAKE_HEADER);
    header.copy_from_slice(&handshake_header(3, hello.message, body.len()));
    // Its version says nothing of the one that is negotiated. RFC 6347 §4.2.1.
    body[..3].copy_from_slice(&[0xFE, 0xFF, 32]);
    body[3..].copy_from_slice(cookie);
    datagram
}

/// A hello without cookie, by which an engine is brought to where it asks for one.
pub(super) fn bare(random: &[u8; 32], message: u16) -> [u8; BARE] {
    let mut datagram = [0; BARE];
    let (record, rest) = datagram.split_at_mut(RECORD_HEADER);
    let [high, low] = message.to_be_bytes();
    record.copy_from_slice(&record_header(
        HANDSHAKE,
        [0, 0, 0, 0, high, low],
        rest.len(),
    ));
    let (header, body) = rest.split_at_mut(HANDSHAKE_HEADER);
    header.copy_from_slice(&handshake_header(CLIENT_HELLO, message, body.len()));
    body[..2].copy_from_slice(&DTLS_1_2);
    body[2..34].copy_from_slice(random);
    // No session, no cookie, one cipher suite, no compression.
    body[34..].copy_from_slice(&[0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
    datagram
}

/// Tells a client in the clear that its handshake has failed. RFC 5246 §7.2.
pub(crate) fn alert(description: u8) -> [u8; RECORD_HEADER + 2] {
    let mut datagram = [0; RECORD_HEADER + 2];
    let (record, body) = datagram.split_at_mut(RECORD_HEADER);
    // After all that the server may have sent, so that no client takes it for a repetition.
    record.copy_from_slice(&record_header(ALERT, [0, 0, 0, 1, 0, 0], 2));
    body.copy_from_slice(&[FATAL, description]);
    datagram
}

fn record_header(kind: u8, number: [u8; 6], length: usize) -> [u8; RECORD_HEADER] {
    let [a, b, c, d, e, f] = number;
    let [.., high, low] = length.to_be_bytes();
    [kind, 0xFE, 0xFD, 0, 0, a, b, c, d, e, f, high, low]
}

fn handshake_header(kind: u8, message: u16, length: usize) -> [u8; HANDSHAKE_HEADER] {
    let [m, n] = message.to_be_bytes();
    let [.., high, low] = length.to_be_bytes();
    [kind, 0, high, low, m, n, 0, 0, 0, 0, high, low]
}

/// The one version that is served.
pub(crate) const DTLS_1_2: [u8; 2] = [0xFE, 0xFD];

/// The alert `handshake_failure`.
pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
/// The alert `protocol_version`.
pub(crate) const PROTOCOL_VERSION: u8 = 70;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const VERIFY_REQUEST: usize = RECORD_HEADER + HANDSHAKE_HEADER + 3 + 32;
const BARE: usize = RECORD_HEADER + HANDSHAKE_HEADER + 42;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const FATAL: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hello_is_read_as_far_as_its_cookie() {
        let random = [7; 32];
        let datagram = bare(&random, 3);
        let hello = ClientHello::parse(&datagram).unwrap();
        assert_eq!(hello.version, DTLS_1_2);
        assert_eq!(hello.random, &random);
        assert_eq!(hello.cookie, b"");
        assert_eq!(hello.message, 3);
        assert_eq!(hello.record, [0, 0, 0, 0, 0, 3]);
    }

    #[test]
    fn a_request_for_a_cookie_is_shorter_than_any_hello_that_it_answers() {
        let whole = bare(&[7; 32], 0);
        let hello = ClientHello::parse(&whole).unwrap();
        let request = verify_request(&hello, &[9; 32]);
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            if length >= RECORD_HEADER {
                let [.., high, low] = (length - RECORD_HEADER).to_be_bytes();
                cut[11..13].copy_from_slice(&[high, low]);
            }
            let is_answered = ClientHello::parse(&cut).is_some();
            assert!(!is_answered || cut.len() >= request.len(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_is_too_strange_to_be_looked_at(
            datagram in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0_usize..80,
            at in 0_usize..67,
            byte: u8,
        ) {
            let _ = ClientHello::parse(&datagram);
            let mut hello = bare(&[7; 32], 1).to_vec();
            hello[at] = byte;
            hello.truncate(cut);
            let _ = ClientHello::parse(&hello);
        }
    }
}
