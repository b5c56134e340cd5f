//! The host's side: packets of its clients that come by way of another shard.

use wire::attributes::MobilityTicket;
use wire::{Class, Message, Method};

use crate::mobility::{Mail, Place, ShardId};
use crate::{ClientTuple, Destination, Effect, Now, Outgoing, Server, Verdict};

impl Server {
    /// Handles a packet that another shard passed, as if its client were a client of this shard.
    pub(super) fn handle_passed(
        &mut self,
        now: Now,
        from: ShardId,
        client: ClientTuple,
        packet: Vec<u8>,
    ) {
        if !self.knows(client) && !self.is_asked_for(&packet) {
            let mail = Mail::Return { client, packet };
            return self.effects.push(Effect::Mail { to: from, mail });
        }
        self.passed_by = Some(from);
        let answer = self.take(now, client, &packet);
        self.passed_by = None;
        if let Some(message) = answer {
            let mail = Mail::Reply { client, message };
            self.effects.push(Effect::Mail { to: from, mail });
        }
        match self.allocations.of(client).map(|allocation| allocation.id) {
            Some(id) => self.hand_over(id),
            None => {
                let mail = Mail::Forget { client };
                self.effects.push(Effect::Mail { to: from, mail });
            }
        }
    }

    /// Handles a packet that came in mail, so that its verdict becomes an effect. Returns the
    /// answer instead, if there is one.
    pub(super) fn take(&mut self, now: Now, client: ClientTuple, packet: &[u8]) -> Option<Vec<u8>> {
        let outgoing = match self.handle_packet(now, client, packet) {
            Verdict::Answer(Outgoing {
                to: Destination::Answer(to),
                contents,
            }) if to == client => return Some(contents.to_vec()),
            // The listener of any shard can send it.
            Verdict::Answer(outgoing) => outgoing.owned(),
            Verdict::Relay(outgoing) => outgoing.owned(),
            Verdict::Drop(_) | Verdict::Done => return None,
        };
        self.effects.push(Effect::Send(outgoing));
        None
    }

    pub(super) fn knows(&self, client: ClientTuple) -> bool {
        self.allocations.of(client).is_some()
    }

    /// Whether this is a Refresh with the ticket of an allocation of ours. It is not verified here.
    fn is_asked_for(&self, packet: &[u8]) -> bool {
        let Ok(message) = Message::parse(packet) else {
            return false;
        };
        if (message.class(), message.method()) != (Class::Request, Method::Refresh) {
            return false;
        }
        let Ok(Some(MobilityTicket(ticket))) = message.get() else {
            return false;
        };
        let place = self.tickets.open(ticket);
        let place = place.and_then(|ticket| self.shared.whereabouts.find(ticket.number));
        matches!(place, Some(Place::At(shard, _)) if shard == self.shard)
    }
}
