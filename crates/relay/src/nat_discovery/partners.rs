//! Partners: two hosts with one address each, of which each answers clients of the other.
//!
//! Both write a keepalive every few seconds. A partner is *met* when its notes arrive and show that
//! ours arrive there. While it is met, clients are told of its address. A partner that falls silent
//! is lost, and NAT discovery is off until it is met again.
//!
//! Anyone can send to the port that partners write to. A note is obeyed only if it is sealed with
//! the shared secret, less than 30 seconds old, written for the present sessions of both servers,
//! and not seen before. It can bring about one Binding response of our own making, within our own
//! budget, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use wire::attributes::ChangeRequest;
use wire::{AddressFamily, Method};

use super::line::{Line, Lines, micros};
use super::note::{Content, Setting};
use super::window::Window;
use super::{Corner, Errand, NatDiscovery, PartnerFlaw};
use crate::effects::Effects;
use crate::request::{Head, Origin, Success, may_amplify};
use crate::timers::{Timer, Timers};
use crate::{
    ClientTuple, Destination, DropReason, Effect, Now, Outgoing, PartnerNews, Report, Server,
    Transport, Verdict,
};

/// The partners, in the shard that keeps the links to them; empty in every other.
#[derive(Debug, Default)]
pub(crate) struct Partners(Vec<Link>);

impl Partners {
    /// Begins a session with each partner. The first keepalives are due at once.
    fn begin(
        discoveries: &[NatDiscovery],
        lines: &Lines,
        rng: &mut impl Rng,
        timers: &mut Timers,
        now: Now,
    ) -> Self {
        let links = discoveries.iter().filter_map(|discovery| {
            let family = discovery.family();
            let (partner, line) = (discovery.partner()?, lines.of(family)?);
            // 0 stands for no session.
            line.begin(rng.next_u64() | 1);
            timers.arm(now.mono, Timer::Partner(family));
            Some(Link {
                family,
                partner: partner.socket(),
                setting: Setting {
                    address: partner.address,
                    ports: discovery.ports,
                },
                heard: None,
                window: Window::new(),
                complained: None,
            })
        });
        Self(links.collect())
    }

    /// Reads a datagram from `from`. Keepalives are dealt with here; an errand is for the caller.
    fn handle(
        &mut self,
        now: Now,
        from: SocketAddr,
        packet: &[u8],
        lines: &Lines,
        effects: &mut Effects,
    ) -> Result<Option<(AddressFamily, Errand)>, DropReason> {
        let link = self.0.iter_mut().find(|link| link.partner == from);
        let found = link.and_then(|link| Some((lines.of(link.family)?, link)));
        let (line, link) = found.ok_or(DropReason::NoPartner)?;
        match link.hear(now, line, packet) {
            Ok(Heard::Keepalive { names_us, is_news }) => {
                if names_us && !line.set_met(true) {
                    link.report(PartnerNews::Met, effects);
                }
                if is_news {
                    link.tell(now, line, effects);
                }
                Ok(None)
            }
            Ok(Heard::Errand(errand)) => Ok(Some((link.family, errand))),
            Err(flaw) => {
                if link.may_complain(now.mono) {
                    link.report(PartnerNews::Ignored(flaw), effects);
                }
                Err(flaw.drop_reason())
            }
        }
    }

    /// Sends the keepalive that is due to the partner of a family, and gives the partner up if it
    /// was silent for too long. Returns when the next is due.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Now,
        family: AddressFamily,
        lines: &Lines,
        effects: &mut Effects,
    ) -> Option<Instant> {
        let link = self.0.iter_mut().find(|link| link.family == family)?;
        let line = lines.of(family)?;
        let lost_at = link.heard.map(|heard| heard + SILENCE);
        if lost_at.is_some_and(|lost_at| lost_at <= now.mono) {
            link.heard = None;
            line.set_met(false);
            link.report(PartnerNews::Lost, effects);
        }
        link.tell(now, line, effects);
        Some(match lost_at.filter(|lost_at| *lost_at > now.mono) {
            Some(lost_at) => lost_at.min(now.mono + KEEPALIVE),
            None => now.mono + GREETING,
        })
    }
}

/// The state of a partner, in the shard that keeps the link to it.
#[derive(Debug)]
struct Link {
    family: AddressFamily,
    /// The address that its notes come from and ours go to.
    partner: SocketAddr,
    /// The addresses and ports that it must name as its own.
    setting: Setting,
    /// When a note last showed that ours arrive there.
    heard: Option<Instant>,
    window: Window,
    /// When the operator was last told what is wrong with it.
    complained: Option<Instant>,
}

/// The content of a note that is obeyed.
enum Heard {
    Keepalive {
        /// Whether the partner knows our session, so that it is met.
        names_us: bool,
        /// Whether the partner should be sent a keepalive at once.
        is_news: bool,
    },
    Errand(Errand),
}

impl Server {
    /// Makes this shard the one that keeps the links to the partners.
    pub fn keep_partners(&mut self, now: Now) {
        let (discoveries, lines) = (&self.config.nat_discovery, &self.shared.lines);
        self.partners = Partners::begin(discoveries, lines, &mut self.rng, &mut self.timers, now);
    }

    /// Handles a datagram that came to the port for partners. RFC 5780 describes one server with
    /// two addresses, and leaves open how two servers act as one.
    pub fn handle_partner(
        &mut self,
        now: Now,
        from: SocketAddr,
        packet: &[u8],
    ) -> Verdict<'_, 'static> {
        self.handle_timeout(now);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let (lines, effects) = (&self.shared.lines, &mut self.effects);
        match self.partners.handle(now, from, packet, lines, effects) {
            Ok(None) => Verdict::Done,
            Ok(Some((family, errand))) => self.run(now, family, errand),
            Err(why) => self.discard(why),
        }
    }

    /// Answers a client that asked the partner to be answered from here.
    fn run(&mut self, now: Now, family: AddressFamily, errand: Errand) -> Verdict<'_, 'static> {
        let config = Arc::clone(&self.config);
        let mut discoveries = config.nat_discovery.iter();
        let discovery = discoveries.find(|discovery| discovery.family() == family);
        let asked = Corner::at_partner(errand.alternate_port);
        let from = asked.changed(ChangeRequest {
            ip: true,
            port: errand.change_port,
        });
        let of_family = AddressFamily::of(errand.mapped.ip()) == family;
        let local = discovery.and_then(|discovery| Some((discovery, discovery.local(from)?)));
        let Some((discovery, server)) = local.filter(|_| of_family && errand.to_port != 0) else {
            return self.discard(DropReason::BadNote);
        };
        let head = Head {
            method: Method::Binding,
            transaction: errand.transaction,
            fingerprint: errand.fingerprint,
        };
        let success = Success {
            mapped: errand.mapped,
            origin: Some(Origin {
                from: discovery.external(from),
                other: discovery.external(asked.opposite()),
            }),
            padding: errand.padding.map(usize::from),
        };
        success.write(&head, &mut self.reply);
        let via = ClientTuple {
            transport: Transport::Udp,
            client: SocketAddr::new(errand.mapped.ip(), errand.to_port),
            server,
        };
        // The partner charged its budget, too. This one holds even if an attacker controls the
        // partner.
        let excess = self.reply.len().saturating_sub(errand.least_request());
        if excess > 0 && !may_amplify(self, now, via, excess) {
            return self.discard(DropReason::OverBudget);
        }
        self.counters.bindings += 1;
        Verdict::Answer(Outgoing::answer(via, &self.reply))
    }
}

impl Link {
    /// Reads a packet that came from the partner's address. It is a flaw if the packet is not a
    /// note of the partner, or is not for the present session of this server.
    fn hear(&mut self, now: Now, line: &Line, packet: &[u8]) -> Result<Heard, PartnerFlaw> {
        let note = line.open(packet).ok_or(PartnerFlaw::Secret)?;
        let own = line.session();
        if note.from == own {
            return Err(PartnerFlaw::Replayed);
        }
        let off = Duration::from_micros(micros(now.unix).abs_diff(note.stamp));
        if off > FRESH {
            return Err(PartnerFlaw::Clock { off });
        }
        if !self.window.admit(note.stamp) {
            return Err(PartnerFlaw::Replayed);
        }
        let names_us = note.to == own;
        match note.content {
            Content::Keepalive(setting) if setting != self.setting => Err(PartnerFlaw::Setting),
            Content::Keepalive(_) => {
                if names_us {
                    self.heard = Some(now.mono);
                }
                let is_known = line.set_partner(note.from) == note.from;
                let is_news = !is_known || !names_us;
                Ok(Heard::Keepalive { names_us, is_news })
            }
            Content::Errand(errand) if names_us => Ok(Heard::Errand(errand)),
            Content::Errand(_) => Err(PartnerFlaw::Replayed),
        }
    }

    fn report(&self, news: PartnerNews, effects: &mut Effects) {
        let partner = self.partner;
        effects.push(Effect::Report(Report::Partner { partner, news }));
    }

    fn tell(&self, now: Now, line: &Line, effects: &mut Effects) {
        effects.push(Effect::Send(Outgoing {
            to: Destination::Partner(self.family),
            contents: line.keepalive(now.unix).to_vec(),
        }));
    }

    /// Whether the operator may be told again. Anyone can send in the partner's name.
    fn may_complain(&mut self, now: Instant) -> bool {
        let again = self.complained.map(|complained| complained + COMPLAINT);
        let may = again.is_none_or(|again| again <= now);
        if may {
            self.complained = Some(now);
        }
        may
    }
}

/// Between two keepalives to a partner that is met, and to one that is not.
const KEEPALIVE: Duration = Duration::from_secs(5);
const GREETING: Duration = Duration::from_secs(1);
/// A partner is lost after this much silence: three keepalives.
const SILENCE: Duration = Duration::from_secs(15);
/// The greatest age of a note, and so the greatest difference between the clocks of partners.
const FRESH: Duration = Duration::from_secs(30);
/// Between two lines of the log on what is wrong with a partner.
const COMPLAINT: Duration = Duration::from_secs(60);
