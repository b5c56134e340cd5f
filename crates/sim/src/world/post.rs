//! Mail between the shards, and the sockets that travel with it.

use std::collections::VecDeque;

use relay::{Mail, RelayId, ShardId};

use super::World;
use super::life::number;
use crate::machine::{Mood, Talk};

/// Mail on its way, in the order in which it was written.
#[derive(Debug, Default)]
pub(crate) struct Post {
    mail: VecDeque<Letter>,
    /// Whether nothing is delivered for now.
    held: bool,
}

#[derive(Debug)]
struct Letter {
    from: usize,
    to: usize,
    mail: Mail,
}

impl Post {
    pub(super) fn is_under_way(&self) -> bool {
        !self.mail.is_empty()
    }
}

/// Events of the post.
impl World {
    /// From now on mail waits for [`World::deliver_one`] or [`World::release_mail`].
    pub const fn hold_mail(&mut self) {
        self.post.held = true;
    }

    /// From now on mail is delivered at once, and first the mail that waits.
    pub fn release_mail(&mut self) {
        self.post.held = false;
        self.deliver_mail();
    }

    /// Whether an allocation is on its way from one shard to another.
    pub fn is_between_shards(&self) -> bool {
        let mut mail = self.post.mail.iter();
        mail.any(|letter| matches!(letter.mail, Mail::Arrive(_)))
    }

    /// The letter that was written first is delivered, and the others wait on. Returns whether
    /// there was one.
    pub fn deliver_one(&mut self) -> bool {
        let Some(letter) = self.post.mail.pop_front() else {
            return false;
        };
        self.hand_in(letter);
        true
    }

    /// Loses the letters for this shard, which has stopped for good, and tells their writers.
    pub fn lose_mail_to(&mut self, shard: usize) {
        let (lost, kept) = std::mem::take(&mut self.post.mail)
            .into_iter()
            .partition::<VecDeque<_>, _>(|letter| letter.to == shard);
        self.post.mail = kept;
        for Letter { from, to, mail } in lost {
            if let Mail::Arrive(arrival) = &mail {
                for relay in arrival.relays() {
                    self.machine.give_up(relay);
                }
            }
            if let Mail::Yield { connection } = mail {
                self.connections.between.remove(&connection);
            }
            self.lose(from, to, mail);
        }
    }

    /// Loses the oldest letter if that may be lost, as if the inbox were full. Returns whether it
    /// was.
    pub fn lose_packet(&mut self) -> bool {
        let is_packet = |letter: &mut Letter| letter.mail.is_packet();
        let Some(Letter { from, to, mail }) = self.post.mail.pop_front_if(is_packet) else {
            return false;
        };
        self.lose(from, to, mail);
        true
    }

    fn lose(&mut self, from: usize, to: usize, mail: Mail) {
        let now = self.now().mono;
        self.shards[from].handle_undelivered(now, number(to), mail);
        self.follow_up(from);
    }

    pub(super) fn send_mail(&mut self, from: usize, to: ShardId, mail: Mail) {
        if let Mail::Arrive(arrival) = &mail {
            for relay in arrival.relays() {
                self.machine.depart((from, relay));
            }
        }
        if let Mail::Yield { connection } = mail {
            self.depart_connection(from, connection);
        }
        let to = usize::from(to.0);
        self.post.mail.push_back(Letter { from, to, mail });
    }

    pub(super) fn deliver_mail(&mut self) {
        while !self.post.held && self.deliver_one() {}
    }

    fn hand_in(&mut self, Letter { from, to, mail }: Letter) {
        let brought = if let Mail::Yield { connection } = mail {
            Some(connection)
        } else {
            None
        };
        self.shards[to].handle_mail(self.clock.now(), number(from), mail);
        self.perform(to);
        if let Some(connection) = brought {
            // Closed, unless it was adopted.
            self.connections.between.remove(&connection);
        }
    }

    /// A socket is read by another shard from now on, and first the datagrams that wait in it.
    pub(super) fn adopt(&mut self, shard: usize, was: RelayId, relay: RelayId) {
        // In an upgrade sockets keep their ids, and nothing new is asked of the machine.
        if let Mood::Refusing(_) = self.machine.mood
            && was != relay
        {
            let local = self.machine.give_up(was);
            let talk = local.map(|local| ((shard, relay), Talk::Stranded(local)));
            self.machine.log.extend(talk);
            let now = self.clock.now().mono;
            return self.shards[shard].handle_stranded(now, relay);
        }
        let (local, waiting) = self.machine.adopt(was, (shard, relay));
        for (peer, payload) in waiting {
            let outcome = self.arrive(peer, local, &payload);
            self.late.push(outcome);
        }
    }
}
