//! TURN within application data: what a client sends and hears that reaches one server through
//! another.
//!
//! In a loop of servers, each the client of another, every turn adds such a header to a datagram or
//! takes one off: RFC 8656 §21.4. Other servers read what stands within data, so headers are found
//! here where any of them might find one.

use crate::attributes::Data;
use crate::{Attribute, ChannelData, Class, Kind, Message, Method, TransactionId, method, padding};

/// Whether data is itself TURN: ChannelData as servers write it, with data and at most its padding
/// behind, or a STUN message of a method of TURN (RFC 8656 §17, RFC 6062 §6.1). Messages of ICE and its
/// extensions are not, nor is a counter that happens to begin as a channel does.
///
/// ```
/// assert!(wire::is_turn(b"\x40\0\0\x02hi"));
/// assert!(!wire::is_turn(b"hi"));
/// ```
pub fn is_turn(data: &[u8]) -> bool {
    match Kind::of(data) {
        Some(Kind::ChannelData) => written(data).is_some_and(|payload| !payload.is_empty()),
        Some(Kind::Stun) => {
            stun(data).is_some_and(|(method, ..)| (TURN.0..=TURN.1).contains(&method.code()))
        }
        None => false,
    }
}

/// How many headers of TURN's framing lie around data, one within the other: ChannelData, Send or
/// Data indications. `most` is enough to know.
///
/// ```
/// let data = b"\x40\0\0\x06\x40\0\0\x02hi";
/// assert_eq!((wire::turn_headers(data, 9), wire::turn_headers(data, 1)), (2, 1));
/// ```
pub fn turn_headers(mut data: &[u8], most: usize) -> usize {
    // Only what stands within the frame of a server can have been cut.
    let may_be_cut = Kind::of(data) == Some(Kind::Stun) || written(data).is_some();
    for header in 0..most {
        match unframed(data, may_be_cut && header > 0) {
            Some(within) => data = within,
            None => return header,
        }
    }
    most
}

/// The data within ChannelData as servers write it, with its padding behind at most.
fn written(data: &[u8]) -> Option<&[u8]> {
    let payload = ChannelData::parse(data).ok()?.payload;
    (data.len() - ChannelData::HEADER - payload.len() < 4).then_some(payload)
}

/// The data within a frame; `None` if this is no frame.
fn unframed(data: &[u8], may_be_cut: bool) -> Option<&[u8]> {
    match Kind::of(data)? {
        Kind::ChannelData => match ChannelData::parse(data) {
            Ok(frame) => Some(frame.payload),
            Err(_) if may_be_cut && data.len() >= LONG => data.get(ChannelData::HEADER..),
            Err(_) => None,
        },
        Kind::Stun => match stun(data)? {
            (Method::Send | Method::Data, Class::Indication, attributes) => {
                Some(data_of(attributes))
            }
            _ => None,
        },
    }
}

/// Method, class and attributes of what begins as a STUN message.
fn stun(data: &[u8]) -> Option<(Method, Class, &[u8])> {
    let (&[t0, t1, _, _, c0, c1, c2, c3], _) = data.split_first_chunk()?;
    let (method, class) = method::decode(u16::from_be_bytes([t0, t1]));
    let attributes = data.get(Message::HEADER..)?;
    ([c0, c1, c2, c3] == TransactionId::COOKIE).then_some((method, class, attributes))
}

/// The value of the first DATA, as much of it as there is; empty if there is none.
fn data_of(mut attributes: &[u8]) -> &[u8] {
    while let Some((&[k0, k1, l0, l1], rest)) = attributes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([k0, k1]) == Data::TYPE {
            return &rest[..length.min(rest.len())];
        }
        attributes = rest.get(length + padding(length)..).unwrap_or_default();
    }
    &[]
}

/// The first and the last method of TURN.
const TURN: (u16, u16) = (0x003, 0x00C);
/// The least length of a datagram that some server might cut. From there on a length that reaches
/// past the end is taken for that of a frame; other protocols' packets are mostly shorter.
const LONG: usize = 1_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;
    use crate::attributes::{Software, XorPeerAddress};

    fn indication(method: Method, data: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let id = TransactionId::new([7; 12]);
        Writer::new(&mut packet, method, Class::Indication, id)
            .put(&Software("odd"))
            .put(&XorPeerAddress(([192, 0, 2, 1], 9).into()))
            .put(&Data(data));
        packet
    }

    fn channel_data(data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        [&[0x7F, 0xFF][..], &length, data].concat()
    }

    #[test]
    fn every_framing_is_counted_in_any_order() {
        let mut data = b"data".to_vec();
        for headers in 0..6 {
            assert_eq!(turn_headers(&data, 9), headers);
            assert_eq!(turn_headers(&data, 3), headers.min(3));
            assert_eq!(is_turn(&data), headers > 0);
            data = match headers % 3 {
                0 => channel_data(&data),
                1 => indication(Method::Data, &data),
                _ => indication(Method::Send, &data),
            };
        }
    }

    #[test]
    fn what_a_server_has_cut_is_counted_all_the_same() {
        let inner = indication(Method::Data, &channel_data(&[0; 3000]));
        for whole in [channel_data(&inner), indication(Method::Send, &inner)] {
            assert_eq!(turn_headers(&whole, 9), 3);
            let cut = channel_data(&whole[..2000]);
            assert_eq!(turn_headers(&cut, 9), 4);
        }
    }

    /// Towards peers each server takes a header off, and a client may have written all of them.
    #[test]
    fn headers_count_whatever_a_client_has_written_behind_their_frames() {
        let nest = |data: Vec<u8>, _| [&channel_data(&data)[..], b"behind"].concat();
        assert_eq!(turn_headers(&(0..5).fold(b"data".to_vec(), nest), 9), 5);
    }

    #[test]
    fn long_text_is_not_taken_for_a_frame_that_was_cut() {
        let object = [&b"{\"type\":\"state\",\"players\":"[..], &[b'x'; 40_000]].concat();
        for data in [&[b'A'; 20_000][..], &[b'x'; 65_507], &object] {
            assert!(!is_turn(data));
            assert!(turn_headers(data, 3) < 3, "{:?}", &data[..9]);
        }
    }

    #[test]
    fn ice_and_other_protocols_are_not_taken_for_turn() {
        let binding = indication(Method::Binding, b"");
        // Chromium's ping is a STUN message of a method of its own.
        let ping = indication(Method::Other(0x080), b"");
        let no_cookie = [&[0, 0x16, 0, 0][..], &[9; 16]].concat();
        let speech = [&[0x80, 111][..], &[0x40; 160]].concat();
        let counter = [&0x41_u32.to_le_bytes()[..], &[0; 96]].concat();
        // A QUIC packet with a short header.
        let quic = [&[0x45, 0xC1, 0xFF, 0x99][..], &[0x41; 1350]].concat();
        for data in [
            &binding[..],
            &ping,
            &no_cookie,
            &speech,
            &quic,
            &counter,
            b"Hello",
            b"",
            &[0, 22],
        ] {
            assert!(!is_turn(data), "{data:02x?}");
            // The counter might be an empty frame, with nothing within.
            assert!(turn_headers(data, 3) < 2);
        }
    }

    #[test]
    fn every_request_of_turn_is_turn() {
        for method in [Method::Allocate, Method::Refresh, Method::CreatePermission] {
            let mut packet = Vec::new();
            Writer::new(
                &mut packet,
                method,
                Class::Request,
                TransactionId::new([7; 12]),
            );
            assert!(is_turn(&packet));
            assert_eq!(turn_headers(&packet, 3), 0);
        }
    }
}
