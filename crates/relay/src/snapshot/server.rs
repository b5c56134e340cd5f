//! The core of one shard: what is carried over of it, and how another goes on with that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Field, Reader, Snapshot, Unreadable};
use crate::allocation::{Allocation, RelaySocket};
use crate::allocations::Allocations;
use crate::mobility::{Arrival, Place};
use crate::ports::Home;
use crate::request::opening;
use crate::sha256::PREFIXES;
use crate::tcp::{State, entry};
use crate::timers::Timer;
use crate::{
    ClientTuple, Config, ConnectionId, Counters, Effect, Now, Rules, Server, ShardId, Shared,
};

impl Server {
    /// The state of this core as bytes. Effects are performed and mail is delivered before: see
    /// [`Snapshot`]. The server itself is not changed, and may go on if the upgrade fails.
    pub fn freeze(&self, now: Now) -> Snapshot {
        // No `..`: a field that is added has to be thought of here. [`Snapshot`] says
        // why some are not carried.
        let Self {
            config,
            rules,
            shared: _,
            shard,
            rng: _,
            offered: _,
            nonces,
            tickets: _,
            allocations,
            routes,
            guests,
            keyring: _,
            connections: _,
            claimed,
            passed_by: _,
            timers,
            reservations_reminder: _,
            partners: _,
            effects: _,
            counters,
            reply: _,
            lately: _,
            traces: _,
            denied_quiet: _,
        } = self;
        let mut to = Snapshot::begin(Some(*shard), rules, now);
        nonces.serial().write(&mut to);
        let prefixes: Vec<Box<str>> = nonces.prefixes().map(Box::from).collect();
        prefixes.write(&mut to);
        counters.words().to_vec().write(&mut to);
        allocations.generation().write(&mut to);
        guests.passed().write(&mut to);
        let claimed = claimed
            .iter()
            .map(|(connection, from)| (*connection, *from));
        claimed.collect::<Vec<_>>().write(&mut to);
        timers.foreign_ports().collect::<Vec<_>>().write(&mut to);
        (allocations.len() as u32).write(&mut to);
        for allocation in allocations.ids().filter_map(|id| allocations.get(id)) {
            allocation.write(&mut to);
            let bound = |number| Some((number, routes.by_channel(allocation.client, number)?));
            let channels = allocation.channels.iter().copied().filter_map(bound);
            channels.collect::<Vec<_>>().write(&mut to);
        }
        Snapshot::seal(to.into_bytes(), &config.secret)
    }

    /// A core that goes on where the frozen one of this number stopped, under the same ids. What
    /// expired meanwhile, by `now.unix`, ends as expired, with its report; peers that the
    /// rules deny are cut off. `shared` is from [`Shared::thaw`], and the arguments are otherwise
    /// those of [`Server::with_rules`].
    ///
    /// # Errors
    /// If the snapshot is of something else, or the rules do not follow it. `shared` is then of no
    /// use: ports may be taken in it that no allocation has.
    pub fn thaw(
        config: Arc<Config>,
        rules: Arc<Rules>,
        shared: Arc<Shared>,
        shard: ShardId,
        seed: [u8; 32],
        now: Now,
        snapshot: &Snapshot,
    ) -> Result<Self, Unreadable> {
        let mut from = snapshot.open(now)?.of(Some(shard), &rules.realms)?;
        let frozen = Frozen::read(&mut from)?;
        from.end()?;
        let mut server = Self::with_rules(config, rules, shared, shard, seed);
        server.go_on(frozen)?;
        server.judge_again(now.mono);
        server.end_denied(now.mono);
        server.measure_again(now.mono);
        server.handle_timeout(now);
        Ok(server)
    }

    fn go_on(&mut self, frozen: Frozen) -> Result<(), Unreadable> {
        let Frozen {
            serial,
            prefixes,
            counters,
            generation,
            guests,
            claimed,
            foreign_ports,
            arrivals,
        } = frozen;
        self.nonces.go_on(serial, prefixes);
        self.counters = counters;
        for (client, (host, is_asking)) in guests {
            self.guests.go_on(client, host, is_asking);
        }
        self.claimed = claimed.into_iter().collect();
        for (local, deadline) in foreign_ports {
            let ports = &self.shared.ports;
            ports.release_foreign(local.ip(), local.port());
            let timer = Timer::ForeignPort(Box::new(local));
            self.timers.arm(deadline, timer);
        }
        let mut all = Vec::with_capacity(arrivals.len());
        let mut channels = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let allocation = arrival.allocation;
            self.take_back(&allocation)?;
            channels.push((allocation.id, allocation.client, arrival.channels));
            all.push(allocation);
        }
        self.allocations = Allocations::restored(&self.allocations, generation, all);
        for (id, client, channels) in channels {
            self.adopt_channels(id, client, channels);
        }
        Ok(())
    }

    /// Takes what an allocation shares with others, and asks for its sockets.
    fn take_back(&mut self, allocation: &Allocation) -> Result<(), Unreadable> {
        let shared = &self.shared;
        for relay in allocation.relays.iter() {
            let id = allocation.relay_id(relay.family());
            for local in [Some(relay.local), relay.next().map(|next| next.local)] {
                let is_free = |local: SocketAddr| shared.ports.retake(local.ip(), local.port());
                if !local.is_none_or(is_free) {
                    return Err(Unreadable::Conflict);
                }
            }
            let effect = match relay.socket {
                RelaySocket::Bound => {
                    let (ip, port) = (relay.local.ip(), relay.local.port());
                    match allocation.tcp {
                        Some(_) => shared.ports.listens(ip, port),
                        None => {
                            let home = Home::At(self.shard, allocation.id.slot);
                            shared.ports.opened(relay.local, home);
                        }
                    }
                    Effect::AdoptRelay { was: id, relay: id }
                }
                RelaySocket::AskedFor { .. } => {
                    opening::request_for(id, relay, allocation.tcp.is_some())
                }
            };
            self.effects.push(effect);
            if allocation.is_open() {
                self.timers.arm(relay.deadline, Timer::Relay(id));
            }
        }
        shared.quotas.count(allocation.account());
        if let Some(mobile) = &allocation.mobile {
            let place = Place::At(self.shard, allocation.id);
            let holder = allocation.holder();
            shared.whereabouts.restore(mobile.number, place, holder);
        }
        self.take_back_connections(allocation);
        Ok(())
    }

    /// Goes on with the connections of a TCP allocation, and makes those again that were being made.
    fn take_back_connections(&mut self, allocation: &Allocation) {
        let Some(tcp) = &allocation.tcp else {
            return;
        };
        for (connection, it) in &tcp.connections {
            self.connections.insert(*connection, allocation.id);
            let entry = entry(self.shard, allocation, tcp, &it.state);
            self.shared.connections.enter(*connection, entry);
            if matches!(it.state, State::Bound(_)) {
                continue;
            }
            self.timers.arm(it.deadline, Timer::Connection(*connection));
            if let State::Connecting(awaiting) = &it.state {
                self.effects.push(awaiting.effect(*connection));
            }
        }
    }
}

/// Everything that a server carries over.
struct Frozen {
    /// Where the nonces of this shard go on.
    serial: [u8; 4],
    /// How nonces that were made may begin.
    prefixes: Vec<&'static str>,
    counters: Counters,
    generation: u32,
    guests: Vec<(ClientTuple, (ShardId, bool))>,
    claimed: Vec<(ConnectionId, ShardId)>,
    foreign_ports: Vec<(SocketAddr, Instant)>,
    arrivals: Vec<Arrival>,
}

impl Frozen {
    /// Reads all that a server carries over. Nothing of the server is changed before the whole is
    /// known to be consistent.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let serial = Field::read(from)?;
        let prefixes = Vec::<Box<str>>::read(from)?;
        let known = |it: &str| PREFIXES.into_iter().find(|known| *known == it);
        let prefixes: Option<Vec<_>> = prefixes.iter().map(|it| known(it)).collect();
        let words = Vec::<u64>::read(from)?;
        let words = words.first_chunk().filter(|it| it.len() == words.len());
        let frozen = Self {
            serial,
            prefixes: prefixes.ok_or(Unreadable::Value)?,
            counters: Counters::from_words(*words.ok_or(Unreadable::Value)?),
            generation: Field::read(from)?,
            guests: Field::read(from)?,
            claimed: Field::read(from)?,
            foreign_ports: Field::read(from)?,
            arrivals: Field::read(from)?,
        };
        frozen.check()?;
        Ok(frozen)
    }

    /// No two allocations may share what only one can have.
    fn check(&self) -> Result<(), Unreadable> {
        let (mut slots, mut clients, mut tickets) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut relayed = BTreeSet::new();
        for Arrival { allocation, .. } in &self.arrivals {
            let next = allocation.next().map(|next| next.client);
            let ticket = allocation.mobile.as_ref().map(|mobile| mobile.number);
            let is_alone = slots.insert(allocation.id.slot)
                && clients.insert(allocation.client)
                && next.is_none_or(|next| clients.insert(next))
                && ticket.is_none_or(|number| tickets.insert(number))
                && allocation.relays.relayed().all(|it| relayed.insert(it));
            if !is_alone {
                return Err(Unreadable::Conflict);
            }
        }
        Ok(())
    }
}
