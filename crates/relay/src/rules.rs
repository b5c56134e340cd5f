//! How a server takes other rules, and what it cuts off by them.

use std::sync::Arc;
use std::time::Instant;

use crate::sha256::Offered;
use crate::{AllocationId, Config, Rules, Server};

impl Server {
    /// From now on these rules hold, unless later ones hold already. They keep the ids of the realms
    /// that the server has: [`Rules::succeed`]. Allocations live on, but for peers that the
    /// policy denies now, and for clients that are not served any more.
    pub(crate) fn adopt(&mut self, now: Instant, rules: Arc<Rules>) {
        if rules.serial < self.rules.serial {
            return;
        }
        self.offered = offered(&self.config, &rules);
        self.nonces
            .adopt(rules.nonce_lifetime, self.offered.nonce_prefix);
        self.shared.ports.serve(&rules.locals());
        let earlier = std::mem::replace(&mut self.rules, rules);
        self.keyring.forget_answers();
        // Mostly it is users that change, and there may be a million permissions.
        if self.rules.policy != earlier.policy {
            self.judge_again(now);
        }
        if self.rules.clients != earlier.clients {
            self.end_denied(now);
            if self.rules.clients.ban.is_none() {
                self.shared.bans.end_all(now);
            }
        }
        if self.rules.quality != earlier.quality {
            self.tally_again();
        }
        if self.rules.limit_bandwidth() || earlier.limit_bandwidth() {
            self.measure_again(now);
        }
    }

    /// Ends the permissions and channels of all peers that the policy denies by now.
    pub(crate) fn judge_again(&mut self, now: Instant) {
        let ids: Vec<AllocationId> = self.allocations.ids().collect();
        for id in ids {
            self.judge_peers_of(now, id);
        }
    }
}

/// The contents of challenges under these rules. Nonces must begin alike at all servers that share
/// the secret of nonces, whatever users each has.
pub(crate) fn offered(config: &Config, rules: &Rules) -> Offered {
    let realms = &rules.realms;
    let has_names = config.nonce_secret.is_none() && realms.have_names();
    Offered::new(rules.sha256, realms.have_passwords(), has_names)
}
