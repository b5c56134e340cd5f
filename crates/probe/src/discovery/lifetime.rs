//! How long a silent mapping lives. RFC 5780 §4.6.
//!
//! The RFC's binary search halves its bracket with each silence. Several mappings can be silent at
//! the same time, so this search watches [`Socket::LIFETIMES`] of them in each of two rounds: it
//! narrows the bracket to a ninth of a ninth in the time of two silences.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Discovery;
use crate::Socket;
use crate::inquiry::{Extra, Purpose, Reply};

/// The search: mappings that are silent now, and the bracket that narrows.
#[derive(Debug)]
pub(super) struct Search {
    /// The longest silence that a mapping survived.
    survived: Duration,
    /// The shortest silence that none survived, or the longest tried.
    bound: Duration,
    rounds: u8,
    silences: Vec<Silence>,
    /// The address that the mappings share.
    address: Option<IpAddr>,
}

/// One mapping that is left silent.
#[derive(Clone, Copy, Debug)]
struct Silence {
    number: u8,
    length: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is being made.
    Opening,
    /// Nothing may be sent until then.
    Silent { until: Instant, port: u16 },
    /// The server was asked to reach it.
    Asking,
    /// The outcome is known.
    Known { lived: bool },
}

/// A silence that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    number: u8,
    port: u16,
}

impl Search {
    /// A search up to this silence.
    pub(super) const fn new(longest: Duration) -> Self {
        Self {
            survived: Duration::ZERO,
            bound: longest,
            rounds: ROUNDS,
            silences: Vec::new(),
            address: None,
        }
    }

    /// When the next silence is over.
    pub(super) fn next(&self) -> Option<Instant> {
        let until = |silence: &Silence| match silence.stage {
            Stage::Silent { until, .. } => Some(until),
            Stage::Opening | Stage::Asking | Stage::Known { .. } => None,
        };
        self.silences.iter().filter_map(until).min()
    }

    /// One silence that is over by now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Due> {
        self.silences
            .iter_mut()
            .find_map(|silence| match silence.stage {
                Stage::Silent { until, port } if until <= now => {
                    silence.stage = Stage::Asking;
                    let number = silence.number;
                    Some(Due { number, port })
                }
                Stage::Silent { .. } | Stage::Opening | Stage::Asking | Stage::Known { .. } => None,
            })
    }

    /// Spreads the silences of a round over the bracket.
    fn begin(&mut self) {
        self.rounds -= 1;
        let parts = u32::from(Socket::LIFETIMES) + u32::from(self.survived > Duration::ZERO);
        let step = (self.bound - self.survived) / parts;
        let numbers = 0..Socket::LIFETIMES;
        self.silences = numbers
            .map(|number| Silence {
                number,
                length: self.survived + step * u32::from(number + 1),
                stage: Stage::Opening,
            })
            .collect();
    }

    /// Narrows the bracket; returns whether another round is worth its time.
    fn narrow(&mut self) -> bool {
        for silence in &self.silences {
            match silence.stage {
                Stage::Known { lived: true } => self.survived = self.survived.max(silence.length),
                Stage::Known { lived: false } => self.bound = self.bound.min(silence.length),
                Stage::Opening | Stage::Silent { .. } | Stage::Asking => {}
            }
        }
        self.rounds > 0 && self.survived < self.bound
    }

    fn is_round_over(&self) -> bool {
        let known = |silence: &Silence| matches!(silence.stage, Stage::Known { .. });
        self.silences.iter().all(known)
    }
}

impl Discovery {
    /// Makes the mappings of the first round.
    pub(super) fn open_silent(&mut self, server: SocketAddr) {
        let Some(search) = &mut self.search else {
            return;
        };
        search.begin();
        for number in 0..Socket::LIFETIMES {
            let purpose = Purpose::LifetimeOpen(number);
            self.ask_plain(purpose, Socket::Lifetime(number), server);
        }
    }

    /// Asks for an answer to a mapping whose silence is over.
    pub(super) fn ask_silent(&mut self, due: Due) {
        if let Some((server, _)) = self.helper {
            let purpose = Purpose::LifetimeAsk(due.number);
            self.ask(
                purpose,
                Socket::LifetimeAsk,
                server,
                Extra::AnswerTo(due.port),
            );
        }
    }

    /// A mapping was made, or the server was asked to reach one.
    pub(super) fn take_silence(&mut self, now: Instant, purpose: Purpose, reply: Reply) {
        let (Some(search), Some((server, _))) = (&mut self.search, self.helper) else {
            return;
        };
        let stage = match (purpose, reply) {
            (Purpose::LifetimeOpen(number), Reply::Answered(answer))
                if *search.address.get_or_insert(answer.mapped.ip()) == answer.mapped.ip() =>
            {
                let silence = search.silences[usize::from(number)].length;
                let port = answer.mapped.port();
                let until = now + silence;
                Some((number, Stage::Silent { until, port }))
            }
            (Purpose::LifetimeAsk(number), Reply::Answered(answer)) => {
                let lived = answer.at == Socket::Lifetime(number);
                Some((number, Stage::Known { lived }))
            }
            (Purpose::LifetimeAsk(number), Reply::Silent) => {
                Some((number, Stage::Known { lived: false }))
            }
            _ => None,
        };
        let Some((number, stage)) = stage else {
            // Without RESPONSE-PORT, or with mappings at several addresses, silence proves nothing.
            self.notes.no_lifetime = Some(reply);
            self.search = None;
            return;
        };
        let silence = &mut search.silences[usize::from(number)];
        silence.stage = stage;
        if let Stage::Known { lived } = stage {
            self.notes.silences.insert(silence.length, lived);
        }
        if search.is_round_over() && search.narrow() {
            self.open_silent(server);
        }
    }
}

const ROUNDS: u8 = 2;
