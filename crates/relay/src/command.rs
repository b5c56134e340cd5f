//! Commands of the control side and their answers: the only way to a server beside packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::allocation::Allocation;
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
    /// Which allocations there are.
    List(Selection),
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
    /// The allocations of [`Command::List`], in the order of their places.
    Allocations(Vec<Listed>),
    /// How many allocations [`Command::End`] has ended, or relay sockets [`Command::Lose`].
    Ended(usize),
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

impl Server {
    /// Carries a command out. Effects may follow.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Answer {
        self.handle_timeout(now);
        match command {
            Command::Adopt(rules) => {
                self.adopt(now.mono, rules);
                Answer::Adopted
            }
            Command::List(selection) => {
                let meant = self.selected(&selection);
                Answer::Allocations(meant.map(|it| self.listed(now, it)).collect())
            }
            Command::End(selection) => {
                let meant: Vec<AllocationId> = self.selected(&selection).map(|it| it.id).collect();
                for id in &meant {
                    self.remove_allocation(now.mono, *id, EndCause::Operator);
                }
                Answer::Ended(meant.len())
            }
            Command::Lose(address) => Answer::Ended(self.lose_address(now.mono, address)),
        }
    }

    /// The allocations that are meant, of those that their clients know of.
    fn selected(&self, selection: &Selection) -> impl Iterator<Item = &Allocation> {
        let ids = self.allocations.ids();
        let all = ids.filter_map(|id| self.allocations.get(id));
        all.filter(move |it| {
            let Selection {
                id,
                realm,
                user,
                credential,
            } = selection;
            let is_of = |wanted: &Option<Arc<str>>, has: &str| {
                wanted.as_ref().is_none_or(|wanted| **wanted == *has)
            };
            it.is_open()
                && id.is_none_or(|id| id == it.id)
                && is_of(realm, self.rules.realms.name(it.realm))
                && is_of(user, &it.account)
                && is_of(credential, &it.user)
        })
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
