//! Clients whose allocation is, or just was, in another shard.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::ClientTuple;
use crate::mobility::ShardId;
use crate::waiting::{Bounds, WaitingRoom};

/// The guests of a shard: 5-tuples whose packets are not its own to handle, or not yet. Each has
/// shown a ticket of ours under a signature, so strangers cannot make the table grow.
#[derive(Debug)]
pub(crate) struct Guests {
    all: HashMap<ClientTuple, Guest, RandomState>,
    /// Guests whose packets are coming back from this shard; newer packets wait for them.
    pub(super) recalls: WaitingRoom<ShardId>,
}

/// The state of a guest, which decides what is done with its packets.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The shard that has the allocation; `None` if it is this shard, or if no shard has it.
    pub(crate) host: Option<ShardId>,
    /// Whether only one packet was passed to the host so far: the one that asks for the allocation.
    pub(crate) is_asking: bool,
}

impl Guests {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            all: HashMap::with_hasher(hasher.clone()),
            recalls: WaitingRoom::new(hasher, HELD),
        }
    }

    /// Whether a client is a guest. Mostly there are none, and then this costs a packet nothing.
    #[inline]
    pub(crate) fn has(&self, client: ClientTuple) -> bool {
        !self.all.is_empty() && self.all.contains_key(&client)
    }

    pub(crate) fn get_mut(&mut self, client: ClientTuple) -> Option<&mut Guest> {
        self.all.get_mut(&client)
    }

    /// Makes a client a guest: its packets are passed to this host.
    pub(crate) fn pass_to(&mut self, client: ClientTuple, host: ShardId) {
        let guest = self.all.entry(client).or_insert(Guest {
            host: None,
            is_asking: true,
        });
        guest.host = Some(host);
        guest.is_asking = true;
    }

    /// Forgets a guest whose first packet was lost on its way to the host. A host that was not
    /// asked never sends [`crate::Mail::Forget`]. If packets are coming back, the guest stays until
    /// the fence does.
    pub(crate) fn forget_asking(&mut self, client: ClientTuple) {
        let guest = self.all.get(&client);
        if guest.is_some_and(|guest| guest.is_asking) && !self.recalls.has(client) {
            self.all.remove(&client);
        }
    }

    /// Stops passing packets to this host, and has those that were passed come back. Returns
    /// whether packets were passed to it; then a [`crate::Mail::Fence`] is due.
    pub(crate) fn recall(&mut self, client: ClientTuple, host: ShardId) -> bool {
        let Some(guest) = self.all.get_mut(&client) else {
            return false;
        };
        if guest.host != Some(host) || self.recalls.has(client) {
            return false;
        }
        guest.host = None;
        self.recalls.wait(client, host).is_ok()
    }

    /// Whether a host may send answers to a guest: the present one, and one that has just forgotten
    /// the client, as it does before it answers the Refresh that deletes the allocation.
    pub(crate) fn may_hear(&self, client: ClientTuple, host: ShardId) -> bool {
        let guest = self.all.get(&client);
        guest.is_some_and(|guest| guest.host == Some(host))
            || self.recalls.awaited(client) == Some(&host)
    }

    /// The guests whose packets are passed to a host, and whether only one was: in order.
    #[expect(clippy::disallowed_methods, reason = "they are put in order")]
    pub(crate) fn passed(&self) -> Vec<(ClientTuple, (ShardId, bool))> {
        let passed = self.all.iter();
        let passed = passed.filter_map(|(client, it)| Some((*client, (it.host?, it.is_asking))));
        let mut passed: Vec<_> = passed
            .filter(|(client, _)| !self.recalls.has(*client))
            .collect();
        passed.sort();
        passed
    }

    /// Makes a client a guest, as it was.
    pub(crate) fn go_on(&mut self, client: ClientTuple, host: ShardId, is_asking: bool) {
        let guest = Guest {
            host: Some(host),
            is_asking,
        };
        self.all.insert(client, guest);
    }

    pub(crate) fn remove(&mut self, client: ClientTuple) -> Option<Guest> {
        self.recalls.end(client);
        self.all.remove(&client)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Packets held for guests while a fence goes to another shard and comes back. Every guest may have
/// some: each has shown a ticket.
const HELD: Bounds = Bounds {
    clients: usize::MAX,
    packets: 256,
    bytes: 1 << 20,
    total: 64 << 20,
    parts: 1,
};
