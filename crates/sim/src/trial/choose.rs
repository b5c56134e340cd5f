//! The choice of the next step: mostly one that a client would take, sometimes one that none
//! should.

mod act;
mod details;

use std::time::Duration;

use wire::attributes::{DontFragment, PasswordAlgorithm};
use wire::{Attribute, Method};

use act::Act;
use details::{CREDENTIALS, FAMILIES, allocate, channel, family, length, lifetime, odd};

use super::Trial;
use super::step::{Ask, MachineStep, Manner, Place, Shown, Signing, Step, Transaction};
use crate::choices::Choices;
use crate::network::Fate;

impl Trial {
    /// Chooses a step, more often than not one that makes sense in this state.
    pub(super) fn choose(&self, choices: &mut Choices<'_>) -> Step {
        let who = self.who(choices);
        // A machine that treats requests badly gets better soon.
        if self.world.waiting_sockets() > 0 && choices.rarely(6) {
            return choices
                .pick(&[Act::OpenOne, Act::Heal])
                .step(self, choices, who);
        }
        if self.is_machine_ill && choices.rarely(8) {
            return Step::Machine(MachineStep::Treat(Manner::Willing));
        }
        // So do rules that leave clients with nothing to do.
        if let Some(remedy) = self.scene.remedy()
            && choices.rarely(16)
        {
            return Step::Rules(remedy);
        }
        let tuple = self.people[who].tuple;
        if self.model.carries(tuple) && choices.rarely(8) {
            return Step::EndSplice { who };
        }
        if self.model.peers_at().0 > 0 && choices.rarely(8) {
            let is_there = !choices.rarely(4);
            return Step::PeerAnswers { is_there };
        }
        if self.model.has_tcp(tuple) && choices.rarely(4) {
            return Step::PeerConnects {
                from: self.place(choices),
                to: self.destination(choices, who),
            };
        }
        let has_allocation = self.model.has_allocation(tuple);
        let act = if has_allocation {
            choices.weighted(&[
                (80, Act::Tell),
                (10, Act::Again),
                (3, Act::Damage),
                (40, Act::ChannelData),
                (1, Act::Garbage),
                (56, Act::PeerSends),
                (4, Act::Icmp),
                (40, Act::Wait),
                (1, Act::Disconnect),
                (1, Act::Occupy),
                (1, Act::Vacate),
                (1, Act::Machine),
                (2, Act::Upgrade),
                (2, Act::Rules),
            ])
        } else {
            choices.weighted(&[
                (40, Act::Tell),
                (4, Act::Again),
                (1, Act::Damage),
                (1, Act::ChannelData),
                (1, Act::Garbage),
                (4, Act::PeerSends),
                (8, Act::Wait),
                (1, Act::Disconnect),
                (1, Act::Occupy),
                (1, Act::Vacate),
                (1, Act::Machine),
                (2, Act::Upgrade),
                (2, Act::Rules),
            ])
        };
        act.step(self, choices, who)
    }

    /// A client; seldom one of the last two, who get nothing.
    fn who(&self, choices: &mut Choices<'_>) -> usize {
        let count = self.people.len();
        if choices.rarely(32) {
            count - 1 - choices.below(2)
        } else {
            choices.below(count - 2)
        }
    }

    fn tell(&self, choices: &mut Choices<'_>, who: usize) -> Step {
        let tuple = self.people[who].tuple;
        let has_allocation = self.model.has_allocation(tuple);
        let method = if self.model.has_tcp(tuple) {
            choices.weighted(&[
                (60, Method::Connect),
                (40, Method::CreatePermission),
                (6, Method::Refresh),
                (2, Method::Allocate),
                (2, Method::ChannelBind),
                (2, Method::ConnectionBind),
                (4, Method::Send),
            ])
        } else if !has_allocation {
            let binds = self.is_stream(who) && !self.connections.is_empty();
            choices.weighted(&[
                (if binds { 40 } else { 1 }, Method::ConnectionBind),
                (2, Method::Binding),
                (40, Method::Allocate),
                (
                    if self.tickets.is_empty() { 1 } else { 20 },
                    Method::Refresh,
                ),
                (1, Method::CreatePermission),
                (1, Method::ChannelBind),
                (1, Method::Send),
                (1, Method::Data),
                (1, Method::Connect),
                (1, Method::ConnectionAttempt),
            ])
        } else if !self.model.has_permission(tuple) {
            choices.weighted(&[
                (1, Method::Allocate),
                (1, Method::Refresh),
                (8, Method::CreatePermission),
                (8, Method::ChannelBind),
                (2, Method::Send),
            ])
        } else {
            choices.weighted(&[
                (2, Method::Binding),
                (4, Method::Allocate),
                (16, Method::Refresh),
                (30, Method::CreatePermission),
                (40, Method::ChannelBind),
                (60, Method::Send),
                (1, Method::Data),
                (1, Method::Connect),
                (1, Method::ConnectionBind),
                (1, Method::ConnectionAttempt),
            ])
        };
        let mut ask = self.proper(choices, who, method);
        if method == Method::Refresh && choices.rarely(if has_allocation { 8 } else { 2 }) {
            ask.mobility = Some(Some(Shown::Heard(choices.below(3) as u8)));
        }
        if choices.rarely(6) {
            self.spoil(choices, &mut ask);
        }
        let fate = self.fate(choices, who);
        let ask = Box::new(ask);
        Step::Tell { who, ask, fate }
    }

    /// A message as a client should write it.
    fn proper(&self, choices: &mut Choices<'_>, who: usize, method: Method) -> Ask {
        let algorithm = self.algorithm(choices, who);
        let mut ask = Ask::new(method, algorithm, choices.rarely(3));
        match method {
            Method::Allocate => allocate(choices, &mut ask, self.is_stream(who)),
            Method::Refresh => {
                ask.lifetime = Some(match choices.below(5) {
                    0 => 0,
                    _ => lifetime(choices),
                });
                if choices.rarely(4) {
                    ask.family = Some(family(choices));
                }
            }
            Method::CreatePermission => {
                let count = choices.pick(&[1, 1, 1, 2, 2, 3, 5]);
                ask.peers = (0..count).map(|_| self.place(choices)).collect();
            }
            Method::ChannelBind => {
                ask.channel = Some(channel(choices));
                ask.peers = vec![self.place(choices)];
            }
            Method::Send | Method::Data => {
                ask.signing = Signing::Unsigned;
                ask.peers = vec![self.place(choices)];
                ask.data = Some(length(choices, 65_400));
                if choices.rarely(4) {
                    ask.odd = Some((DontFragment::TYPE, vec![]));
                }
                if choices.rarely(32) {
                    // A keepalive of pjnath's.
                    ask.peers.clear();
                    ask.data = None;
                }
            }
            Method::Binding => {
                ask.signing = Signing::Unsigned;
                if choices.rarely(2) {
                    // CHANGE-REQUEST, as PJSIP and Debian's `stun` send it, or with a flag.
                    ask.odd = Some((0x0003, vec![0, 0, 0, choices.pick(&[0, 0, 1, 2, 4, 6])]));
                }
            }
            Method::Connect => ask.peers = vec![self.place(choices)],
            Method::ConnectionBind => {
                ask.connection = match choices.below(8) {
                    0 => None,
                    1 => Some(Shown::Invented),
                    _ => Some(Shown::Heard(choices.below(3) as u8)),
                };
            }
            Method::ConnectionAttempt | Method::Other(_) => ask.signing = Signing::Unsigned,
        }
        ask
    }

    /// One of the algorithms offered, or none as an old client.
    fn algorithm(&self, choices: &mut Choices<'_>, who: usize) -> Option<PasswordAlgorithm> {
        let offered = &self.people[who].credentials.algorithms;
        let (entries, _) = offered.as_chunks::<4>();
        let chosen = choices.below(entries.len() + 1);
        let entry = entries
            .get(chosen)
            .or(entries.first().filter(|_| choices.flag()))?;
        Some(PasswordAlgorithm(u16::from_be_bytes([entry[0], entry[1]])))
    }

    /// Spoils one detail of a message.
    fn spoil(&self, choices: &mut Choices<'_>, ask: &mut Ask) {
        match choices.below(20) {
            0 => ask.signing = Signing::Unsigned,
            1 => ask.signing = Signing::Bob,
            2 => ask.signing = Signing::WrongPassword,
            3 => ask.signing = Signing::InventedNonce,
            4 => ask.signing = Signing::NonceOf(choices.below(self.people.len())),
            5 => ask.signing = Signing::Without(choices.pick(&CREDENTIALS)),
            6 => ask.signing = Signing::Hashed,
            7 => ask.algorithm = Some(PasswordAlgorithm(3)),
            8 => ask.transaction = Transaction::Last,
            9 => ask.transaction = Transaction::Rfc3489,
            10 => ask.transport = choices.pick(&[None, Some(6), Some(0)]),
            11 => ask.odd = Some(odd(choices)),
            12 if choices.flag() => ask.mobility = Some(Some(Shown::Invented)),
            12 => ask.unsigned_odd = Some(odd(choices)),
            13 if choices.rarely(3) => ask.is_response = true,
            13 => ask.indication = !ask.indication,
            14 => ask.family = Some(choices.pick(&FAMILIES)),
            15 => ask.additional = Some(choices.pick(&FAMILIES)),
            16 => ask.channel = choices.pick(&[None, Some(0x3FFF), Some(0x8000), Some(0x7FFF)]),
            17 => ask.peers.clear(),
            18 => ask.data = None,
            _ => {
                ask.token = Some(Shown::Invented);
                ask.even_port = choices.pick(&[None, Some(true)]);
            }
        }
    }

    fn fate(&self, choices: &mut Choices<'_>, who: usize) -> Fate {
        if !self.scene.rough {
            Fate::calm()
        } else if self.is_stream(who) {
            Fate::rough(choices).in_order()
        } else {
            Fate::rough(choices)
        }
    }

    fn place(&self, choices: &mut Choices<'_>) -> Place {
        match choices.below(32) {
            0..=17 => Place::V4(choices.pick(&[0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7])),
            18..=21 => Place::V6(choices.below(4) as u8),
            22..=29 => self.relayed(choices),
            30 => Place::Port {
                port: choices.byte(),
                v6: choices.flag(),
                local: choices.flag(),
            },
            _ => choices.pick(&[
                Place::Private,
                Place::Listener,
                Place::PortZero,
                Place::Mapped,
            ]),
        }
    }

    fn relayed(&self, choices: &mut Choices<'_>) -> Place {
        Place::Relayed {
            who: choices.below(self.people.len()),
            v6: choices.rarely(4),
        }
    }

    /// The address that a peer sends to: most likely this client's relayed transport address.
    fn destination(&self, choices: &mut Choices<'_>, who: usize) -> Place {
        match choices.below(16) {
            0 => Place::Port {
                port: choices.byte(),
                v6: choices.flag(),
                local: true,
            },
            1 | 2 => self.relayed(choices),
            _ => Place::Relayed {
                who,
                v6: choices.rarely(4),
            },
        }
    }

    /// How long nothing happens: not at all, a moment, or until something is about to end.
    fn pause(&self, choices: &mut Choices<'_>) -> Duration {
        match choices.below(32) {
            0..=27 => Duration::from_millis(u64::from(choices.byte())),
            28 => Duration::from_secs(u64::from(choices.byte())),
            29 if choices.rarely(16) => Duration::from_secs(u64::from(choices.byte()) * 16),
            _ => {
                let mut deadlines = self.model.deadlines();
                deadlines.sort();
                if deadlines.is_empty() {
                    return Duration::from_secs(1);
                }
                // The next deadlines, or any.
                let next = if choices.rarely(8) {
                    deadlines.len()
                } else {
                    3
                };
                let at = usize::from(choices.byte()) % next.min(deadlines.len());
                let left = deadlines[at].saturating_sub(self.now());
                match choices.below(4) {
                    0 => left.saturating_sub(Duration::from_nanos(1)),
                    1 => left + Duration::from_nanos(1),
                    _ => left,
                }
            }
        }
    }
}
