//! The guest shard's side: packets of clients whose allocation is in another shard.

use crate::mobility::{Mail, ShardId};
use crate::waiting::Full;
use crate::{ClientTuple, DropReason, Effect, Now, Server, Verdict};

impl Server {
    /// Passes a client's packets, from this one on, to the shard that has its allocation.
    pub(crate) fn pass_to(&mut self, host: ShardId, client: ClientTuple, packet: &[u8]) {
        self.guests.pass_to(client, host);
        self.pass_packet(host, client, packet.to_vec());
    }

    /// A packet of a guest.
    #[cold]
    pub(crate) fn handle_guest(
        &mut self,
        client: ClientTuple,
        packet: &[u8],
    ) -> Verdict<'static, 'static> {
        if self.guests.recalls.has(client) {
            return match self.guests.recalls.hold(client, packet) {
                Ok(()) => Verdict::Done,
                Err(Full) => self.discard(DropReason::MoveQueueFull),
            };
        }
        let Some(guest) = self.guests.get_mut(client) else {
            return Verdict::Done;
        };
        guest.is_asking = false;
        if let Some(host) = guest.host {
            self.pass_packet(host, client, packet.to_vec());
        }
        Verdict::Done
    }

    /// Sends a client the host's answer to a packet that was passed.
    pub(super) fn handle_passed_reply(&mut self, from: ShardId, to: ClientTuple, message: Vec<u8>) {
        // Otherwise the client's connection ended, and the 5-tuple may be another client's now.
        if self.guests.may_hear(to, from) {
            self.effects.answer(to, message);
        }
    }

    /// Handles a packet that was passed to a host and came back, as the host does not know the
    /// client.
    pub(super) fn handle_returned(
        &mut self,
        now: Now,
        from: ShardId,
        client: ClientTuple,
        packet: Vec<u8>,
    ) {
        self.recall(client, from);
        let Some(guest) = self.guests.get_mut(client) else {
            // Newer packets were handled already.
            self.discard(DropReason::MovedOn);
            return;
        };
        match guest.host {
            Some(host) => {
                guest.is_asking = false;
                self.pass_packet(host, client, packet);
            }
            None => self.take_own(now, client, &packet),
        }
    }

    /// Has packets that were passed to a host come back, if there are any.
    pub(super) fn recall(&mut self, client: ClientTuple, host: ShardId) {
        if self.guests.recall(client, host) {
            self.fence(client, host);
        }
    }

    fn fence(&mut self, client: ClientTuple, host: ShardId) {
        let mail = Mail::Fence { client };
        self.effects.push(Effect::Mail { to: host, mail });
    }

    /// Ends a recall: all packets that were passed have come back, and those held meanwhile are
    /// handled.
    pub(super) fn release(&mut self, now: Now, from: ShardId, client: ClientTuple, is_known: bool) {
        let has_own = self.knows(client);
        if self.guests.recalls.awaited(client) != Some(&from) {
            return;
        }
        let Some(guest) = self.guests.get_mut(client) else {
            return;
        };
        // A packet that came back asked another host, which may have forgotten the client already.
        if let Some(host) = guest.host.take() {
            if self.guests.recalls.wait(client, host).is_ok() {
                self.fence(client, host);
            }
            return;
        }
        // A packet behind the one that the host refused may have shown a ticket that it took.
        let stays = is_known && !has_own;
        guest.host = stays.then_some(from);
        let held = self.guests.recalls.end(client);
        if !stays {
            self.guests.remove(client);
        }
        self.handle_held(now, client, held);
    }

    /// The connection of a guest ended.
    pub(crate) fn lose_guest(&mut self, client: ClientTuple) {
        let guest = self.guests.remove(client);
        if let Some(to) = guest.and_then(|guest| guest.host) {
            let mail = Mail::Disconnected { client };
            self.effects.push(Effect::Mail { to, mail });
        }
    }

    pub(crate) fn take_own(&mut self, now: Now, client: ClientTuple, packet: &[u8]) {
        if let Some(message) = self.take(now, client, packet) {
            self.effects.answer(client, message);
        }
    }

    fn pass_packet(&mut self, to: ShardId, client: ClientTuple, packet: Vec<u8>) {
        let mail = Mail::Pass { client, packet };
        self.effects.push(Effect::Mail { to, mail });
    }
}
