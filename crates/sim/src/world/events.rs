//! Events of the machine that the servers run on.

use std::net::SocketAddr;

use relay::OpenError;

use super::World;
use crate::machine::Mood;

/// Events of the machine.
impl World {
    /// Another program takes a port of a relay address.
    ///
    /// # Panics
    /// If the server has it.
    pub fn occupy(&mut self, local: SocketAddr) {
        self.machine.occupy(local);
    }

    /// The other program gives it back.
    pub fn vacate(&mut self, local: SocketAddr) {
        self.machine.vacate(local);
    }

    /// All other programs give their ports back.
    pub(crate) fn vacate_all(&mut self) {
        self.machine.vacate_all();
    }

    /// From now on no socket can be opened.
    pub const fn refuse_sockets(&mut self, why: OpenError) {
        self.machine.mood = Mood::Refusing(why);
    }

    /// From now on opening a socket lasts until [`World::open_sockets`].
    pub const fn hold_sockets(&mut self) {
        self.machine.mood = Mood::Slow;
    }

    /// From now on sockets are opened at once, and first those that wait.
    pub fn open_sockets(&mut self) {
        self.machine.mood = Mood::Willing;
        while let Some(((shard, relay), local)) = self.machine.pending.pop_front() {
            self.open(shard, relay, local);
            self.follow_up(shard);
        }
    }

    /// The socket that waits longest is opened, and the others wait on.
    ///
    /// # Panics
    /// If none waits.
    pub fn open_one_socket(&mut self) {
        let waiting = self.machine.pending.pop_front();
        let ((shard, relay), local) = waiting.expect("a socket that was asked for");
        self.machine.mood = Mood::Willing;
        self.open(shard, relay, local);
        self.machine.mood = Mood::Slow;
        self.follow_up(shard);
    }

    /// From now on a shard performs no effects, as if it were busy, until [`World::wake_shard`].
    pub fn stall_shard(&mut self, shard: usize) {
        self.slow.insert(shard);
    }

    /// The shard performs the effects that have piled up.
    pub fn wake_shard(&mut self, shard: usize) {
        self.slow.remove(&shard);
        self.follow_up(shard);
    }

    /// The service drains.
    pub fn drain(&mut self) {
        self.shared.drain();
    }

    /// The service no longer drains.
    pub fn undrain(&mut self) {
        self.shared.undrain();
    }

    /// The service stops.
    pub fn shut_down(&mut self) {
        let now = self.clock.now().mono;
        for shard in 0..self.shards.len() {
            self.shards[shard].handle_shutdown(now);
            self.follow_up(shard);
        }
    }
}
