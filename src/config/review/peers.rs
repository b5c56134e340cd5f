//! `[peers]`: to whom allocations may send.

use std::net::{Ipv4Addr, Ipv6Addr};

use relay::policy::{Mode, Network};

use super::Review;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn peers(&mut self, table: &Table<'_>) {
        let networks = |key| -> Vec<Network> {
            let texts = table.texts(key).into_iter();
            texts
                .filter_map(|text| text.get_ref().parse().ok())
                .collect()
        };
        (self.config.peers.allow, self.config.peers.deny) = (networks("allow"), networks("deny"));
        for written in table.texts("allow") {
            let network = written.get_ref().parse::<Network>().ok();
            let Some(network) = network else {
                continue;
            };
            if let Some(block) = network.leaves_closed() {
                let sentence = format!(
                    "`[peers] allow` names {network}, which opens public addresses only: {block} and \
                     other special ranges stay denied"
                );
                self.say(Remark::caution(written.span(), sentence).help(
                    "an entry opens a special range where it lies wholly inside: name the network \
                     that is meant, such as \"10.1.2.0/24\"",
                ));
            } else if reaches_loopback(&network) {
                let sentence = "`[peers] allow` opens loopback: clients reach the services that \
                                listen only on this host";
                self.say(Remark::caution(written.span(), sentence).help(
                    "name the networks that are meant; this is right only for trying on one machine",
                ));
            }
        }
        if let Some(at) = table.at("mode")
            && self.config.peers.mode == Mode::AllowList
            && table.texts("allow").is_empty()
        {
            let sentence = "`[peers] mode` is \"allow-list\" and `allow` is empty: no peer can be \
                            reached";
            self.say(
                Remark::caution(at, sentence)
                    .help("name the networks of the peers, such as allow = [\"203.0.113.0/24\"]"),
            );
        }
    }
}

fn reaches_loopback(entry: &Network) -> bool {
    entry.contains_ip(Ipv4Addr::LOCALHOST.into()) || entry.contains_ip(Ipv6Addr::LOCALHOST.into())
}
