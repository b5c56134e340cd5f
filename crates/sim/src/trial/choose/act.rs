//! The kinds of steps, and how the details of each are chosen.

use std::time::Duration;

use relay::{Icmp, OpenError};

use super::details::{channel, garbage, length};
use crate::choices::Choices;
use crate::trial::scene::Change;
use crate::trial::step::{MachineStep, Manner, Step};
use crate::trial::{NOBODY, Trial};

/// The kinds of steps, before their details are chosen.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Tell,
    Again,
    Damage,
    ChannelData,
    Garbage,
    PeerSends,
    Icmp,
    Wait,
    Disconnect,
    Occupy,
    Vacate,
    Machine,
    OpenOne,
    Heal,
    Upgrade,
    Rules,
}

impl Act {
    pub(super) fn step(self, trial: &Trial, choices: &mut Choices<'_>, who: usize) -> Step {
        match self {
            Self::Tell => trial.tell(choices, who),
            Self::Again => {
                let fate = trial.fate(choices, who);
                Step::Again { who, fate }
            }
            Self::Damage => Step::Damage {
                who,
                at: choices.number(),
                bits: choices.byte(),
                fate: trial.fate(choices, who),
            },
            Self::ChannelData => Step::ChannelData {
                who,
                channel: channel(choices),
                length: length(choices, 65_535),
                lie: choices.weighted(&[(14, 0), (1, 1), (1, -1)]),
                fate: trial.fate(choices, who),
            },
            Self::Garbage => Step::Garbage {
                who,
                bytes: garbage(choices),
                fate: trial.fate(choices, who),
            },
            Self::PeerSends => Step::PeerSends {
                from: trial.place(choices),
                to: trial.destination(choices, who),
                length: length(choices, 65_507),
                fate: trial.fate(choices, NOBODY),
            },
            Self::Icmp => Step::Icmp {
                from: trial.destination(choices, who),
                peer: trial.place(choices),
                icmp: Icmp {
                    kind: choices.pick(&[0, 1, 2, 3, 3, 3, 4, 11]),
                    code: choices.below(5) as u8,
                    data: choices.pick(&[0, 1280, u32::MAX]),
                },
                fate: trial.fate(choices, NOBODY),
            },
            Self::Wait => Step::Wait(trial.pause(choices)),
            Self::Disconnect if trial.is_stream(who) => Step::Disconnect { who },
            // A datagram has no connection that could end.
            Self::Disconnect => Step::Wait(Duration::ZERO),
            Self::Occupy => Step::Machine(MachineStep::Occupy {
                port: choices.byte(),
                v6: choices.flag(),
            }),
            Self::Vacate => Step::Machine(MachineStep::Vacate),
            Self::Machine => Step::Machine(MachineStep::Treat(choices.weighted(&[
                (4, Manner::Slow),
                (1, Manner::Refusing(OpenError::Exhausted)),
                (1, Manner::Refusing(OpenError::NotLocal)),
                (1, Manner::Refusing(OpenError::System)),
                (1, Manner::Refusing(OpenError::InUse)),
            ]))),
            Self::Upgrade => {
                let at_once = (6, Duration::ZERO);
                let soon = (1, Duration::from_millis(u64::from(choices.byte())));
                let later = (1, trial.pause(choices));
                Step::Upgrade(choices.weighted(&[at_once, soon, later]))
            }
            Self::Rules => Step::Rules(Change::choose(choices)),
            Self::OpenOne => Step::Machine(MachineStep::OpenOne),
            Self::Heal => Step::Machine(MachineStep::Treat(Manner::Willing)),
        }
    }
}
