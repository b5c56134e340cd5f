//! The pictures that each participant is shown: the tracks of the room, and the participants that they come from and go to.
//!
//! One rule, which is str0m's: **one change, then drain**. After each packet, message or timeout, [`Sfu::drain`] takes
//! everything out of every participant; what one of them received is a change of the others, and they are drained
//! again.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::Input;
use str0m::media::{KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use tokio::net::UdpSocket;

use crate::participant::Participant;
use crate::room::{Description, Member, News};

/// All participants, by the ids of the members.
pub struct Sfu {
    media: SocketAddr,
    participants: BTreeMap<String, Participant>,
    /// All tracks that have brought something, and when a whole picture of it was last asked for.
    tracks: BTreeMap<Track, Option<Instant>>,
    /// Whether descriptions may be due.
    changed: bool,
}

/// Something that a member sends: its camera, or its microphone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Track {
    /// The member.
    pub from: String,
    /// The place in the descriptions between that member and here.
    pub mid: Mid,
    /// Sound or picture.
    pub kind: Kind,
}

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Sound,
    Picture,
}

/// News from one participant's connection for the others.
pub enum Brought {
    /// A picture, or some milliseconds of sound.
    Media(Box<MediaData>),
    /// The member cannot go on without a whole picture of this track.
    Stuck(Track),
    /// Nothing has come from the member for 15 seconds, or its connection is broken for good.
    Silence,
}

impl Sfu {
    /// One without participants, which sends and receives at this address.
    pub fn new(media: SocketAddr) -> Self {
        Self {
            media,
            participants: BTreeMap::new(),
            tracks: BTreeMap::new(),
            changed: false,
        }
    }

    /// Takes in a member of the room.
    pub fn add(&mut self, now: Instant, member: Member) {
        println!("{} has come", member.id);
        let participant = Participant::new(now, self.media, member.polite);
        self.participants.insert(member.id, participant);
        self.changed = true;
    }

    /// Takes what the signaling server says.
    pub fn handle_news(&mut self, now: Instant, news: News) {
        match news {
            News::Joined(member) => self.add(now, member),
            News::Left(id) => self.remove(&id),
            News::Described(from, description) => {
                if let Some(participant) = self.participants.get_mut(&from) {
                    participant.handle_description(description);
                    self.changed = true;
                }
            }
            News::Other => {}
        }
    }

    /// Takes a datagram: it is the participant's whose connection knows the sender, or the secrets in it.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        // A packet that no connection could read is a stranger's.
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.media, packet) else {
            return;
        };
        let input = Input::Receive(now, receive);
        let mut participants = self.participants.values_mut();
        if let Some(participant) = participants.find(|it| it.accepts(&input)) {
            participant.handle_input(input);
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        for participant in self.participants.values_mut() {
            participant.handle_input(Input::Timeout(now));
        }
    }

    /// Sends what there is to send, and passes on what there is to pass on. Returns when the next timeout is.
    pub fn drain(&mut self, socket: &UdpSocket) -> Instant {
        let mut brought = VecDeque::new();
        loop {
            let mut deadline = Instant::now() + Duration::from_secs(1);
            for (id, participant) in &mut self.participants {
                let timeout = participant.drain(
                    |packet, to| {
                        // A datagram that the kernel does not take now is lost, as any may be.
                        let _ = socket.try_send_to(packet, to);
                    },
                    |it| brought.push_back((id.clone(), it)),
                );
                deadline = deadline.min(timeout);
            }
            match brought.pop_front() {
                Some((from, Brought::Media(data))) => self.pass_on(&from, &data),
                Some((_, Brought::Stuck(track))) => self.want_whole_picture(&track),
                Some((from, Brought::Silence)) => self.hide(&from),
                None => return deadline,
            }
        }
    }

    /// The descriptions that are due, each with the id of the member that it is for.
    pub fn descriptions(&mut self) -> Vec<(String, Description)> {
        let mut due = Vec::new();
        if mem::take(&mut self.changed) {
            for (id, participant) in &mut self.participants {
                let shown = self.tracks.keys().filter(|track| track.from != *id);
                let descriptions = participant.descriptions(shown);
                due.extend(descriptions.into_iter().map(|it| (id.clone(), it)));
            }
        }
        due
    }

    /// Sends to all others what came from one participant.
    fn pass_on(&mut self, from: &str, data: &MediaData) {
        let Some(track) = self.track(from, data.mid) else {
            return;
        };
        for (_, participant) in self.participants.iter_mut().filter(|(id, _)| *id != from) {
            participant.show(&track, data);
        }
        if !data.contiguous {
            self.want_whole_picture(&track);
        }
    }

    /// A track, which is new if this is the first that comes of it.
    fn track(&mut self, from: &str, mid: Mid) -> Option<Track> {
        let kind = match self.participants.get(from)?.kind(mid)? {
            MediaKind::Audio => Kind::Sound,
            MediaKind::Video => Kind::Picture,
        };
        let track = Track {
            from: from.to_owned(),
            mid,
            kind,
        };
        if !self.tracks.contains_key(&track) {
            let of_this_member = self.tracks.keys().filter(|it| it.from == from);
            if of_this_member.count() >= TRACKS {
                return None;
            }
            println!("{from} sends {kind:?}");
            self.tracks.insert(track.clone(), None);
            self.changed = true;
        }
        Some(track)
    }

    /// Asks the member that a track comes from for a picture that needs none before it. When many ask at once, as
    /// viewers do that come at the same time, one request is enough.
    fn want_whole_picture(&mut self, track: &Track) {
        let (Some(asked), Some(sender)) = (
            self.tracks.get_mut(track),
            self.participants.get_mut(&track.from),
        ) else {
            return;
        };
        let now = Instant::now();
        if asked.is_none_or(|asked| now >= asked + BETWEEN_WHOLE_PICTURES) {
            *asked = Some(now);
            sender.ask_for_whole_picture(track.mid, KeyframeRequestKind::Pli);
        }
    }

    fn remove(&mut self, id: &str) {
        println!("{id} has left");
        self.participants.remove(id);
        self.hide(id);
    }

    /// Shows nobody any longer what a member sent. If it sends again, its tracks are new ones.
    fn hide(&mut self, id: &str) {
        self.tracks.retain(|track, _| track.from != id);
        self.changed = true;
    }
}

/// How many tracks a member may send: camera, microphone, and the same of a screen.
const TRACKS: usize = 4;
/// Whole pictures are many times as large as others.
const BETWEEN_WHOLE_PICTURES: Duration = Duration::from_millis(500);
