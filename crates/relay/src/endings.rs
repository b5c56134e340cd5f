//! How allocations end: whole, or one family of a dual one. RFC 8656 §8.

use std::sync::Arc;
use std::time::Instant;

use crate::allocation::{Allocation, Relay};
use crate::timers::Timer;
use crate::{
    AllocationId, Answer, Effect, EndCause, Event, Places, Quality, RelayAddress, RelayId, Report,
    Server, Way,
};

impl Server {
    /// Ends a family whose lifetime is over; the other family of a dual allocation may live on.
    pub(crate) fn expire(&mut self, now: Instant, relay: RelayId) {
        let Some(allocation) = self.allocations.get(relay.allocation) else {
            return;
        };
        if allocation.relays.iter().all(|relay| relay.deadline <= now) {
            self.remove_allocation(now, relay.allocation, EndCause::Expired);
        } else {
            self.remove_relay(now, relay, EndCause::Expired);
        }
    }

    /// Frees the ports that were reserved and not redeemed in time.
    pub(crate) fn expire_reservations(&mut self, now: Instant) {
        for local in self.shared.reservations.expire(now) {
            self.shared.ports.release(local.ip(), local.port());
        }
        let next = self.shared.reservations.next_deadline();
        self.reservations_reminder = next.is_some();
        if let Some(next) = next {
            self.timers.arm(next, Timer::Reservations);
        }
    }

    /// Ends what is relayed from an address that has left the host; returns how many relay sockets.
    pub(crate) fn lose_address(
        &mut self,
        now: Instant,
        gone: RelayAddress,
        places: Places,
    ) -> Answer {
        let is_on_it =
            |relay: &&Relay| relay.local.ip() == gone.local && relay.relayed.ip() == gone.external;
        let (ids, more) = self.at(places);
        let mut lost = Vec::new();
        for allocation in ids.filter_map(|id| self.allocations.get(id)) {
            let relays = allocation.relays.iter().filter(is_on_it);
            lost.extend(relays.map(|relay| allocation.relay_id(relay.family())));
        }
        for relay in &lost {
            self.remove_relay(now, *relay, EndCause::AddressGone);
        }
        Answer::Ended(lost.len(), more)
    }

    /// Ends an allocation with all it has.
    pub(crate) fn remove_allocation(&mut self, now: Instant, id: AllocationId, cause: EndCause) {
        self.note_what_is_over(now, id);
        let Some(allocation) = self.allocations.remove(id) else {
            return;
        };
        self.end_channels(&allocation);
        self.end_connections(&allocation);
        for relay in allocation.relays.iter() {
            let relay_id = allocation.relay_id(relay.family());
            self.close(relay_id, relay);
        }
        if let Some(next) = allocation.next() {
            self.forget_next(next);
        }
        self.give_back_and_report(now, allocation, cause);
    }

    /// Gives back what an allocation shares with others, except its ports, and reports its end.
    pub(crate) fn give_back_and_report(
        &mut self,
        now: Instant,
        mut allocation: Allocation,
        cause: EndCause,
    ) {
        Self::pardon(&mut self.counters, &mut allocation);
        let account = allocation.account();
        self.shared.quotas.release(account);
        if let Some(mobile) = &allocation.mobile {
            self.shared.whereabouts.remove(mobile.number);
        }
        if allocation.is_open() {
            self.counters.count_ending(cause);
            let story = std::mem::take(&mut allocation.story);
            self.note_end(now, &allocation, (cause, story));
            let realm = Arc::clone(self.rules.realms.name(allocation.realm));
            let quality = self.quality_at_end(now, &allocation).map(Box::new);
            let report = ended(now, realm, allocation, (cause, quality));
            self.effects.push(Effect::Report(report));
        }
    }

    /// Ends one family of an allocation; with the last family the allocation ends. RFC 8656 §8.1:
    /// permissions and channels of the other family stay.
    pub(crate) fn remove_relay(&mut self, now: Instant, id: RelayId, cause: EndCause) {
        let Some(allocation) = self.allocations.get(id.allocation) else {
            return;
        };
        if allocation
            .relays
            .iter()
            .all(|relay| relay.family() == id.family)
        {
            return self.remove_allocation(now, id.allocation, cause);
        }
        self.end_channels_of(id);
        self.end_connections_of(now, id.allocation, id.family);
        if let Some(relay) = self.allocations.remove_relay(id) {
            self.close(id, &relay);
        }
        let Some(allocation) = self.allocations.get_mut(id.allocation) else {
            return;
        };
        allocation.permissions.forget(id.family);
        let family = id.family;
        self.note(now, id.allocation, &Event::FamilyOver { family, cause });
    }

    /// Closes a relay socket, and gives back the ports that were taken for it.
    fn close(&mut self, id: RelayId, relay: &Relay) {
        self.timers.disarm(relay.deadline, Timer::Relay(id));
        self.effects.push_close(id, relay.local);
        if let Some(next) = relay.next() {
            self.shared
                .ports
                .release(next.local.ip(), next.local.port());
        }
    }
}

fn ended(
    now: Instant,
    realm: Arc<str>,
    allocation: Allocation,
    (cause, quality): (EndCause, Option<Box<Quality>>),
) -> Report {
    Report::Ended {
        allocation: allocation.id,
        client: allocation.seen_at(),
        age: now.saturating_duration_since(allocation.born),
        realm,
        relayed: allocation.relays.relayed().collect(),
        cause,
        sent: allocation.traffic(Way::Out),
        received: allocation.traffic(Way::In),
        quality,
        user: allocation.account,
        credential: allocation.user,
    }
}
