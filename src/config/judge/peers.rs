//! `[peers]`: to whom allocations may send.

use std::net::{Ipv4Addr, Ipv6Addr};

use relay::policy::{Mode, Network};

use super::Judge;
use crate::config::Peers;
use crate::config::caution::Caution;
use crate::config::fault::Fault;
use crate::config::file::{PeerMode, PeersTable, Text};

impl Judge<'_> {
    pub(super) fn peers(&mut self, table: &PeersTable) -> Option<Peers> {
        let allow = self.networks("[peers] allow", &table.allow);
        let deny = self.networks("[peers] deny", &table.deny);
        let mode = match &table.mode {
            Some(mode) if *mode.get_ref() == PeerMode::AllowList => Mode::AllowList,
            Some(_) | None => Mode::Closed,
        };
        let allow = allow?;
        for (entry, written) in allow.iter().zip(&table.allow) {
            if reaches_loopback(entry) {
                self.say(Caution::LoopbackPeers, written.span());
            }
        }
        if let Some(written) = &table.mode
            && mode == Mode::AllowList
            && allow.is_empty()
        {
            self.say(Caution::NoPeers, written.span());
        }
        Some(Peers {
            mode,
            allow,
            deny: deny?,
        })
    }

    fn networks(&mut self, key: &'static str, list: &[Text]) -> Option<Vec<Network>> {
        let read: Vec<_> = list
            .iter()
            .map(|written| self.network(key, written))
            .collect();
        read.into_iter().collect()
    }

    fn network(&mut self, key: &'static str, written: &Text) -> Option<Network> {
        match written.get_ref().parse() {
            Ok(network) => Some(network),
            Err(source) => {
                let key = key.into();
                self.refuse(Fault::Network { key, source }, written.span())
            }
        }
    }
}

fn reaches_loopback(entry: &Network) -> bool {
    entry.contains_ip(Ipv4Addr::LOCALHOST.into()) || entry.contains_ip(Ipv6Addr::LOCALHOST.into())
}
