//! Two hosts with one address each, as partners: each answers from its own for the other.
//!
//! Both write a keepalive every few seconds. A partner that is heard and hears us is *met*; while
//! it is, clients are told of its address. One that falls silent is lost, and with it all of NAT
//! discovery, until it is met again.
//!
//! Anyone can send to the port that partners write to. What is obeyed there is sealed with the
//! shared secret, of this minute, of these lives of both servers, and heard once; and it can bring
//! about a Binding response of our own making, within our own budget, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use wire::attributes::ChangeRequest;
use wire::{AddressFamily, Method};

use super::line::{Line, micros};
use super::note::{Content, Setting};
use super::window::Window;
use super::{Corner, Errand, PartnerFlaw};
use crate::request::{Head, Origin, Success, may_amplify};
use crate::timers::Timer;
use crate::{
    ClientTuple, Destination, DropReason, Effect, Now, Outgoing, PartnerNews, Report, Server,
    Transport, Verdict,
};

/// What the shard that keeps the link to a partner knows of it.
#[derive(Debug)]
pub(crate) struct Link {
    family: AddressFamily,
    /// Where its notes come from and ours go to.
    partner: SocketAddr,
    /// What it must say of itself.
    setting: Setting,
    /// When it was last heard to hear us.
    heard: Option<Instant>,
    window: Window,
    /// When the operator was last told what is wrong with it.
    complained: Option<Instant>,
}

/// What a note says that is obeyed.
enum Heard {
    Keepalive {
        /// Whether the partner knows our session, so that it is met.
        names_us: bool,
        /// Whether it should hear from us at once.
        is_news: bool,
    },
    Errand(Errand),
}

impl Server {
    /// This shard, one of all, keeps the links to the partners from now on.
    pub fn keep_partners(&mut self, now: Now) {
        let config = Arc::clone(&self.config);
        for discovery in &config.nat_discovery {
            let family = discovery.family();
            let (Some(partner), Some(line)) = (discovery.partner(), self.shared.lines.of(family))
            else {
                continue;
            };
            // 0 stands for none.
            line.begin(self.rng.next_u64() | 1);
            self.links.push(Link {
                family,
                partner: partner.socket(),
                setting: Setting {
                    address: partner.address,
                    ports: discovery.ports,
                },
                heard: None,
                window: Window::new(),
                complained: None,
            });
            self.timers.arm(now.mono, Timer::Partner(family));
        }
    }

    /// A datagram that came to the port for partners. RFC 5780 knows one server with two addresses;
    /// how two servers come to be one is theirs.
    pub fn handle_partner(
        &mut self,
        now: Now,
        from: SocketAddr,
        packet: &[u8],
    ) -> Verdict<'_, 'static> {
        self.handle_timeout(now);
        let shared = Arc::clone(&self.shared);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let mut links = self.links.iter_mut();
        let link = links.find(|link| link.partner == from);
        let found = link.and_then(|link| Some((shared.lines.of(link.family)?, link)));
        let Some((line, link)) = found else {
            return self.discard(DropReason::NoPartner);
        };
        let (family, partner) = (link.family, link.partner);
        match link.hear(now, line, packet) {
            Ok(Heard::Keepalive { names_us, is_news }) => {
                if names_us && !line.set_met(true) {
                    self.report_partner(partner, PartnerNews::Met);
                }
                if is_news {
                    self.tell_partner(now, family);
                }
                Verdict::Done
            }
            Ok(Heard::Errand(errand)) => self.run(now, family, errand),
            Err(flaw) => {
                if link.may_complain(now.mono) {
                    self.report_partner(partner, PartnerNews::Refused(flaw));
                }
                self.discard(flaw.drop_reason())
            }
        }
    }

    /// Answers a client of the partner's, which asked there to be answered from here.
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
        // The partner has charged it, too: one that is taken over does not strengthen an attack.
        let excess = self.reply.len().saturating_sub(errand.least_request());
        if excess > 0 && !may_amplify(self, now, via, excess) {
            return self.discard(DropReason::OverBudget);
        }
        self.counters.bindings += 1;
        Verdict::Answer(Outgoing::answer(via, &self.reply))
    }

    /// A keepalive is due, or it is time to give a partner up.
    pub(crate) fn remind_partner(&mut self, now: Now, family: AddressFamily) {
        let shared = Arc::clone(&self.shared);
        let mut links = self.links.iter_mut();
        let link = links.find(|link| link.family == family);
        let (Some(link), Some(line)) = (link, shared.lines.of(family)) else {
            return;
        };
        let lost_at = link.heard.map(|heard| heard + SILENCE);
        if lost_at.is_some_and(|lost_at| lost_at <= now.mono) {
            link.heard = None;
            line.set_met(false);
            let partner = link.partner;
            self.report_partner(partner, PartnerNews::Lost);
        }
        let next = match lost_at.filter(|lost_at| *lost_at > now.mono) {
            Some(lost_at) => lost_at.min(now.mono + KEEPALIVE),
            None => now.mono + GREETING,
        };
        self.timers.arm(next, Timer::Partner(family));
        self.tell_partner(now, family);
    }

    fn report_partner(&mut self, partner: SocketAddr, news: PartnerNews) {
        let report = Report::Partner { partner, news };
        self.effects.push(Effect::Report(report));
    }

    fn tell_partner(&mut self, now: Now, family: AddressFamily) {
        if let Some(line) = self.shared.lines.of(family) {
            let note = line.keepalive(now.unix).to_vec();
            self.effects.push(Effect::Send(Outgoing {
                to: Destination::Partner(family),
                contents: note,
            }));
        }
    }
}

impl Link {
    /// Reads a packet that came from the partner's address. What makes it no note of the partner's
    /// to this life of ours is a flaw.
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
/// A partner is lost after so long: three keepalives.
const SILENCE: Duration = Duration::from_secs(15);
/// So old a note may be, or so far the clocks of partners apart.
const FRESH: Duration = Duration::from_secs(30);
/// Between two lines of the log on what is wrong with a partner.
const COMPLAINT: Duration = Duration::from_secs(60);
