//! The answers of a discovery, before anything is concluded from them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::inquiry::{BindingAnswer, Purpose, Reply, Socket};

/// How each question ended; a question without a note was not asked.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// By server, in the order of the configuration.
    pub(crate) reach: Vec<Option<Reply>>,
    pub(crate) map_address: Option<Reply>,
    pub(crate) map_port: Option<Reply>,
    pub(crate) filter_both: Option<Reply>,
    pub(crate) filter_port: Option<Reply>,
    /// Whether the other port of the first address answers a request of its own.
    pub(crate) check_port: Option<Reply>,
    pub(crate) hairpin_reach: Option<Reply>,
    pub(crate) hairpin: Option<Reply>,
    /// By bytes of UDP payload.
    pub(crate) padding: BTreeMap<usize, Reply>,
    /// The routers on the way, by their distance.
    pub(crate) hops: BTreeMap<u8, IpAddr>,
    /// Mappings that were left silent for so long, and whether they still lived.
    pub(crate) silences: BTreeMap<Duration, bool>,
    /// Why silent mappings prove nothing.
    pub(crate) no_lifetime: Option<Reply>,
    /// Local and mapped port of every socket that a server told its mapping.
    pub(crate) ports: BTreeMap<Socket, (u16, u16)>,
    /// The first wrong address that an answer came from.
    pub(crate) stray: Option<SocketAddr>,
    /// How many such answers came.
    pub(crate) strays: u32,
}

impl Notes {
    /// Notes about so many servers.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            reach: vec![None; servers],
            ..Self::default()
        }
    }

    /// Notes how a question ended, if its purpose has a note of its own.
    pub(crate) fn take(&mut self, purpose: Purpose, reply: Reply) {
        let note = match purpose {
            Purpose::Reach(server) => &mut self.reach[server],
            Purpose::MapAddress => &mut self.map_address,
            Purpose::MapPort => &mut self.map_port,
            Purpose::FilterBoth => &mut self.filter_both,
            Purpose::FilterPort => &mut self.filter_port,
            Purpose::CheckPort => &mut self.check_port,
            Purpose::HairpinReach => &mut self.hairpin_reach,
            Purpose::Hairpin => &mut self.hairpin,
            Purpose::Padding(length) => {
                self.padding.insert(length, reply);
                return;
            }
            Purpose::Hop(_) | Purpose::LifetimeOpen(_) | Purpose::LifetimeAsk(_) => return,
        };
        *note = Some(reply);
    }

    /// The servers that answered, by their number.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (usize, BindingAnswer)> {
        let replies = self.reach.iter().enumerate();
        replies.filter_map(|(server, reply)| Some((server, reply.as_ref()?.answer()?)))
    }
}

impl Reply {
    /// The answer, if it was a success.
    pub(crate) const fn answer(&self) -> Option<BindingAnswer> {
        match self {
            Self::Answered(answer) => Some(*answer),
            Self::Refused(_) | Self::Senseless | Self::Silent | Self::Returned => None,
        }
    }
}
