//! The addresses of the host while the server runs. They come, change and go with DHCP, IPv6's
//! router advertisements, tunnels and floating addresses; the kernel tells, and the shards follow.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use relay::RelayAddress;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use super::control::Control;
use super::external::{self, Question};
use super::nearby::allow_nearby;
use super::relisten;
use super::reload::Reload;
use super::shards::rules;
use crate::config::{Config, Machine};
use crate::netlink::{Unasked, Watch};

/// The host as it was last seen, and the ways to hear of its changes.
pub(super) struct Addresses {
    pub(super) host: Machine,
    /// The external addresses that were found out.
    pub(super) found: watch::Receiver<Vec<RelayAddress>>,
    question: watch::Sender<Question>,
    kernel: Watch,
    /// Whether the kernel has told of something that was not looked at yet.
    is_told: bool,
    /// Relay addresses that the host has lost, and when what lives on them ends.
    lost: Vec<(RelayAddress, Instant)>,
}

impl Addresses {
    /// Begins to listen to the kernel, and gives the configuration the external addresses that are
    /// found out in time; returns what goes on finding them, too.
    pub(super) async fn begin(
        config: &mut Config,
        host: &Machine,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), Unasked> {
        let kernel = Watch::open()?;
        let asked = Question::of(config);
        let found = timeout(PATIENCE, asked.ask(&[])).await.unwrap_or_default();
        config.relay.follow(host, &found);
        let (question, answers) = (watch::Sender::new(asked), watch::Sender::new(found));
        let addresses = Self {
            host: host.clone(),
            found: answers.subscribe(),
            kernel,
            // Changes that came after `host` was read and before this.
            is_told: true,
            lost: Vec::new(),
            question: question.clone(),
        };
        Ok((addresses, external::follow(question.subscribe(), answers)))
    }

    /// Waits until there is something to look at. Nothing is lost if nobody waits to the end.
    pub(super) async fn changed(&mut self) {
        if !self.is_told {
            let due = self.lost.iter().map(|(_, due)| *due).min();
            let in_time = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                told = self.kernel.changed() => if let Err(error) = told {
                    error!(%error, "addresses.untold: the kernel does not tell of its addresses; they are read each second");
                    sleep(Duration::from_secs(1)).await;
                },
                // The task that finds them never ends before this one.
                _ = self.found.changed() => {}
                () = in_time => {}
            }
            self.is_told = true;
        }
        sleep(SETTLING).await;
        self.is_told = false;
    }

    /// Looks at the host again; returns whether it is another.
    fn look(&mut self) -> Result<bool, Unasked> {
        self.kernel.forget();
        let host = Machine::here()?;
        let differs = !host.has_addresses_of(&self.host);
        self.host = host;
        Ok(differs)
    }

    /// Notes which relay addresses of before are there no more, and which are back.
    pub(super) fn note_losses(&mut self, before: &[RelayAddress], now: &[RelayAddress]) {
        let host = &self.host;
        let is_there = |pair: &RelayAddress| now.contains(pair) && host.has(pair.local);
        self.lost.retain(|(pair, _)| !is_there(pair));
        for pair in before.iter().filter(|pair| !is_there(pair)) {
            if self.lost.iter().all(|(lost, _)| lost != pair) {
                self.lost.push((*pair, Instant::now() + GRACE));
            }
        }
    }

    /// Has the external addresses of a configuration found out.
    pub(super) fn ask_for(&self, config: &Config) {
        let question = Question::of(config);
        self.question.send_if_modified(|asked| {
            let differs = *asked != question;
            *asked = question;
            differs
        });
    }
}

impl Reload {
    /// Has the shards follow the host's addresses. Permissions for peers that are this host by
    /// now end at once, and a while later allocations on addresses that it does not have any more.
    pub(super) async fn follow_host(&mut self, control: &Control) {
        let earlier = self.addresses.host.clone();
        match self.addresses.look() {
            Ok(differs) => {
                let found = self.addresses.found.borrow_and_update().clone();
                let mut config = self.config.clone();
                config.relay.follow(&self.addresses.host, &found);
                if differs || config.relay != self.config.relay {
                    self.say_what_came_and_went(&earlier);
                    self.have_followed(control, config).await;
                }
            }
            Err(error) => error!(
                "addresses.unreadable: {error}; the server goes on with the addresses that it knew before"
            ),
        }
        self.end_what_is_lost(control).await;
    }

    async fn have_followed(&mut self, control: &Control, mut config: Config) {
        let host = &self.addresses.host;
        if self.dev {
            allow_nearby(&mut config, host);
        }
        match rules(&config, host, relisten::retiring(&control.running)) {
            Ok(rules) => control.adopt(rules).await,
            Err(fault) => return error!("addresses.refused: {fault}"),
        }
        control.minting.follow(&config);
        for RelayAddress { local, external } in &config.relay.addresses {
            let is_new = !self.config.relay.addresses.contains(&RelayAddress {
                local: *local,
                external: *external,
            });
            if is_new {
                info!(address = %local, %external, "address.served: relaying from now on");
            }
        }
        let before = std::mem::take(&mut self.config.relay.addresses);
        self.addresses.note_losses(&before, &config.relay.addresses);
        self.addresses.ask_for(&config);
        self.config = config;
    }

    async fn end_what_is_lost(&mut self, control: &Control) {
        let now = Instant::now();
        let due: Vec<_> = self
            .addresses
            .lost
            .extract_if(.., |(_, due)| *due <= now)
            .collect();
        for (RelayAddress { local, external }, _) in due {
            let ended = control.running.lose(RelayAddress { local, external }).await;
            let allocations = ended.allocations;
            warn!(address = %local, %external, allocations, "address.gone: the address has gone, and the allocations on it have ended");
        }
    }

    /// Of the addresses that the configuration names.
    fn say_what_came_and_went(&self, earlier: &Machine) {
        for ip in named(&self.config) {
            match (earlier.has(ip), self.addresses.host.has(ip)) {
                (false, true) => {
                    info!(address = %ip, "address.come: the address has come, and is served")
                }
                (true, false) => {
                    warn!(address = %ip, "address.gone: the address has gone; it is served again once it comes back")
                }
                (true, true) | (false, false) => {}
            }
        }
    }
}

/// Says which addresses of the configuration the host does not have yet.
pub(super) fn say_what_is_missing(config: &Config, host: &Machine) {
    for ip in named(config).into_iter().filter(|ip| !host.has(*ip)) {
        say_awaited(ip);
    }
    if config.relay.addresses.is_empty() && !config.is_stun_only() {
        warn!(
            "address.none: this host has no address but loopback: nobody can allocate until it has one, or \
             `addresses` in [relay] names one (on one machine try `hairpin serve --dev`)"
        );
    }
}

/// Says that the host does not have an address yet.
pub(super) fn say_awaited(ip: IpAddr) {
    warn!(address = %ip, "address.awaited: this host does not have the address yet; it is served once the host has it");
}

/// The addresses that a configuration names one by one.
fn named(config: &Config) -> BTreeSet<IpAddr> {
    let listeners = config.listeners.iter().map(|listener| listener.listen.ip());
    let relays = config.relay.written.iter().copied();
    listeners
        .chain(relays)
        .map(|ip| ip.to_canonical())
        .collect()
}

/// How long the start waits for external addresses. Systemd waits longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes come in groups: an address, its routes, its broadcast address.
const SETTLING: Duration = Duration::from_millis(100);

/// How long an address may be gone before what lives on it ends: some programs that configure a
/// network take an address away to put it back.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[tokio::test]
    async fn an_address_that_comes_back_in_time_is_not_lost() {
        let pair = |ip: [u8; 4]| RelayAddress {
            local: ip.into(),
            external: ip.into(),
        };
        let (mut with, mut without) = (Machine::anywhere(), Machine::anywhere());
        with.addresses.push(pair([192, 0, 2, 9]).local);
        without.addresses.clear();
        without.networks.clear();
        let begun = Addresses::begin(&mut Config::default(), &with).await;
        let (mut addresses, _) = begun.unwrap();
        let relays = [pair([192, 0, 2, 9])];
        addresses.note_losses(&relays, &relays);
        assert!(addresses.lost.is_empty());
        addresses.host = without;
        addresses.note_losses(&relays, &relays);
        let first = addresses.lost.clone();
        assert_eq!(first.len(), 1);
        // Looked at again, it does not live longer.
        addresses.note_losses(&relays, &relays);
        assert_eq!(addresses.lost, first);
        addresses.host = with;
        addresses.note_losses(&relays, &relays);
        assert!(addresses.lost.is_empty());
        // Peers know the host by another external address: that one does not come back.
        let external = [RelayAddress {
            external: [203, 0, 113, 7].into(),
            ..relays[0]
        }];
        addresses.note_losses(&relays, &external);
        assert_eq!(addresses.lost[0].0, relays[0]);
    }

    #[test]
    fn only_addresses_that_stand_in_the_file_are_waited_for_aloud() {
        let text = "[[listener]]\ntransport = \"udp\"\nlisten = \"192.0.2.9:3478\"\n\
                    [[listener]]\ntransport = \"tcp\"\nlisten = \"192.0.2.9:3478\"\n\
                    [relay]\naddresses = [\"192.0.2.10\"]\n";
        let path = std::path::Path::new("turnserver.toml");
        let loaded = config::read(text, path, &Machine::anywhere()).unwrap();
        let names: Vec<String> = named(&loaded.config)
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(names, ["192.0.2.9", "192.0.2.10"]);
    }
}
