//! The kind of a packet or stream by a client's first bytes. RFC 7983, RFC 9443, RFC 8489 §6.2.2.

/// The protocol that a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// STUN in the clear.
    Stun,
    /// ChannelData in the clear.
    ChannelData,
    /// A TLS handshake. RFC 8446 §5.1.
    Tls,
    /// Nothing of these.
    Other,
}

/// The protocol that a stream begins with, as soon as it can be told.
pub(crate) fn stream(bytes: &[u8]) -> Option<Stream> {
    Some(match bytes.first()? {
        0..=3 => Stream::Stun,
        22 => Stream::Tls,
        64..=79 => Stream::ChannelData,
        _ => Stream::Other,
    })
}

/// A protocol that shares a UDP listener with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagram {
    /// STUN, TURN's messages included.
    Stun,
    /// ChannelData of TURN.
    ChannelData,
    /// A DTLS record.
    Dtls,
    /// QUIC.
    Quic,
    /// None that a listener serves: ZRTP, RTP, or an empty datagram.
    Other,
}

impl Datagram {
    /// The protocol of `datagram`. QUIC's range below 128 is told from ChannelData by RFC 9443,
    /// which gives it 80 to 127; those above 191 are packets with a long header.
    #[inline]
    pub(crate) const fn of(datagram: &[u8]) -> Self {
        let Some(first) = datagram.first() else {
            return Self::Other;
        };
        match *first {
            0..=3 => Self::Stun,
            20..=63 => Self::Dtls,
            64..=79 => Self::ChannelData,
            80..=127 | 192..=255 => Self::Quic,
            // 128 to 191 are RTP and RTCP, which no client sends to a relay.
            4..=19 | 128..=191 => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Datagram::{self, ChannelData, Dtls, Other, Quic, Stun};

    #[test]
    fn every_first_byte_is_of_the_protocol_that_rfc_9443_says() {
        let ranges = [
            (0..=3, Stun),
            (4..=19, Other),
            (20..=63, Dtls),
            (64..=79, ChannelData),
            (80..=127, Quic),
            (128..=191, Other),
            (192..=255, Quic),
        ];
        for (range, protocol) in ranges {
            for first in range {
                assert_eq!(Datagram::of(&[first, 0, 0]), protocol, "{first}");
            }
        }
        assert_eq!(Datagram::of(&[]), Other);
    }
}
