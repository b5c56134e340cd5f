//! Notes: the messages between partners, of one length and sealed by HMAC-SHA256.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ring::hmac;
use wire::TransactionId;

/// Every note has this length, in bytes.
pub(crate) const LENGTH: usize = 104;

/// One note. Its seal was verified, or is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The session of the writer.
    pub(super) from: u64,
    /// The session of the reader; 0 if the writer does not know it yet.
    pub(super) to: u64,
    /// When it was written: microseconds since the Unix epoch, different in every note of a writer.
    pub(super) stamp: u64,
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The writer runs, with these addresses and ports.
    Keepalive(Setting),
    /// The reader is to answer a client.
    Errand(Errand),
}

/// The addresses and ports that both partners must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The address that clients know the writer by.
    pub(super) address: IpAddr,
    /// The ports at both addresses.
    pub(super) ports: [u16; 2],
}

/// A Binding response that is to come from the partner's address. The partner makes the response;
/// these fields are all that the writer can choose of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errand {
    pub(crate) transaction: TransactionId,
    pub(crate) fingerprint: bool,
    /// The client's reflexive address.
    pub(crate) mapped: SocketAddr,
    /// The port of the client that the response goes to.
    pub(crate) to_port: u16,
    /// Whether the client asked at the second port.
    pub(crate) alternate_port: bool,
    /// Whether the response is to come from the other port.
    pub(crate) change_port: bool,
    pub(crate) padding: Option<u16>,
}

impl Note {
    /// The bytes of the note under its seal.
    pub(super) fn seal(&self, key: &hmac::Key) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(FROM, &self.from.to_be_bytes());
        put(TO, &self.to.to_be_bytes());
        put(STAMP, &self.stamp.to_be_bytes());
        match self.content {
            Content::Keepalive(Setting { address, ports }) => {
                put(KIND, &[KEEPALIVE]);
                put(IP, &octets(address));
                put(PORT, &ports[0].to_be_bytes());
                put(OTHER_PORT, &ports[1].to_be_bytes());
            }
            Content::Errand(errand) => {
                put(KIND, &[ERRAND, errand.flags()]);
                put(PADDING, &errand.padding.unwrap_or(0).to_be_bytes());
                put(TRANSACTION, errand.transaction.as_bytes());
                put(IP, &octets(errand.mapped.ip()));
                put(PORT, &errand.mapped.port().to_be_bytes());
                put(OTHER_PORT, &errand.to_port.to_be_bytes());
            }
        }
        let tag = hmac::sign(key, &bytes[..SEAL]);
        bytes[SEAL..].copy_from_slice(tag.as_ref());
        bytes
    }

    /// The note in a packet, `None` if its seal is not that of the key.
    pub(super) fn open(packet: &[u8], key: &hmac::Key) -> Option<Self> {
        let bytes: &[u8; LENGTH] = packet.try_into().ok()?;
        let (note, seal) = bytes.split_at(SEAL);
        // The seal is verified before anything else is read.
        hmac::verify(key, note, seal).ok()?;
        if note[..MAGIC.len()] != MAGIC {
            return None;
        }
        let content = match note[KIND] {
            KEEPALIVE => Content::Keepalive(Setting {
                address: ip(note),
                ports: [u16_at(note, PORT), u16_at(note, OTHER_PORT)],
            }),
            ERRAND => Content::Errand(Errand::read(note)),
            _ => return None,
        };
        Some(Self {
            from: u64_at(note, FROM),
            to: u64_at(note, TO),
            stamp: u64_at(note, STAMP),
            content,
        })
    }
}

impl Errand {
    /// The length of the shortest request that leads to such a response: header, CHANGE-REQUEST,
    /// and the attributes that the response shows to have been there.
    pub(super) fn least_request(&self) -> usize {
        let attribute = |is_there: bool| if is_there { 8 } else { 0 };
        let padding = self.padding.map_or(0, |length| 4 + usize::from(length));
        28 + padding + attribute(self.to_port != self.mapped.port()) + attribute(self.fingerprint)
    }

    fn flags(&self) -> u8 {
        u8::from(self.fingerprint)
            | u8::from(self.alternate_port) << 1
            | u8::from(self.change_port) << 2
            | u8::from(self.padding.is_some()) << 3
    }

    fn read(note: &[u8]) -> Self {
        let flag = |bit: u8| note[FLAGS] >> bit & 1 == 1;
        let mut transaction = [0; 16];
        transaction.copy_from_slice(&note[TRANSACTION..IP]);
        Self {
            transaction: TransactionId::from_header(transaction),
            fingerprint: flag(0),
            mapped: SocketAddr::new(ip(note), u16_at(note, PORT)),
            to_port: u16_at(note, OTHER_PORT),
            alternate_port: flag(1),
            change_port: flag(2),
            padding: flag(3).then(|| u16_at(note, PADDING)),
        }
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn ip(note: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&note[IP..PORT]);
    IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
}

fn u16_at(note: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([note[at], note[at + 1]])
}

fn u64_at(note: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&note[at..at + 8]);
    u64::from_be_bytes(bytes)
}

/// Name and version: partners of another version do not meet.
const MAGIC: [u8; 4] = *b"HPN1";
const KEEPALIVE: u8 = 0;
const ERRAND: u8 = 1;

/// Where things stand in a note.
const KIND: usize = 4;
const FLAGS: usize = 5;
const PADDING: usize = 6;
const FROM: usize = 8;
const TO: usize = 16;
const STAMP: usize = 24;
const TRANSACTION: usize = 32;
const IP: usize = 48;
const PORT: usize = 64;
const OTHER_PORT: usize = 66;
const SEAL: usize = 72;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    fn content() -> impl Strategy<Value = Content> {
        let setting = (any::<IpAddr>(), any::<[u16; 2]>()).prop_map(|(address, ports)| {
            let address = address.to_canonical();
            Content::Keepalive(Setting { address, ports })
        });
        let errand = (
            any::<[u8; 16]>(),
            (any::<IpAddr>(), any::<u16>(), any::<u16>()),
            any::<[bool; 3]>(),
            any::<Option<u16>>(),
        );
        let errand = errand.prop_map(|(id, (ip, port, to_port), flags, padding)| {
            Content::Errand(Errand {
                transaction: TransactionId::from_header(id),
                fingerprint: flags[0],
                mapped: SocketAddr::new(ip.to_canonical(), port),
                to_port,
                alternate_port: flags[1],
                change_port: flags[2],
                padding,
            })
        });
        prop_oneof![setting, errand]
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written(
            (from, to, stamp) in any::<(u64, u64, u64)>(),
            content in content(),
        ) {
            let note = Note { from, to, stamp, content };
            prop_assert_eq!(Note::open(&note.seal(&key(b"one")), &key(b"one")), Some(note));
            prop_assert_eq!(Note::open(&note.seal(&key(b"one")), &key(b"two")), None);
        }

        #[test]
        fn a_note_of_which_one_bit_is_wrong_is_none(
            content in content(),
            at in 0..LENGTH,
            bit in 0..8_u8,
        ) {
            let note = Note { from: 1, to: 2, stamp: 3, content };
            let mut bytes = note.seal(&key(b"one"));
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Note::open(&bytes, &key(b"one")), None);
        }

        #[test]
        fn bytes_of_any_length_are_no_note(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Note::open(&bytes, &key(b"one")), None);
        }

        #[test]
        fn what_is_sealed_is_read_without_harm_whatever_it_is(bytes in any::<[u8; SEAL]>()) {
            let tag = hmac::sign(&key(b"one"), &bytes);
            let packet = [&bytes[..], tag.as_ref()].concat();
            let _ = Note::open(&packet, &key(b"one"));
        }
    }
}
