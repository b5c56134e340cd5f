//! One leg as it is counted.
//!
//! Most packets of a call are the next ones of their RTP streams: those take one look at the header
//! and move one number. Everything else is out of line. One packet in thirty or so is looked at closely,
//! for jitter and the time.

use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::round_trips::RoundTrips;
use super::sequence::{Fit, Sequence};
use crate::{Bad, Contents, Leg, Loss, Stream, Thresholds};

/// The data that comes in on a leg, and the round trips to its far end.
#[derive(Debug)]
pub(super) struct Side {
    /// Where the stream of an SSRC may be, by its low bits.
    places: [u8; PLACES],
    streams: [RtpStream; STREAMS],
    /// Packets by what they are, but for those of streams that are believed.
    others: [u64; KINDS],
    /// Packets of streams that have ended or begun anew.
    gone: Loss,
    reordered: u64,
    /// The counts some time ago: the earlier one, and one ten seconds after it or more.
    marks: [Mark; 2],
    pub(super) round_trips: RoundTrips,
    /// Whether it was bad when that was judged last.
    pub(super) is_bad: bool,
}

/// One RTP stream.
#[derive(Clone, Copy, Debug, Default)]
struct RtpStream {
    /// In network order; streams that there are not have none.
    ssrc: [u8; 4],
    /// The sequence number that is looked at closely, whatever else it is.
    look: u16,
    /// How many packets were looked at since the last frame began.
    looks: u16,
    /// When one of its packets was looked at, in milliseconds.
    heard: u32,
    /// The timestamp of the frame whose end is awaited.
    frame: u32,
    sequence: Sequence,
    arrivals: Arrivals,
}

/// The counts of a leg at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    bytes: u64,
    /// In milliseconds.
    at: u32,
    /// The low bits of the counts, which tell what came since.
    expected: u32,
    lost: u32,
}

/// One moment, and the bytes that had come in until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Since the counting began.
    pub(super) micros: u64,
    pub(super) bytes: u64,
}

impl Moment {
    pub(super) fn new(born: Instant, now: Instant, bytes: u64) -> Self {
        let age = now.saturating_duration_since(born);
        Self {
            micros: age.as_secs() * 1_000_000 + u64::from(age.subsec_micros()),
            bytes,
        }
    }

    /// The low bits of milliseconds, which tell spans of up to weeks.
    const fn millis(self) -> u32 {
        (self.micros / 1000) as u32
    }
}

impl Side {
    pub(super) fn new() -> Self {
        Self::after(&[0; WORDS])
    }

    /// A leg of which this was counted, by [`Side::to_words`]. Streams are found anew, within two of
    /// their packets.
    pub(super) fn after(words: &[u64; WORDS]) -> Self {
        let [expected, lost, reordered, median, answered, others @ ..] = *words;
        Self {
            places: [0; PLACES],
            streams: [RtpStream::default(); STREAMS],
            others,
            gone: Loss { expected, lost },
            reordered,
            marks: [Mark::default(); 2],
            round_trips: RoundTrips::new([median as u32, answered as u32]),
            is_bad: false,
        }
    }

    /// The part that outlives the process.
    pub(super) fn to_words(&self) -> [u64; WORDS] {
        let Loss { expected, lost } = self.whole();
        let [median, answered] = self.round_trips.measured().map(u64::from);
        let mut words = [0; WORDS];
        let (first, others) = words.split_at_mut(WORDS - KINDS);
        first.copy_from_slice(&[expected, lost, self.reordered, median, answered]);
        others.copy_from_slice(&self.others);
        words
    }

    /// A packet comes in. Returns whether that is all: else it is to be looked at closely.
    #[inline]
    pub(super) fn pass(&mut self, payload: &[u8]) -> bool {
        let Some(head) = payload.first_chunk::<HEAD>() else {
            return false;
        };
        // The range of RTP: the same as version 2.
        if head[0] & 0xC0 != 0x80 {
            return self.pass_other(head[0]);
        }
        let place = self.places[usize::from(head[11]) % PLACES];
        let number = u16::from_be_bytes([head[2], head[3]]);
        let stream = self.streams.get_mut(usize::from(place));
        stream.is_some_and(|stream| {
            stream.ssrc == head[8..] && number != stream.look && stream.sequence.advances(number)
        })
    }

    /// The same of what is no RTP. All STUN is looked at, and of other data enough to know the time.
    #[inline]
    const fn pass_other(&mut self, first: u8) -> bool {
        if first <= 3 {
            return false;
        }
        let count = &mut self.others[KIND[first as usize] as usize % KINDS];
        *count += 1;
        !count.is_multiple_of(OFTEN)
    }

    /// Looks closely at a packet that [`Side::pass`] did not let pass. Returns whether ten seconds
    /// are over.
    #[inline(never)]
    pub(super) fn look(&mut self, moment: Moment, payload: &[u8]) -> bool {
        let kind = |first: &u8| usize::from(KIND[usize::from(*first)]);
        match payload.first_chunk::<HEAD>() {
            Some(head) if kind(&head[0]) == RTP && !RTCP_TYPES.contains(&head[1]) => {
                self.note_rtp(moment, head);
            }
            Some(head) if kind(&head[0]) == RTP => self.others[RTCP] += 1,
            Some(head) if kind(&head[0]) == STUN => self.others[STUN] += 1,
            // It was counted.
            Some(_) => {}
            None => self.others[OTHER] += 1,
        }
        self.roll(moment)
    }

    fn note_rtp(&mut self, moment: Moment, head: &[u8; HEAD]) {
        let ssrc = [head[8], head[9], head[10], head[11]];
        let number = u16::from_be_bytes([head[2], head[3]]);
        let Some(place) = self.find(ssrc) else {
            self.others[RTP] += 1;
            return self.begin_stream(moment, ssrc, number);
        };
        self.places[usize::from(ssrc[3]) % PLACES] = place as u8;
        let stream = &mut self.streams[place];
        let before = stream.sequence.loss();
        match stream.sequence.note(number) {
            Fit::Next if number == stream.look => {
                let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
                stream.note_frame(moment, timestamp, number);
            }
            Fit::AfterGap => stream.await_frame(number.wrapping_add(1)),
            Fit::Late => self.reordered += 1,
            Fit::Next | Fit::Again => {}
            Fit::Stray => {
                self.others[RTP] += 1;
                // A stream that is not believed is looked at until it is.
                if !stream.sequence.is_believed() {
                    stream.look = number.wrapping_add(1);
                }
            }
            Fit::Anew => {
                stream.await_frame(number.wrapping_add(1));
                // Two packets are in the counts now, of which one was counted as stray.
                self.others[RTP] = self.others[RTP].saturating_sub(1);
                self.gone.add(before);
            }
        }
        stream.heard = moment.millis();
    }

    fn begin_stream(&mut self, moment: Moment, ssrc: [u8; 4], number: u16) {
        if let Some(place) = self.make_room(moment) {
            self.places[usize::from(ssrc[3]) % PLACES] = place as u8;
            self.streams[place] = RtpStream {
                ssrc,
                look: number.wrapping_add(1),
                heard: moment.millis(),
                sequence: Sequence::beginning(number),
                ..RtpStream::default()
            };
        }
    }

    fn find(&self, ssrc: [u8; 4]) -> Option<usize> {
        let is_it = |stream: &RtpStream| stream.ssrc == ssrc && stream.sequence.is_there();
        self.streams.iter().position(is_it)
    }

    /// A place for another stream: one without any, or of a stream that nobody believes in time, or
    /// of one that has fallen silent; of these the one that was heard longest ago.
    fn make_room(&mut self, moment: Moment) -> Option<usize> {
        let silent = |stream: &RtpStream| moment.millis().wrapping_sub(stream.heard);
        let may_go = |stream: &RtpStream| match stream.sequence {
            sequence if sequence.is_believed() => silent(stream) >= SILENT,
            sequence => !sequence.is_there() || silent(stream) >= PROBATION,
        };
        let streams = self.streams.iter().enumerate();
        let rank = |it: &RtpStream| {
            (
                !it.sequence.is_there(),
                !it.sequence.is_believed(),
                silent(it),
            )
        };
        let room = streams.filter(|(_, it)| may_go(it));
        let (place, stream) = room.max_by_key(|(_, it)| rank(it))?;
        self.gone.add(stream.sequence.loss());
        Some(place)
    }

    /// All packets since the beginning.
    fn whole(&self) -> Loss {
        let mut whole = self.gone;
        for stream in &self.streams {
            whole.add(stream.sequence.loss());
        }
        whole
    }

    /// Keeps the counts of this moment, if the last were kept ten seconds ago.
    pub(super) fn roll(&mut self, moment: Moment) -> bool {
        let [_, later] = self.marks;
        let since = moment.millis().wrapping_sub(later.at);
        if since < WINDOW {
            return false;
        }
        let whole = self.whole();
        let now = Mark {
            bytes: moment.bytes,
            at: moment.millis(),
            expected: whole.expected as u32,
            lost: whole.lost as u32,
        };
        // Packets from before a silence are not recent.
        let earlier = if since < 2 * WINDOW { later } else { now };
        self.marks = [earlier, now];
        true
    }

    /// The leg as it is, or as it was at the end: then what came last counts, whenever that was.
    pub(super) fn measured(&self, moment: Moment, thresholds: Thresholds, is_over: bool) -> Leg {
        let whole = self.whole();
        let lately = self
            .streams
            .iter()
            .filter(|it| it.is_heard(moment, is_over));
        let (recent, bitrate) = self.since(moment, whole);
        let mut leg = Leg {
            round_trip: if is_over {
                self.round_trips.median()
            } else {
                self.round_trips.lately(moment.micros)
            },
            jitter: lately.clone().filter_map(|it| it.arrivals.jitter()).max(),
            recent,
            whole,
            reordered: self.reordered,
            bitrate,
            streams: lately.count() as u32,
            contents: self.contents(whole),
            bad: Bad::default(),
        };
        leg.bad = thresholds.judge(&leg, if is_over { whole } else { recent });
        leg
    }

    /// The packets of the last ten to twenty seconds, and the bits per second.
    fn since(&self, moment: Moment, whole: Loss) -> (Loss, u64) {
        let [earlier, later] = &self.marks;
        if moment.millis().wrapping_sub(later.at) >= 2 * WINDOW {
            return (Loss::default(), 0);
        }
        let since = |whole: u64, earlier: u32| (whole as u32).wrapping_sub(earlier).cast_signed();
        let recent = Loss {
            expected: since(whole.expected, earlier.expected).max(0) as u64,
            // Of those that were missing then some may have come late.
            lost: since(whole.lost, earlier.lost).max(0) as u64,
        };
        let span = moment.millis().wrapping_sub(earlier.at).max(SECOND);
        let bytes = moment.bytes.saturating_sub(earlier.bytes);
        (recent, bytes.saturating_mul(8 * 1000) / u64::from(span))
    }

    fn contents(&self, whole: Loss) -> Contents {
        let [other, stun, dtls, turn, quic, rtcp, rtp, _] = self.others;
        Contents {
            stun,
            dtls,
            quic,
            rtp: whole.expected.saturating_sub(whole.lost) + rtp,
            rtcp,
            turn,
            other,
        }
    }

    /// The streams that came lately.
    pub(super) fn streams(
        &self,
        moment: Moment,
        from_client: bool,
    ) -> impl Iterator<Item = Stream> {
        let lately = self.streams.iter();
        let lately = lately.filter(move |it| it.is_heard(moment, false));
        lately.map(move |it| Stream {
            from_client,
            ssrc: u32::from_be_bytes(it.ssrc),
            clock: it.arrivals.clock(),
            loss: it.sequence.loss(),
            reordered: it.sequence.late(),
            jitter: it.arrivals.jitter(),
            silent: Duration::from_millis(moment.millis().wrapping_sub(it.heard).into()),
        })
    }
}

impl RtpStream {
    /// A packet that was to be looked at came in its order. The first packet of the next frame tells
    /// the jitter; then the stream is left alone for as many packets as make the looking cheap, or
    /// for few where they come so seldom that they would take seconds.
    fn note_frame(&mut self, moment: Moment, timestamp: u32, number: u16) {
        let is_slow = moment.millis().wrapping_sub(self.heard) > SLOW;
        let mut next = 1;
        if self.looks == 0 {
            self.frame = timestamp;
            self.looks = 1;
        } else if self.frame != timestamp || self.looks == LONGEST_FRAME {
            if self.frame != timestamp {
                self.arrivals.note(moment.micros, timestamp);
            }
            // This one was looked at, too.
            next = if is_slow {
                FEW
            } else {
                (self.looks + 1) * EVERY
            };
            self.looks = 0;
        } else {
            self.looks += 1;
        }
        self.look = number.wrapping_add(next);
    }

    /// The next packet to come in order is looked at.
    const fn await_frame(&mut self, number: u16) {
        self.look = number;
        self.looks = 0;
    }

    /// Whether its measures count: those of a stream that has ended do when all is over.
    fn is_heard(&self, moment: Moment, is_over: bool) -> bool {
        let silent = moment.millis().wrapping_sub(self.heard);
        self.sequence.is_believed() && (is_over || silent < SILENT)
    }
}

/// The first byte's kind. RFC 7983, RFC 9443: from 64 to 79 are channels of TURN, and QUIC as well.
const KIND: [u8; 256] = {
    let mut kinds = [OTHER as u8; 256];
    let mut first = 0;
    while first < kinds.len() {
        kinds[first] = match first {
            0..=3 => STUN,
            20..=63 => DTLS,
            64..=79 => TURN,
            80..=127 | 192..=255 => QUIC,
            128..=191 => RTP,
            _ => OTHER,
        } as u8;
        first += 1;
    }
    kinds
};

const OTHER: usize = 0;
const STUN: usize = 1;
const DTLS: usize = 2;
const TURN: usize = 3;
const QUIC: usize = 4;
const RTCP: usize = 5;
const RTP: usize = 6;
/// One more than there are: a power of two needs no check of its bounds.
const KINDS: usize = 8;

/// How many numbers of a leg outlive the process.
pub(super) const WORDS: usize = 5 + KINDS;

/// The length of an RTP header without what is optional. RFC 3550 §5.1.
const HEAD: usize = 12;
/// The second byte of RTCP, where RTP has its marker and payload type. RFC 5761 §4.
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

/// Streams of a leg that are followed at a time: of a client that sends video in three sizes, with
/// retransmissions, all but the idlest. Of an SFU's more it is a sample.
const STREAMS: usize = 6;
/// Places of streams by the low bits of their SSRC. Two that share one are found all the same, but
/// not at once.
const PLACES: usize = 32;
/// For each packet of a stream that was looked at, so many are not.
const EVERY: u16 = 32;
/// The same where they come seldom.
const FEW: u16 = 4;
/// A frame with more packets that were looked at is not waited out.
const LONGEST_FRAME: u16 = 64;
/// Every so many packets of other data the time is looked at.
const OFTEN: u64 = 64;
/// Milliseconds.
const SECOND: u32 = 1000;
/// Packets that come after so long come seldom. A stream with one packet a frame is left alone for [`EVERY`] twice, which
/// is shorter than [`SILENT`] then.
const SLOW: u32 = SECOND / 10;
/// How long counts are kept before they are kept anew, in milliseconds.
const WINDOW: u32 = 10 * SECOND;
/// A stream that is silent for so many milliseconds makes room for another, and is not told of.
const SILENT: u32 = 10 * SECOND;
/// How long a stream has its place without a second packet in order, in milliseconds.
const PROBATION: u32 = 200;
