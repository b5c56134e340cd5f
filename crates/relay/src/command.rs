//! Commands of the control side and their answers: the only way to a server beside packets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::ChannelNumber;

use crate::allocation::Allocation;
use crate::lately::happened;
use crate::policy::Network;
use crate::routes::Bound;
use crate::survey::Survey;
use crate::{
    AllocationId, ClientTuple, EndCause, Failed, Happened, Now, Quality, RelayAddress, Rules,
    Server, Stream, Trace, TraceId, Traffic, Way,
};

/// A command for one shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// These rules hold from now on, unless later ones hold already. [`Rules::succeed`] was called on
    /// them. Allocations live on, but for permissions and channels of peers that the policy
    /// denies now. A user who is gone is granted no Refresh; to others it grants no more than the
    /// new longest lifetime. An allocation with a ticket may move to its end, also where no tickets
    /// are given any more.
    Adopt(Arc<Rules>),
    /// Which allocations there are, at so many places.
    List(Selection, Places),
    /// How many allocations there are at so many places, whose, and how long they may last.
    Survey(Places),
    /// All about one allocation.
    Show(AllocationId),
    /// End these allocations at so many places, for this cause: all, if nothing is selected.
    End(Selection, EndCause, Places),
    /// Asks for sessions that ended and requests that failed lately: a few hundred at most.
    Lately(Selection),
    /// Tell of what comes from now on, by [`crate::Effect::Traced`].
    Trace(Trace),
    /// Have a trace follow the allocations at these places that it means.
    Follow(TraceId, Places),
    /// End a trace.
    Untrace(TraceId),
    /// End what allocations at so many places relay from this address, which has left the host: a
    /// whole allocation, or one family of a dual one.
    Lose(RelayAddress, Places),
    /// Put the allocations at so many places under the bandwidth of [`crate::Shared::cap`].
    Measure(Places),
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rules hold.
    Adopted,
    /// The allocations of [`Command::List`], in the order of their places, and the place after the
    /// last one that was looked at, if there are more.
    Allocations(Vec<Listed>, Option<usize>),
    /// Those of [`Command::Survey`] together, and the place after the last one likewise.
    Survey(Box<Survey>, Option<usize>),
    /// The allocation of [`Command::Show`], if there is one of this id.
    Shown(Option<Box<Shown>>),
    /// The allocations of [`Command::Lately`], and the clients that have none, the newest last.
    Lately(Vec<Shown>, Vec<Failed>),
    /// A trace begins, or ends; or where it goes on to [`Command::Follow`], if anywhere.
    Tracing(Option<usize>),
    /// How many allocations [`Command::End`] has ended, or relay sockets [`Command::Lose`], and the
    /// place after the last one that was looked at, if there are more.
    Ended(usize, Option<usize>),
    /// [`Command::Measure`] was carried out; the place after the last one, if there are more.
    Measured(Option<usize>),
}

/// Places of allocations: a shard looks at so many in one turn, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The first.
    pub from: usize,
    /// How many.
    pub count: usize,
}

impl Places {
    /// All that there are.
    pub const ALL: Self = Self {
        from: 0,
        count: usize::MAX,
    };
}

/// Which allocations are meant: those to which everything said here applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// This one.
    pub id: Option<AllocationId>,
    /// Those of users of this realm.
    pub realm: Option<Arc<str>>,
    /// Those of this person, by whatever credential: the name without realm and expiry. Of what a
    /// token has opened, the account of the token.
    pub user: Option<Arc<str>>,
    /// Those of this credential: the USERNAME without the realm.
    pub credential: Option<Arc<str>>,
    /// Those whose client is seen at an address of this network.
    pub client: Option<Network>,
    /// Those with a permission for this peer, or a channel to it.
    pub peer: Option<IpAddr>,
    /// Those of which a leg is bad now.
    pub bad: bool,
    /// Those that have lived so long at least.
    pub min_age: Duration,
    /// Those that have relayed so many bytes of data at least, both ways together.
    pub min_bytes: u64,
}

/// The properties that a selection compares, of an allocation that lives or has ended.
pub(crate) struct Known<'a> {
    pub(crate) id: AllocationId,
    pub(crate) realm: &'a str,
    pub(crate) user: &'a str,
    pub(crate) credential: &'a str,
    pub(crate) client: ClientTuple,
    pub(crate) age: Duration,
    pub(crate) bytes: u64,
}

impl Selection {
    /// Whether all applies that needs neither the peers nor the quality of an allocation.
    pub(crate) fn meets(&self, it: &Known<'_>) -> bool {
        let is_of = |wanted: &Option<Arc<str>>, has: &str| {
            wanted.as_ref().is_none_or(|wanted| **wanted == *has)
        };
        let is_from = |network: &Network| network.contains_ip(it.client.client.ip());
        self.id.is_none_or(|id| id == it.id)
            && is_of(&self.realm, it.realm)
            && is_of(&self.user, it.user)
            && is_of(&self.credential, it.credential)
            && self.client.as_ref().is_none_or(is_from)
            && it.age >= self.min_age
            && it.bytes >= self.min_bytes
    }
}

/// An allocation as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: AllocationId,
    /// Whose.
    pub client: ClientTuple,
    /// Where the user is known.
    pub realm: Arc<str>,
    /// The person: the name without realm and expiry; or the account of a token.
    pub user: Arc<str>,
    /// The USERNAME without the realm.
    pub credential: Arc<str>,
    /// The relayed transport addresses: IPv4 first, one per family.
    pub relayed: Vec<SocketAddr>,
    /// Its peers: those of its channels, else those that it has permissions for. Some of them, where they
    /// are many.
    pub peers: Vec<IpAddr>,
    /// How long it has lived.
    pub age: Duration,
    /// From client to peers.
    pub sent: Traffic,
    /// From peers to client.
    pub received: Traffic,
    /// How good its legs are, if that is measured and it may have data.
    pub quality: Option<Quality>,
}

/// All about an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The fields that a list has, too.
    pub listed: Listed,
    /// How long each relayed address lives if it is not refreshed, in their order.
    pub left: Vec<Duration>,
    /// Permissions, and how long each lasts.
    pub permissions: Vec<(IpAddr, Duration)>,
    /// Channels with their peers, and how long each lasts.
    pub channels: Vec<(ChannelNumber, SocketAddr, Duration)>,
    /// The RTP streams that came lately.
    pub streams: Vec<Stream>,
    /// How long ago it ended and why, if it did.
    pub ended: Option<(Duration, EndCause)>,
    /// The last control events, oldest first: at most 32.
    pub story: Vec<Happened>,
}

impl Server {
    /// Carries a command out. Effects may follow.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Answer {
        self.handle_timeout(now);
        match command {
            Command::Adopt(rules) => {
                self.adopt(now.mono, rules);
                Answer::Adopted
            }
            Command::List(selection, places) => self.list(now, &selection, places),
            Command::Show(id) => {
                self.note_what_is_over(now.mono, id);
                let allocation = self.allocations.get(id).filter(|it| it.is_open());
                let shown = allocation.map(|it| self.shown(now.mono, it));
                let shown = shown.or_else(|| self.lately.ended(now.mono, id));
                Answer::Shown(shown.map(Box::new))
            }
            Command::Lately(selection) => {
                let (ended, failed) = self.lately(now.mono, &selection);
                Answer::Lately(ended, failed)
            }
            Command::Trace(trace) => {
                self.trace(now.mono, trace);
                Answer::Tracing(None)
            }
            Command::Follow(id, places) => Answer::Tracing(self.follow(now.mono, id, places)),
            Command::Untrace(id) => {
                self.untrace(id);
                Answer::Tracing(None)
            }
            Command::Survey(places) => self.survey(now, places),
            Command::End(selection, cause, places) => {
                let (ids, more) = self.at_of(&selection, places);
                let meant = self.selected(now.mono, &selection, ids).map(|it| it.id);
                let meant: Vec<AllocationId> = meant.collect();
                for id in &meant {
                    self.remove_allocation(now.mono, *id, cause);
                }
                Answer::Ended(meant.len(), more)
            }
            Command::Lose(address, places) => self.lose_address(now.mono, address, places),
            Command::Measure(places) => self.measure_capped(now.mono, places),
        }
    }

    fn survey(&self, now: Now, places: Places) -> Answer {
        let (ids, more) = self.at(places);
        let allocations = ids.filter_map(|id| self.allocations.get(id));
        let survey = Survey::of(allocations, now.mono, &self.rules.realms);
        Answer::Survey(Box::new(survey), more)
    }

    /// The allocations at these places, and the place behind them if there are more.
    pub(crate) fn at(&self, places: Places) -> (impl Iterator<Item = AllocationId>, Option<usize>) {
        let Places { from, count } = places;
        let end = from.saturating_add(count);
        let more = (end < self.allocations.places()).then_some(end);
        (self.allocations.ids_at(from..end), more)
    }

    /// The same of those that a selection may mean: where it names one, there is no other place to look at.
    fn at_of(
        &self,
        selection: &Selection,
        places: Places,
    ) -> (impl Iterator<Item = AllocationId>, Option<usize>) {
        let places = match selection.id {
            Some(_) => Places {
                from: self.allocations.places(),
                count: 0,
            },
            None => places,
        };
        let (ids, more) = self.at(places);
        (selection.id.into_iter().chain(ids), more)
    }

    fn list(&self, now: Now, selection: &Selection, places: Places) -> Answer {
        let (ids, more) = self.at_of(selection, places);
        let meant = self.selected(now.mono, selection, ids);
        let listed = meant.map(|it| self.listed(now.mono, it)).collect();
        Answer::Allocations(listed, more)
    }

    /// The allocations of these that are meant, if their clients know of them.
    pub(crate) fn selected(
        &self,
        now: Instant,
        selection: &Selection,
        ids: impl Iterator<Item = AllocationId>,
    ) -> impl Iterator<Item = &Allocation> {
        let all = ids.filter_map(|id| self.allocations.get(id));
        all.filter(move |it| self.is_meant(now, selection, it))
    }

    /// Whether an allocation is meant, if its client knows of it.
    pub(crate) fn is_meant(&self, now: Instant, selection: &Selection, it: &Allocation) -> bool {
        let known = Known {
            id: it.id,
            realm: self.rules.realms.name(it.realm),
            user: &it.account,
            credential: &it.user,
            client: it.seen_at(),
            age: now.saturating_duration_since(it.born),
            bytes: it.traffic(Way::Out).bytes + it.traffic(Way::In).bytes,
        };
        it.is_open()
            && selection.meets(&known)
            && selection
                .peer
                .is_none_or(|peer| self.reaches(now, it, peer))
            && (!selection.bad || self.quality_of(now, it).is_some_and(|it| it.is_bad()))
    }

    fn reaches(&self, now: Instant, allocation: &Allocation, peer: IpAddr) -> bool {
        let mut channels = self.channels_of(allocation);
        allocation.permissions.scope(peer, now).is_some()
            || channels.any(|(_, bound)| bound.peer.0.ip() == peer)
    }

    fn channels_of(&self, allocation: &Allocation) -> impl Iterator<Item = (ChannelNumber, Bound)> {
        let client = allocation.client;
        let numbers = allocation.channels.iter().copied();
        numbers.filter_map(move |number| Some((number, self.routes.by_channel(client, number)?)))
    }

    fn shown(&self, now: Instant, allocation: &Allocation) -> Shown {
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        let channels = self.channels_of(allocation);
        Shown {
            listed: self.listed(now, allocation),
            left: allocation
                .relays
                .iter()
                .map(|it| left(it.deadline))
                .collect(),
            permissions: allocation.permissions.left(now).collect(),
            channels: channels
                .map(|(number, bound)| (number, bound.peer.0, left(bound.deadline)))
                .collect(),
            streams: (allocation.tally.iter())
                .flat_map(|it| it.streams(now))
                .collect(),
            ended: None,
            story: happened(now, allocation.born, &allocation.story),
        }
    }

    pub(crate) fn listed(&self, now: Instant, allocation: &Allocation) -> Listed {
        Listed {
            id: allocation.id,
            client: allocation.seen_at(),
            realm: Arc::clone(self.rules.realms.name(allocation.realm)),
            user: Arc::clone(&allocation.account),
            credential: Arc::clone(&allocation.user),
            relayed: allocation.relays.relayed().collect(),
            peers: self.peers(now, allocation),
            age: now.saturating_duration_since(allocation.born),
            sent: allocation.traffic(Way::Out),
            received: allocation.traffic(Way::In),
            quality: self.quality_of(now, allocation),
        }
    }

    /// Channels come first: browsers have permissions for every candidate of the other side, and channels
    /// to those that answer.
    fn peers(&self, now: Instant, allocation: &Allocation) -> Vec<IpAddr> {
        let channels = self.channels_of(allocation).take(PEERS);
        let mut peers: Vec<IpAddr> = channels.map(|(_, bound)| bound.peer.0.ip()).collect();
        if peers.is_empty() {
            let permissions = allocation.permissions.left(now).take(PEERS);
            peers = permissions.map(|(peer, _)| peer).collect();
        }
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

/// The most peers that are listed with an allocation.
const PEERS: usize = 8;
