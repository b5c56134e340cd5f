//! A member of the room as the SFU has it: a WebRTC connection, and the tracks that are shown on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use crate::room::Description;
use crate::sfu::{Brought, Kind, Track};

/// The connection with one member.
pub struct Participant {
    rtc: Rtc,
    /// Of two offers at the same time, whether ours is the one that does not count.
    polite: bool,
    /// Our offer that has no answer yet.
    offered: Option<Offered>,
    /// Our answer to the member's last offer, until it is sent.
    answer: Option<SdpAnswer>,
    /// The tracks that the member is shown, and their place in the descriptions.
    shown: BTreeMap<Track, Mid>,
    /// Whether the first offer was made, which asks for the member's own camera and microphone.
    invited: bool,
}

/// An offer, and what is true once it is answered.
struct Offered {
    pending: SdpPendingOffer,
    shown: BTreeMap<Track, Mid>,
    invited: bool,
}

impl Participant {
    /// A connection at which nothing has happened yet.
    pub fn new(now: Instant, media: SocketAddr, polite: bool) -> Self {
        let mut rtc = Rtc::builder()
            // The SFU has one address, which is known: it need not search for a way, only answer those who do.
            .set_ice_lite(true)
            // One codec of each kind, so that what one member sends all others can show.
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        let candidate =
            Candidate::host(media, "udp").expect("an address that a socket is bound to");
        rtc.add_local_candidate(candidate);
        Self {
            rtc,
            polite,
            offered: None,
            answer: None,
            shown: BTreeMap::new(),
            invited: false,
        }
    }

    /// Whether a datagram is of this connection.
    pub fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    /// Takes a datagram, or the time.
    pub fn handle_input(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            self.give_up(&error);
        }
    }

    /// Takes the member's description. When both have offered, one of the offers does not count: the member's own if it
    /// is polite, or else ours, which is then made again.
    pub fn handle_description(&mut self, description: Description) {
        let outcome = match description {
            Description::Offer(_) if self.offered.is_some() && !self.polite => return,
            Description::Offer(sdp) => self.accept_offer(&sdp),
            Description::Answer(sdp) => self.accept_answer(&sdp),
        };
        if let Err(error) = outcome {
            // The error may hold the member's own words.
            println!(
                "a description cannot be used: {}",
                error.to_string().escape_debug()
            );
        }
    }

    fn accept_offer(&mut self, sdp: &str) -> Result<(), Box<dyn std::error::Error>> {
        let offer = SdpOffer::from_sdp_string(sdp)?;
        self.offered = None;
        self.answer = Some(self.rtc.sdp_api().accept_offer(offer)?);
        // A member that offers has said itself what it sends.
        self.invited = true;
        Ok(())
    }

    fn accept_answer(&mut self, sdp: &str) -> Result<(), Box<dyn std::error::Error>> {
        // An answer to no offer came too late.
        let Some(offered) = self.offered.take() else {
            return Ok(());
        };
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        self.rtc.sdp_api().accept_answer(offered.pending, answer)?;
        self.shown = offered.shown;
        self.invited = offered.invited;
        Ok(())
    }

    /// The answer, if one is due, and an offer, if these tracks are not those that the member is shown.
    pub fn descriptions<'a>(
        &mut self,
        tracks: impl Iterator<Item = &'a Track>,
    ) -> Vec<Description> {
        let answer = self.answer.take();
        let mut due: Vec<_> = answer
            .map(|answer| Description::Answer(answer.to_sdp_string()))
            .into_iter()
            .collect();
        if self.offered.is_none() && self.rtc.is_alive() {
            due.extend(self.offer(tracks));
        }
        due
    }

    fn offer<'a>(&mut self, tracks: impl Iterator<Item = &'a Track>) -> Option<Description> {
        let mut change = self.rtc.sdp_api();
        if !self.invited {
            for kind in [MediaKind::Audio, MediaKind::Video] {
                change.add_media(kind, Direction::RecvOnly, None, None, None);
            }
        }
        let mut before = self.shown.clone();
        let mut shown = BTreeMap::new();
        for track in tracks {
            let mid = before.remove(track).unwrap_or_else(|| {
                let kind = match track.kind {
                    Kind::Sound => MediaKind::Audio,
                    Kind::Picture => MediaKind::Video,
                };
                // The stream is named by the member that it comes from.
                let stream = Some(track.from.clone());
                change.add_media(kind, Direction::SendOnly, stream, None, None)
            });
            shown.insert(track.clone(), mid);
        }
        for (_, mid) in before {
            change.stop_media(mid);
        }
        let (offer, pending) = change.apply()?;
        self.offered = Some(Offered {
            pending,
            shown,
            invited: true,
        });
        Some(Description::Offer(offer.to_sdp_string()))
    }

    /// Takes everything out of the connection: packets to send, what it brings for others, and when it wants to be told
    /// the time again.
    pub fn drain(
        &mut self,
        mut send: impl FnMut(&[u8], SocketAddr),
        mut bring: impl FnMut(Brought),
    ) -> Instant {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => return deadline,
                Ok(Output::Transmit(packet)) => send(&packet.contents, packet.destination),
                Ok(Output::Event(Event::MediaData(data))) => bring(Brought::Media(Box::new(data))),
                Ok(Output::Event(Event::KeyframeRequest(request))) => {
                    let track = self.shown.iter().find(|(_, mid)| **mid == request.mid);
                    if let Some((track, _)) = track {
                        bring(Brought::Stuck(track.clone()));
                    }
                }
                Ok(Output::Event(Event::IceConnectionStateChange(
                    IceConnectionState::Disconnected,
                ))) => {
                    bring(Brought::Silence);
                }
                // Of no interest to an SFU, and new kinds come with new versions of str0m.
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    self.give_up(&error);
                    bring(Brought::Silence);
                }
            }
        }
    }

    /// Whether a place in the descriptions is for sound or for a picture.
    pub fn kind(&self, mid: Mid) -> Option<MediaKind> {
        Some(self.rtc.media(mid)?.kind())
    }

    /// Sends a piece of a track, if the member is shown the track.
    pub fn show(&mut self, track: &Track, data: &MediaData) {
        let Some(writer) = self.shown.get(track).and_then(|mid| self.rtc.writer(*mid)) else {
            return;
        };
        // Members number the codecs, each in its own way.
        let Some(codec) = writer.match_params(data.params) else {
            return;
        };
        let written = writer.write(codec, data.network_time, data.time, data.data.clone());
        if let Err(error) = written {
            self.give_up(&error);
        }
    }

    /// Asks the member for a picture that needs none before it.
    pub fn ask_for_whole_picture(&mut self, mid: Mid, how: KeyframeRequestKind) {
        if let Some(mut writer) = self.rtc.writer(mid) {
            // A sound has none, and is not asked.
            let _ = writer.request_keyframe(None, how);
        }
    }

    /// Ends a connection that cannot go on. The member is shown nothing more, until it comes again.
    fn give_up(&mut self, error: &dyn std::error::Error) {
        println!(
            "a connection is given up: {}",
            error.to_string().escape_debug()
        );
        self.rtc.disconnect();
    }
}
