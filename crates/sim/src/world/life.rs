//! How servers begin: at first, after a fault, and in the next process after an upgrade.

use std::sync::Arc;
use std::time::Duration;

use relay::{Config, Rules, Server, ShardId, Shared, Snapshot};

use super::World;

impl World {
    /// A shard fails: its state is gone, and it begins again. Its mail waits for its new life.
    pub fn restart_shard(&mut self, shard: usize) {
        let now = self.now().mono;
        self.shards[shard].handle_shutdown(now);
        self.perform(shard);
        self.lives = self.lives.wrapping_add(1);
        self.begin_again(shard, seed(shard, self.lives));
        self.follow_up(shard);
    }

    /// The first shard begins a new life with a seed of its own, in which it keeps the links to the
    /// partners. Its old state is given up.
    pub fn keep_partners(&mut self, life: u8) {
        self.routes.retain(|(shard, ..), _| *shard != 0);
        self.begin_again(0, [life; 32]);
        self.shards[0].keep_partners(self.clock.now());
        self.wake();
    }

    /// With the rules that hold by now.
    fn begin_again(&mut self, shard: usize, seed: [u8; 32]) {
        let (config, rules, shared) = (&self.config, &self.rules, &self.shared);
        self.shards[shard] = begin(config, rules, shared, shard, seed);
    }

    /// Another process takes over, which has frozen cores and open sockets handed to it, and after
    /// this time the cores go on.
    ///
    /// # Panics
    /// If effects or mail are waiting, which are not carried over. Keys that were asked for are
    /// answered to a process that is gone.
    pub fn upgrade(&mut self, pause: Duration) {
        let is_quiet = self.slow.is_empty() && !self.post.is_under_way();
        assert!(
            is_quiet,
            "effects are performed and mail is delivered before"
        );
        let then = self.now();
        let (config, rules) = (Arc::clone(&self.config), Arc::clone(&self.rules));
        let hand_over = |frozen: Snapshot| {
            let bytes = frozen.as_bytes().to_vec();
            Snapshot::from_bytes(bytes, &config.secret).expect("what was frozen is readable")
        };
        let shared = hand_over(self.shared.freeze(&config, &rules, then));
        let frozen = self
            .shards
            .iter()
            .map(|shard| hand_over(shard.freeze(then)));
        let frozen: Vec<Snapshot> = frozen.collect();
        self.oversleep(pause);
        self.routes.clear();
        self.machine.hand_over();
        self.connections.hand_over();
        self.lose_keys();
        self.lives = self.lives.wrapping_add(1);
        let now = self.now();
        let shared = Shared::thaw(&config, &rules, now, &shared);
        self.shared = Arc::new(shared.expect("the same rules"));
        for (shard, snapshot) in frozen.iter().enumerate() {
            self.shards[shard] = Server::thaw(
                Arc::clone(&config),
                Arc::clone(&rules),
                Arc::clone(&self.shared),
                number(shard),
                seed(shard, self.lives),
                now,
                snapshot,
            )
            .expect("the same rules");
        }
        for shard in 0..self.shards.len() {
            self.perform(shard);
        }
        for shard in 0..self.shards.len() {
            self.follow_up(shard);
        }
    }
}

/// A shard at the beginning of a life.
pub(super) fn begin(
    config: &Arc<Config>,
    rules: &Arc<Rules>,
    shared: &Arc<Shared>,
    shard: usize,
    seed: [u8; 32],
) -> Server {
    let (config, rules, shared) = (Arc::clone(config), Arc::clone(rules), Arc::clone(shared));
    Server::with_rules(config, rules, shared, number(shard), seed)
}

pub(super) fn number(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("few shards"))
}

/// Unlike that of every other shard and life.
pub(super) fn seed(shard: usize, life: u8) -> [u8; 32] {
    let mut seed = [number(shard).0 as u8; 32];
    seed[0] ^= life;
    seed
}
