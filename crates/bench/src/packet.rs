//! The payload of a packet: which one it is, when it was to be sent, and bytes that must arrive as they left. It begins
//! as media does, so that a server which looks into media does so here, too.

/// The bytes before the filler: a header of RTP, the number in the lane, and the time in nanoseconds since the load
/// began.
pub(crate) const STAMP: usize = RTP + 8 + 8;

/// Version 2 without extras and a dynamic payload type; then sequence number, timestamp and SSRC. RFC 3550 §5.1.
const RTP: usize = 12;
const FIRST: [u8; 2] = [0x80, 96];

/// The lane of packets by which a way is tried.
pub(crate) const TRIAL: u32 = u32::MAX;

/// Which packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The SSRC.
    pub(crate) lane: u32,
    pub(crate) number: u64,
    pub(crate) nanos: u64,
}

impl Stamp {
    pub(crate) fn write(self, bytes: &mut [u8; STAMP]) {
        bytes[..RTP].copy_from_slice(&self.rtp());
        bytes[RTP..RTP + 8].copy_from_slice(&self.number.to_be_bytes());
        bytes[RTP + 8..].copy_from_slice(&self.nanos.to_be_bytes());
    }

    /// The stamp of a payload and the filler behind it; `None` if it is none of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (stamp, filler) = payload.split_first_chunk::<STAMP>()?;
        let (rtp, rest) = stamp.split_first_chunk::<RTP>()?;
        let (number, nanos) = rest.split_first_chunk::<8>()?;
        let stamp = Self {
            lane: u32::from_be_bytes(*rtp.last_chunk()?),
            number: u64::from_be_bytes(*number),
            nanos: u64::from_be_bytes(*nanos.first_chunk()?),
        };
        (*rtp == stamp.rtp()).then_some((stamp, filler))
    }

    fn rtp(self) -> [u8; RTP] {
        let mut bytes = [0; RTP];
        bytes[..2].copy_from_slice(&FIRST);
        bytes[2..4].copy_from_slice(&(self.number as u16).to_be_bytes());
        // The clock of video, 90 kHz.
        let timestamp = (self.nanos / 100_000).wrapping_mul(9) as u32;
        bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.lane.to_be_bytes());
        bytes
    }
}

/// The filler of a lane. Each lane has another one, so that bytes of two cannot be mixed up unseen.
pub(crate) fn filler(lane: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(lane).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_other_bytes_are_none() {
        let stamp = Stamp {
            lane: 7,
            number: 1 << 40,
            nanos: 123_456_789_012,
        };
        let mut bytes = [0; STAMP];
        stamp.write(&mut bytes);
        let payload = [&bytes[..], b"filler"].concat();
        assert_eq!(Stamp::read(&payload), Some((stamp, &b"filler"[..])));
        assert_eq!(Stamp::read(&payload[..STAMP - 1]), None);
        assert_eq!(Stamp::read(&[0; 64]), None);
    }

    #[test]
    fn lanes_have_fillers_of_their_own() {
        assert_eq!(filler(3, 100), filler(3, 100));
        assert_ne!(filler(3, 100), filler(4, 100));
    }
}
