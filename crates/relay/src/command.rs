//! Commands of the control side and their answers: the only way to a server beside packets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::ChannelNumber;

use crate::allocation::Allocation;
use crate::policy::Network;
use crate::routes::Bound;
use crate::{AllocationId, ClientTuple, EndCause, Now, RelayAddress, Rules, Server, Traffic, Way};

/// A command for one shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// These rules hold from now on, unless later ones hold already. [`Rules::succeed`] was called on
    /// them. What was granted lives on, but for permissions and channels of peers that the policy
    /// denies now. A user who is gone is granted no Refresh; to others it grants no more than the
    /// new longest lifetime. An allocation with a ticket may move to its end, also where no tickets
    /// are given any more.
    Adopt(Arc<Rules>),
    /// Which allocations there are, at so many places.
    List(Selection, Places),
    /// All about one allocation.
    Show(AllocationId),
    /// End these allocations: all, if nothing is selected.
    End(Selection),
    /// End what is relayed from this address, which has left the host: a whole allocation, or one
    /// family of a dual one.
    Lose(RelayAddress),
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rules hold.
    Adopted,
    /// The allocations of [`Command::List`], in the order of their places, and the place after the
    /// last one that was looked at, if there are more.
    Allocations(Vec<Listed>, Option<usize>),
    /// The allocation of [`Command::Show`], if there is one of this id.
    Shown(Option<Box<Shown>>),
    /// How many allocations [`Command::End`] has ended, or relay sockets [`Command::Lose`].
    Ended(usize),
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
    /// How long it has lived.
    pub age: Duration,
    /// From client to peers.
    pub sent: Traffic,
    /// From peers to client.
    pub received: Traffic,
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
                let allocation = self.allocations.get(id).filter(|it| it.is_open());
                let shown = allocation.map(|it| Box::new(self.shown(now, it)));
                Answer::Shown(shown)
            }
            Command::End(selection) => {
                let all = self.allocations.ids();
                let meant = self.selected(now.mono, &selection, all).map(|it| it.id);
                let meant: Vec<AllocationId> = meant.collect();
                for id in &meant {
                    self.remove_allocation(now.mono, *id, EndCause::Operator);
                }
                Answer::Ended(meant.len())
            }
            Command::Lose(address) => Answer::Ended(self.lose_address(now.mono, address)),
        }
    }

    fn list(&self, now: Now, selection: &Selection, places: Places) -> Answer {
        let Places { from, count } = places;
        let end = from.saturating_add(count);
        let ids = self.allocations.ids_at(from..end);
        let meant = self.selected(now.mono, selection, ids);
        let listed = meant.map(|it| self.listed(now, it)).collect();
        let more = (end < self.allocations.places()).then_some(end);
        Answer::Allocations(listed, more)
    }

    /// The allocations of these that are meant, if their clients know of them.
    fn selected(
        &self,
        now: Instant,
        selection: &Selection,
        ids: impl Iterator<Item = AllocationId>,
    ) -> impl Iterator<Item = &Allocation> {
        let all = ids.filter_map(|id| self.allocations.get(id));
        all.filter(move |it| {
            let Selection {
                id,
                realm,
                user,
                credential,
                client,
                peer,
            } = selection;
            let is_of = |wanted: &Option<Arc<str>>, has: &str| {
                wanted.as_ref().is_none_or(|wanted| **wanted == *has)
            };
            let is_from = |network: &Network| network.contains_ip(it.seen_at().client.ip());
            it.is_open()
                && id.is_none_or(|id| id == it.id)
                && is_of(realm, self.rules.realms.name(it.realm))
                && is_of(user, &it.account)
                && is_of(credential, &it.user)
                && client.as_ref().is_none_or(is_from)
                && peer.is_none_or(|peer| self.reaches(now, it, peer))
        })
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

    fn shown(&self, now: Now, allocation: &Allocation) -> Shown {
        let left = |deadline: Instant| deadline.saturating_duration_since(now.mono);
        let channels = self.channels_of(allocation);
        Shown {
            listed: self.listed(now, allocation),
            left: allocation
                .relays
                .iter()
                .map(|it| left(it.deadline))
                .collect(),
            permissions: allocation.permissions.left(now.mono).collect(),
            channels: channels
                .map(|(number, bound)| (number, bound.peer.0, left(bound.deadline)))
                .collect(),
        }
    }

    fn listed(&self, now: Now, allocation: &Allocation) -> Listed {
        Listed {
            id: allocation.id,
            client: allocation.seen_at(),
            realm: Arc::clone(self.rules.realms.name(allocation.realm)),
            user: Arc::clone(&allocation.account),
            credential: Arc::clone(&allocation.user),
            relayed: allocation.relays.relayed().collect(),
            age: now.mono.saturating_duration_since(allocation.born),
            sent: allocation.traffic(Way::Out),
            received: allocation.traffic(Way::In),
        }
    }
}
