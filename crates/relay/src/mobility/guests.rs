//! Clients whose allocation is, or just was, in another shard.

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::ClientTuple;
use crate::mobility::ShardId;

/// The guests of a shard: 5-tuples whose packets are not its own to handle, or not yet. Each has
/// shown a ticket of ours under a signature, so strangers cannot make the table grow.
#[derive(Debug)]
pub(crate) struct Guests(HashMap<ClientTuple, Guest, RandomState>);

/// The state of a guest, which decides what is done with its packets.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The shard that has the allocation; `None` if it is this shard, or if no shard has it.
    pub(crate) host: Option<ShardId>,
    /// Set while packets that were passed are coming back; newer ones wait for them.
    pub(crate) recall: Option<Recall>,
    /// Whether only one packet was passed to the host so far: the one that asks for the allocation.
    pub(crate) is_asking: bool,
}

/// Packets that wait until all that was passed before them has come back.
#[derive(Debug)]
pub(crate) struct Recall {
    /// The shard that they were passed to.
    pub(crate) from: ShardId,
    pub(crate) held: VecDeque<Vec<u8>>,
}

impl Guest {
    /// Whether a host may send answers to this client: the present one, and one that has just
    /// forgotten the client, as it does before it answers the Refresh that deletes the allocation.
    pub(crate) fn may_hear(&self, host: ShardId) -> bool {
        let recalled = self.recall.as_ref().map(|recall| recall.from);
        self.host == Some(host) || recalled == Some(host)
    }
}

impl Guests {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    /// Whether a client is a guest. Mostly there are none, and then this costs a packet nothing.
    #[inline]
    pub(crate) fn has(&self, client: ClientTuple) -> bool {
        !self.0.is_empty() && self.0.contains_key(&client)
    }

    pub(crate) fn get_mut(&mut self, client: ClientTuple) -> Option<&mut Guest> {
        self.0.get_mut(&client)
    }

    /// Makes a client a guest: its packets are passed to this host.
    pub(crate) fn pass_to(&mut self, client: ClientTuple, host: ShardId) {
        let guest = self.0.entry(client).or_insert(Guest {
            host: None,
            recall: None,
            is_asking: true,
        });
        guest.host = Some(host);
        guest.is_asking = true;
    }

    /// Forgets a guest whose first packet was lost on its way to the host. A host that was not
    /// asked never sends [`crate::Mail::Forget`]. If packets are coming back, the guest stays until
    /// the fence does.
    pub(crate) fn forget_asking(&mut self, client: ClientTuple) {
        let guest = self.0.get(&client);
        if guest.is_some_and(|guest| guest.is_asking && guest.recall.is_none()) {
            self.0.remove(&client);
        }
    }

    /// Stops passing packets to this host, and has those that were passed come back. Returns
    /// whether packets were passed to it; then a [`crate::Mail::Fence`] is due.
    pub(crate) fn recall(&mut self, client: ClientTuple, host: ShardId) -> bool {
        let Some(guest) = self.0.get_mut(&client) else {
            return false;
        };
        if guest.host != Some(host) || guest.recall.is_some() {
            return false;
        }
        guest.host = None;
        guest.recall = Some(Recall {
            from: host,
            held: VecDeque::new(),
        });
        true
    }

    /// The guests whose packets are passed to a host, and whether only one was: in order.
    #[expect(clippy::disallowed_methods, reason = "they are put in order")]
    pub(crate) fn passed(&self) -> Vec<(ClientTuple, (ShardId, bool))> {
        let all = self.0.iter().filter(|(_, guest)| guest.recall.is_none());
        let passed = all.filter_map(|(client, it)| Some((*client, (it.host?, it.is_asking))));
        let mut passed: Vec<_> = passed.collect();
        passed.sort();
        passed
    }

    /// Makes a client a guest, as it was.
    pub(crate) fn go_on(&mut self, client: ClientTuple, host: ShardId, is_asking: bool) {
        let guest = Guest {
            host: Some(host),
            recall: None,
            is_asking,
        };
        self.0.insert(client, guest);
    }

    pub(crate) fn remove(&mut self, client: ClientTuple) -> Option<Guest> {
        self.0.remove(&client)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Recall {
    /// Keeps a packet; gives it back if there are too many already.
    pub(crate) fn hold(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.held.len() >= HELD {
            return Err(packet);
        }
        self.held.push_back(packet);
        Ok(())
    }
}

/// Packets held for one client: what it sends while a fence goes to another shard and comes back.
const HELD: usize = 256;
