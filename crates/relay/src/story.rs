//! The story of an allocation: the last control events about it, so that "why did it fail?" has an answer
//! without a debug log.
//!
//! A hundred thousand allocations have one each, so events are kept as bytes: a request that is granted
//! takes about ten. The bytes grow by exactly what is added, and never on the data path.

mod encoding;
mod noting;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use wire::{AddressFamily, ChannelNumber, Method, Transport};

use crate::snapshot::{Field, Reader, Unreadable, Writer};
use crate::{DropReason, EndCause, Refusal};

/// A control event of an allocation, or of a client that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was granted.
    Granted {
        /// Its method.
        method: Method,
        /// The lifetime granted, in seconds.
        lifetime: Option<u32>,
        /// The channel that is bound.
        channel: Option<ChannelNumber>,
        /// The peer that it names, the first if there are several.
        peer: Option<SocketAddr>,
        /// How many more it names; 255 stands for that and more.
        more: u8,
    },
    /// Requests were refused.
    Refused {
        /// Their method.
        method: Method,
        /// Code and cause.
        refusal: Refusal,
        /// The peer that was refused.
        peer: Option<SocketAddr>,
        /// Whether they were signed by a known user. Over UDP anybody can send one that is not, in the
        /// name of any address.
        signed: bool,
        /// How many there were, since the first.
        times: u16,
    },
    /// A permission is over.
    PermissionOver {
        /// Its peer.
        peer: IpAddr,
        /// Whether the rules deny the peer by now; else its time was over.
        denied: bool,
    },
    /// A channel is over.
    ChannelOver {
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: SocketAddr,
        /// Whether the rules deny the peer by now; else its time was over.
        denied: bool,
    },
    /// The client was told of ICMP errors about what it sent to a peer. RFC 8656 §11.5.
    Icmp {
        /// The peer.
        peer: SocketAddr,
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// How many there were, since the first.
        times: u16,
    },
    /// The allocation moved to another 5-tuple of its client. RFC 8016.
    Moved {
        /// The transport.
        transport: Transport,
        /// The client's address.
        client: SocketAddr,
    },
    /// The client's connection ended, and the allocation waits for its ticket. RFC 8016.
    Away,
    /// A peer connected to a TCP allocation. RFC 6062 §5.3.
    PeerConnected {
        /// The peer.
        peer: SocketAddr,
    },
    /// One family of a dual allocation ended.
    FamilyOver {
        /// The family.
        family: AddressFamily,
        /// Why.
        cause: EndCause,
    },
    /// The allocation ended.
    Ended {
        /// Why.
        cause: EndCause,
    },
    /// A request was not answered. No story has it, only a trace.
    Unanswered {
        /// Its method.
        method: Method,
        /// Why.
        why: DropReason,
    },
}

impl Event {
    /// A request that was granted, and that says no more.
    pub(crate) const fn granted(
        method: Method,
        lifetime: Option<u32>,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self::Granted {
            method,
            lifetime,
            channel: None,
            peer,
            more: 0,
        }
    }

    /// The name in the API, in traces and in words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted { .. } => "granted",
            Self::Refused { .. } => "refused",
            Self::PermissionOver { .. } => "permission-over",
            Self::ChannelOver { .. } => "channel-over",
            Self::Icmp { .. } => "icmp",
            Self::Moved { .. } => "moved",
            Self::Away => "away",
            Self::PeerConnected { .. } => "peer-connected",
            Self::FamilyOver { .. } => "family-over",
            Self::Ended { .. } => "ended",
            Self::Unanswered { .. } => "unanswered",
        }
    }

    /// The peer that it is about, if it is about one.
    pub fn peer(&self) -> Option<IpAddr> {
        match *self {
            Self::Granted { peer, .. } | Self::Refused { peer, .. } => peer.map(|peer| peer.ip()),
            Self::ChannelOver { peer, .. }
            | Self::Icmp { peer, .. }
            | Self::PeerConnected { peer } => Some(peer.ip()),
            Self::PermissionOver { peer, .. } => Some(peer),
            Self::Moved { .. }
            | Self::Away
            | Self::FamilyOver { .. }
            | Self::Ended { .. }
            | Self::Unanswered { .. } => None,
        }
    }

    /// Whether somebody else than the client's user may have brought it about: such events share a few
    /// places, so that they cannot push out all others.
    const fn is_by_others(&self) -> bool {
        matches!(
            self,
            Self::Icmp { .. } | Self::Refused { signed: false, .. }
        )
    }

    /// Whether they differ in nothing but their number.
    fn is_same(&self, other: &Self) -> bool {
        self.once() == other.once()
    }

    const fn once(self) -> Self {
        match self {
            Self::Refused {
                method,
                refusal,
                peer,
                signed,
                times: _,
            } => Self::Refused {
                method,
                refusal,
                peer,
                signed,
                times: 1,
            },
            Self::Icmp {
                peer,
                kind,
                code,
                times: _,
            } => Self::Icmp {
                peer,
                kind,
                code,
                times: 1,
            },
            Self::Granted { .. }
            | Self::PermissionOver { .. }
            | Self::ChannelOver { .. }
            | Self::Moved { .. }
            | Self::Away
            | Self::PeerConnected { .. }
            | Self::FamilyOver { .. }
            | Self::Ended { .. }
            | Self::Unanswered { .. } => self,
        }
    }
}

/// The last events, oldest first. Each has the time since the story began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Story(Box<[u8]>);

/// An event as it is kept.
struct Kept {
    /// Its bytes.
    bytes: Range<usize>,
    at: Duration,
    event: Event,
}

impl Story {
    /// Adds an event; of more than [`EVENTS`] the oldest is forgotten.
    pub(crate) fn note(&mut self, at: Duration, event: &Event) {
        if event.is_by_others() && self.count_again(event) {
            return;
        }
        let Some(encoded) = encoding::encode(at, event) else {
            return;
        };
        let forgotten = self.to_forget(event).unwrap_or(0..0);
        let kept = self.0.len() - forgotten.len();
        let mut bytes = Vec::with_capacity(kept + encoded.len());
        bytes.extend_from_slice(&self.0[..forgotten.start]);
        bytes.extend_from_slice(&self.0[forgotten.end..]);
        bytes.extend_from_slice(&encoded);
        self.0 = bytes.into_boxed_slice();
    }

    /// The events and when they happened, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = (Duration, Event)> {
        self.kept().map(|kept| (kept.at, kept.event))
    }

    /// Whether an event names this peer.
    pub(crate) fn names(&self, peer: IpAddr) -> bool {
        self.events().any(|(_, event)| event.peer() == Some(peer))
    }

    /// Counts an event up where it is kept already; whether it is. This needs no memory.
    fn count_again(&mut self, event: &Event) -> bool {
        let same = self.kept().find(|kept| kept.event.is_same(event));
        let Some(Kept { bytes, event, .. }) = same else {
            return false;
        };
        encoding::count_up(&mut self.0[bytes], &event);
        true
    }

    /// The bytes of the event that makes room for this one.
    fn to_forget(&self, event: &Event) -> Option<Range<usize>> {
        let is_by_others = |kept: &Kept| kept.event.is_by_others();
        if event.is_by_others() && self.kept().filter(is_by_others).count() >= BY_OTHERS {
            return self.kept().find(is_by_others).map(|kept| kept.bytes);
        }
        let is_full = self.kept().count() >= EVENTS;
        self.kept().next().filter(|_| is_full).map(|it| it.bytes)
    }

    fn kept(&self) -> impl Iterator<Item = Kept> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.0.get(at..).filter(|rest| !rest.is_empty())?;
            let (length, when, event) = encoding::decode(rest)?;
            let bytes = at..at + length;
            at = bytes.end;
            Some(Kept {
                bytes,
                at: when,
                event,
            })
        })
    }
}

impl Field for Story {
    fn write(&self, to: &mut Writer) {
        self.0.to_vec().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let story = Self(Vec::<u8>::read(from)?.into_boxed_slice());
        let (mut count, mut end) = (0, 0);
        for kept in story.kept() {
            count += 1;
            end = kept.bytes.end;
        }
        let is_whole = end == story.0.len() && count <= EVENTS;
        is_whole.then_some(story).ok_or(Unreadable::Value)
    }
}

/// How many events a story has at most.
pub(crate) const EVENTS: usize = 32;

/// How many of them may be by others than the client.
const BY_OTHERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal, signed: bool) -> Event {
        Event::Refused {
            method: Method::Allocate,
            refusal,
            peer: None,
            signed,
            times: 1,
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn of_more_events_than_there_is_room_for_the_last_are_kept() {
        let mut story = Story::default();
        for number in 0..100 {
            let event = Event::granted(Method::Refresh, Some(number), None);
            story.note(millis(u64::from(number) * 1000), &event);
        }
        let times: Vec<_> = story.events().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, (68..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_others_may_bring_about_is_counted_and_pushes_out_little() {
        let mut story = Story::default();
        story.note(millis(1), &Event::granted(Method::Allocate, None, None));
        for number in 0..10_000 {
            let refusal = Refusal::ALL[number % Refusal::ALL.len()];
            story.note(millis(2), &refused(refusal, false));
        }
        for _ in 0..70_000 {
            story.note(millis(3), &refused(Refusal::BadIntegrity, false));
        }
        let events: Vec<_> = story.events().map(|(_, event)| event).collect();
        assert_eq!(events.len(), 1 + BY_OTHERS);
        assert_eq!(events[0], Event::granted(Method::Allocate, None, None));
        assert!(matches!(
            events[BY_OTHERS],
            Event::Refused {
                times: u16::MAX,
                ..
            }
        ));
    }

    #[test]
    fn the_longest_events_that_there_are_take_less_than_a_kibibyte() {
        let mut story = Story::default();
        let longest = Event::Granted {
            method: Method::Allocate,
            lifetime: Some(u32::MAX),
            channel: ChannelNumber::new(0x4000),
            peer: Some("[2001:db8::1]:4000".parse().unwrap()),
            more: u8::MAX,
        };
        for number in 0..100 {
            // A hundred days.
            story.note(millis(8_640_000_000 + number), &longest);
        }
        assert_eq!(story.events().count(), EVENTS);
        assert!(story.0.len() <= 1024 + 64, "{} bytes", story.0.len());
    }

    #[test]
    fn each_refusal_of_a_user_is_an_event_of_its_own() {
        let mut story = Story::default();
        for _ in 0..3 {
            story.note(millis(1), &refused(Refusal::UserQuota, true));
        }
        assert_eq!(story.events().count(), 3);
    }
}
