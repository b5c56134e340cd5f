//! The outcome of a packet by the RFCs, from a reader that shares no code with the server.
//!
//! It knows only the packets that a cut or one wrong byte makes of the captured session.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use hmac::{Hmac, KeyInit, Mac};
use lab::server::USER;
use sha1::Sha1;

use crate::stream::take_frame;

/// The outcome that a packet must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing at all.
    Silence,
    /// A success response.
    Success,
    /// An error response with this code.
    Refused(u16),
    /// The peer gets this, and there is no answer.
    Relayed(Vec<u8>),
}

/// The server's knowledge of a packet's sender.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The nonce that the server gave to the captured session.
    pub(crate) nonce: Vec<u8>,
    /// Whether the nonce was given to the sender's address.
    pub(crate) same_ip: bool,
    /// The transaction that opened the sender's allocation, if it has one.
    pub(crate) allocation: Option<[u8; 12]>,
    /// The peer for which the allocation has a permission and `CHANNEL`.
    pub(crate) peer: SocketAddr,
}

/// The outcome that a stream must have.
#[derive(Debug)]
pub(crate) struct StreamOutcome {
    /// The whole frames, each with its outcome.
    pub(crate) frames: Vec<(Vec<u8>, Outcome)>,
    /// Whether the stream goes on with bytes that begin no frame, or with a frame that is too long.
    pub(crate) broken: bool,
}

impl Standing {
    /// The outcome that one datagram or frame must have.
    pub(crate) fn outcome(&self, packet: &[u8]) -> Outcome {
        match packet.first() {
            Some(0..=3) => match Stun::read(packet) {
                Some(message) => self.outcome_of(&message),
                None => Outcome::Silence,
            },
            Some(0x40..=0x7F) => self.outcome_of_channel_data(packet),
            _ => Outcome::Silence,
        }
    }

    /// The outcome that a stream must have. The sender's standing changes with the requests that
    /// are granted.
    pub(crate) fn outcome_of_stream(&mut self, mut bytes: &[u8]) -> StreamOutcome {
        let mut frames = Vec::new();
        loop {
            let broken = match bytes {
                [first, ..] if !matches!(first, 0..=3 | 0x40..=0x7F) => true,
                [first, _, high, low, ..] => {
                    let announced = usize::from(u16::from_be_bytes([*high, *low]));
                    let is_stun = *first < 0x40;
                    let header = if is_stun { 20 } else { 4 };
                    let too_long = header + announced > STRANGERS_FRAME;
                    is_stun && announced % 4 != 0 || self.allocation.is_none() && too_long
                }
                _ => false,
            };
            let Some((frame, rest)) = (!broken).then(|| take_frame(bytes)).flatten() else {
                return StreamOutcome { frames, broken };
            };
            let outcome = self.outcome(frame);
            self.learn(frame, &outcome);
            frames.push((frame.to_vec(), outcome));
            bytes = rest;
        }
    }

    /// Notes the allocation of an Allocate that succeeds.
    pub(crate) fn learn(&mut self, packet: &[u8], outcome: &Outcome) {
        if *outcome == Outcome::Success && packet.starts_with(&ALLOCATE.to_be_bytes()) {
            self.allocation = packet[8..20].try_into().ok();
        }
    }

    fn outcome_of_channel_data(&self, packet: &[u8]) -> Outcome {
        let header = packet.first_chunk::<4>().filter(|header| {
            self.allocation.is_some() && u16::from_be_bytes([header[0], header[1]]) == CHANNEL
        });
        let length = header.map(|header| usize::from(u16::from_be_bytes([header[2], header[3]])));
        let payload = length.and_then(|length| packet[4..].get(..length));
        payload.map_or(Outcome::Silence, |payload| {
            Outcome::Relayed(payload.to_vec())
        })
    }

    fn outcome_of(&self, message: &Stun<'_>) -> Outcome {
        if !message.fingerprint_is_right() {
            return Outcome::Silence;
        }
        match message.kind {
            BINDING if message.knows_all() => Outcome::Success,
            BINDING => Outcome::Refused(420),
            SEND => self.outcome_of_send(message),
            // Only Binding was defined before the magic cookie.
            ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND if message.has_cookie() => {
                self.outcome_of_turn(message)
            }
            // Responses, indications, and unknown methods. RFC 8489 §6.3.
            _ => Outcome::Silence,
        }
    }

    /// RFC 8489 §9.2.4, then RFC 8656.
    fn outcome_of_turn(&self, message: &Stun<'_>) -> Outcome {
        let Some(integrity) = message.protection(MESSAGE_INTEGRITY) else {
            return Outcome::Refused(401);
        };
        for text in [USERNAME, REALM, NONCE] {
            let value = message.get(text);
            // The attribute is missing, or is no text. RFC 8489 §14.3, §14.9, §14.10.
            if value.is_none_or(|value| str::from_utf8(value).is_err()) {
                return Outcome::Refused(400);
            }
        }
        if message.get(USERNAME) != Some(USER.as_bytes()) || !message.is_signed_by_us(integrity) {
            return Outcome::Refused(401);
        }
        if message.get(NONCE) != Some(&self.nonce) || !self.same_ip {
            return Outcome::Refused(438);
        }
        match (message.kind, self.allocation) {
            (ALLOCATE, None) => Outcome::Success,
            (ALLOCATE, Some(transaction)) if message.transaction[4..] == transaction => {
                Outcome::Success
            }
            (ALLOCATE, Some(_)) | (_, None) => Outcome::Refused(437),
            (_, Some(_)) => Outcome::Success,
        }
    }

    /// RFC 8656 §11.2.
    fn outcome_of_send(&self, message: &Stun<'_>) -> Outcome {
        let peer = message.get(XOR_PEER_ADDRESS).and_then(read_peer);
        let data = message.get(DATA);
        let is_for_peer = self.allocation.is_some()
            && message.has_cookie()
            && message.knows_all()
            && peer == Some(self.peer);
        match data.filter(|_| is_for_peer) {
            Some(data) => Outcome::Relayed(data.to_vec()),
            None => Outcome::Silence,
        }
    }
}

/// A message whose lengths are right.
struct Stun<'a> {
    bytes: &'a [u8],
    kind: u16,
    transaction: &'a [u8],
    /// Type, offset and value of each.
    attributes: Vec<(u16, usize, &'a [u8])>,
}

impl<'a> Stun<'a> {
    /// RFC 8489 §5, §14; anything else is discarded.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(20)?;
        if body.len() != number(&header[2..4]) || body.len() % 4 != 0 {
            return None;
        }
        let (mut attributes, mut at) = (Vec::new(), 20);
        while at < bytes.len() {
            let length = number(&bytes[at + 2..at + 4]);
            let value = bytes.get(at + 4..at + 4 + length)?;
            attributes.push((number(&bytes[at..at + 2]) as u16, at, value));
            at += 4 + length.next_multiple_of(4);
        }
        Some(Self {
            bytes,
            kind: number(&header[..2]) as u16,
            transaction: &header[4..],
            attributes,
        })
    }

    fn has_cookie(&self) -> bool {
        self.transaction.starts_with(&[0x21, 0x12, 0xA4, 0x42])
    }

    /// The attributes before the protection: those behind it do not count.
    fn visible(&self) -> impl Iterator<Item = &(u16, usize, &'a [u8])> {
        self.attributes
            .iter()
            .take_while(|(kind, ..)| ![MESSAGE_INTEGRITY, FINGERPRINT].contains(kind))
    }

    fn get(&self, kind: u16) -> Option<&'a [u8]> {
        let mut found = self.visible().filter(|(other, ..)| *other == kind);
        found.next().map(|(.., value)| *value)
    }

    /// The offset of an attribute that protects the message.
    fn protection(&self, kind: u16) -> Option<usize> {
        let mut found = self.attributes.iter().filter(|(other, ..)| *other == kind);
        found.next().map(|(_, at, _)| *at)
    }

    /// Whether all comprehension-required attributes are known. RFC 8489 §6.3.
    fn knows_all(&self) -> bool {
        self.visible()
            .all(|(kind, ..)| *kind >= 0x8000 || KNOWN.contains(kind))
    }

    /// RFC 8489 §14.5: the MAC covers a length that ends with it.
    fn is_signed_by_us(&self, at: usize) -> bool {
        let mut mac = Hmac::<Sha1>::new_from_slice(&KEY).expect("any key");
        mac.update(&self.bytes[..2]);
        mac.update(&(at as u16 + 24 - 20).to_be_bytes());
        mac.update(&self.bytes[4..at]);
        let code = mac.finalize().into_bytes();
        number(&self.bytes[at + 2..at + 4]) == 20 && self.bytes[at + 4..at + 24] == code[..]
    }

    /// RFC 8489 §14.7.
    fn fingerprint_is_right(&self) -> bool {
        self.protection(FINGERPRINT).is_none_or(|at| {
            let right = crc32(&self.bytes[..at]) ^ 0x5354_554E;
            self.bytes[at + 4..] == right.to_be_bytes()
        })
    }
}

/// Asserts that an answer is the expected one to this request, from its first byte to its last.
#[track_caller]
pub(crate) fn assert_answers(answer: &[u8], request: &[u8], outcome: &Outcome) {
    let message = Stun::read(answer).unwrap_or_else(|| panic!("{answer:02x?} is no message"));
    let context = format!("{outcome:?} was awaited to {request:02x?}, {answer:02x?} came");
    assert_eq!(answer[4..20], request[4..20], "{context}");
    let (class, code) = match outcome {
        Outcome::Success => (0x0100, None),
        Outcome::Refused(code) => (0x0110, Some(*code)),
        Outcome::Silence | Outcome::Relayed(_) => panic!("{context}"),
    };
    let method = number(&request[..2]) as u16;
    assert_eq!(message.kind, method | class, "{context}");
    let told = message.get(ERROR_CODE).map(error_code);
    assert_eq!(told, code, "{context}");
    if code.is_some_and(|code| [401, 438].contains(&code)) {
        let challenged = message.get(REALM).is_some() && message.get(NONCE).is_some();
        assert!(challenged, "{context}");
    }
    assert!(message.fingerprint_is_right(), "{context}");
}

/// The value of NONCE in a message.
pub(crate) fn nonce(packet: &[u8]) -> Option<Vec<u8>> {
    Stun::read(packet)?.get(NONCE).map(<[u8]>::to_vec)
}

/// RFC 8489 §14.8.
fn error_code(value: &[u8]) -> u16 {
    u16::from(value[2] & 7) * 100 + u16::from(value[3])
}

/// RFC 8489 §14.2, for IPv4.
fn read_peer(value: &[u8]) -> Option<SocketAddr> {
    let &[_, 1, p0, p1, a, b, c, d] = value else {
        return None;
    };
    let ip = Ipv4Addr::new(a ^ 0x21, b ^ 0x12, c ^ 0xA4, d ^ 0x42);
    Some(SocketAddrV4::new(ip, u16::from_be_bytes([p0 ^ 0x21, p1 ^ 0x12])).into())
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// ITU-T V.42, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !crc
}

/// The first channel that the client binds.
const CHANNEL: u16 = 0x4000;
/// The longest frame that the server takes from a client without an allocation.
const STRANGERS_FRAME: usize = 4096;

const BINDING: u16 = 0x0001;
const ALLOCATE: u16 = 0x0003;
const REFRESH: u16 = 0x0004;
const CREATE_PERMISSION: u16 = 0x0008;
const CHANNEL_BIND: u16 = 0x0009;
const SEND: u16 = 0x0016;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const FINGERPRINT: u16 = 0x8028;
/// All attributes that RFC 8489 and RFC 8656 name, in the order of their numbers.
const KNOWN: [u16; 21] = [
    0x0001,
    USERNAME,
    MESSAGE_INTEGRITY,
    ERROR_CODE,
    0x000A,
    0x000C,
    0x000D,
    XOR_PEER_ADDRESS,
    DATA,
    REALM,
    NONCE,
    0x0016,
    0x0017,
    0x0018,
    0x0019,
    0x001A,
    0x001C,
    0x001D,
    0x001E,
    0x0020,
    0x0022,
];

/// `printf alice:hairpin.test:wonderland | md5sum`. RFC 8489 §18.5.1.1.
const KEY: [u8; 16] = [
    0x44, 0xb7, 0xc9, 0x7c, 0xce, 0xdc, 0xbc, 0xa6, 0xd0, 0x51, 0xeb, 0x32, 0xa7, 0xde, 0x5e, 0x00,
];
