//! An allocation goes from one shard to another, with all it has.

use std::sync::Arc;
use std::time::Instant;

use crate::allocation::Allocation;
use crate::mobility::{Arrival, Mail, Place, ShardId};
use crate::timers::Timer;
use crate::{AllocationId, Effect, EndCause, RelayId, Report, Server, Transport};

impl Server {
    /// Sends an allocation to the shard that its client has settled at, if that is another one.
    pub(super) fn hand_over(&mut self, id: AllocationId) {
        let allocation = self.allocations.get_mut(id);
        let mobile = allocation.and_then(|allocation| allocation.mobile.as_mut());
        let Some((to, number)) = mobile.and_then(|it| Some((it.via.take()?, it.number))) else {
            return;
        };
        let Some(mut allocation) = self.allocations.remove(id) else {
            return;
        };
        // The other shard judges anew.
        Self::pardon(&mut self.counters, &mut allocation);
        for relay in allocation.relays.iter() {
            self.shared.ports.departs(relay.local);
            let timer = Timer::Relay(allocation.relay_id(relay.family()));
            self.timers.disarm(relay.deadline, timer);
        }
        let channels = self.end_channels(&allocation);
        self.trace_end(&allocation);
        self.shared.whereabouts.note(number, Place::Between);
        let mail = Mail::Arrive(Box::new(Arrival {
            allocation,
            channels,
        }));
        self.effects.push(Effect::Mail { to, mail });
    }

    /// Takes in an allocation whose client has settled here.
    pub(super) fn handle_arrival(&mut self, now: Instant, from: ShardId, arrival: Arrival) {
        let Arrival {
            allocation,
            channels,
        } = arrival;
        let was = allocation.id;
        let [user, credential] = [&allocation.account, &allocation.user].map(Arc::clone);
        let realm = Arc::clone(self.rules.realms.name(allocation.realm));
        let settled = allocation.client;
        let id = self.install(allocation);
        let Some(client) = self.allocations.get(id).map(|allocation| allocation.client) else {
            return;
        };
        self.adopt_channels(id, client, channels);
        // The shard that it came from may have had earlier rules.
        self.judge_peers_of(now, id);
        self.measure(now, id);
        self.counters.moved += 1;
        if self.traces.are_any() {
            self.trace_arrival(now, was, id);
        }
        self.note_move(now, id, settled);
        self.effects.push(Effect::Report(Report::Moved {
            allocation: id,
            was,
            client: settled,
            realm,
            user,
            credential,
        }));
        self.recall(settled, from);
        self.judge_client_of(now, id);
    }

    /// Enters an allocation of another shard under an id of this one. Its sockets follow.
    fn install(&mut self, mut allocation: Allocation) -> AllocationId {
        let (was, client) = (allocation.id, allocation.client);
        // If a 5-tuple that is connected is no guest any more, its connection has ended. If the 5-tuple has an
        // allocation of its own, this shard has started again meanwhile. In both cases the client
        // has to show its ticket again.
        let is_gone = client.transport != Transport::Udp && !self.guests.has(client);
        let is_lost = is_gone || self.allocations.of(client).is_some();
        if let Some(mobile) = allocation.mobile.as_mut().filter(|_| is_lost) {
            mobile.lost = Some(client);
        }
        let id = self.allocations.insert(|id| Allocation {
            id,
            client: if is_lost { client.nobody(id) } else { client },
            ..allocation
        });
        let Some(allocation) = self.allocations.get(id) else {
            return id;
        };
        if let Some(mobile) = &allocation.mobile {
            let place = Place::At(self.shard, id);
            self.shared.whereabouts.note(mobile.number, place);
        }
        for relay in allocation.relays.iter() {
            let family = relay.family();
            let adopted = allocation.relay_id(family);
            self.note_open(adopted, relay.local);
            self.timers.arm(relay.deadline, Timer::Relay(adopted));
            let was = RelayId {
                allocation: was,
                family,
            };
            let relay = adopted;
            self.effects.push(Effect::AdoptRelay { was, relay });
        }
        id
    }

    /// Mail that will not be read, because the shard that it was for has stopped or its inbox takes
    /// no more packets. If there is an allocation in it, the allocation ends. Its sockets are
    /// closed already.
    pub fn handle_undelivered(&mut self, now: Instant, to: ShardId, mail: Mail) {
        let allocation = match mail {
            Mail::Arrive(arrival) => arrival.allocation,
            Mail::Pass { client, .. } => return self.guests.forget_asking(client),
            // The other shard is told what the returned packet would have told it.
            Mail::Return { client, .. } => {
                let mail = Mail::Forget { client };
                return self.effects.push(Effect::Mail { to, mail });
            }
            Mail::Claim { connection } => return self.handle_close(connection),
            Mail::Yield { connection } => return self.forget_bound(connection, to),
            Mail::Close { .. }
            | Mail::Ended { .. }
            | Mail::Disconnected { .. }
            | Mail::Reply { .. }
            | Mail::Forget { .. }
            | Mail::Fence { .. }
            | Mail::Fenced { .. } => return,
        };
        for relay in allocation.relays.iter() {
            let (ip, port) = (relay.local.ip(), relay.local.port());
            self.shared.ports.release(ip, port);
        }
        self.give_back_and_report(now, allocation, EndCause::Shutdown);
    }

    /// A relay socket did not arrive with its allocation: the host has no room for it.
    pub fn handle_stranded(&mut self, now: Instant, relay: RelayId) {
        self.remove_relay(now, relay, EndCause::Stranded);
    }
}
