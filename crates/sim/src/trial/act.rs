//! Steps made: the packets that are sent, and their outcome when they arrive.

mod write;

use std::net::SocketAddr;
use std::time::Duration;

use relay::{ConnectError, Counters, DropReason};
use wire::attributes::{
    MobilityTicket, Nonce, PasswordAlgorithms, Realm, ReservationToken, XorRelayedAddress,
};

use super::scene::Change;
use super::step::{MachineStep, Manner, Place, Step};
use super::{NOBODY, Parcel, Trial};
use crate::model::Expect;
use crate::network::Fate;
use crate::{Answer, Client, EXTERNAL, LISTENER, LOCAL, LOCAL_V6, Outcome};

impl Trial {
    pub(super) fn act(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Tell { who, ask, fate } => {
                let packet = self.write(*who, ask);
                self.people[*who].last = packet;
                self.send(*who, fate);
            }
            Step::Again { who, fate } => self.send(*who, fate),
            Step::Damage {
                who,
                at,
                bits,
                fate,
            } => {
                damage(&mut self.people[*who].last, usize::from(*at), *bits);
                self.send(*who, fate);
            }
            Step::ChannelData {
                who,
                channel,
                length,
                lie,
                fate,
            } => {
                let payload = self.payload(*length);
                self.people[*who].last = self.channel_data(*who, *channel, &payload, *lie);
                self.send(*who, fate);
            }
            Step::Garbage { who, bytes, fate } => {
                self.people[*who].last.clone_from(bytes);
                self.send(*who, fate);
            }
            Step::PeerSends {
                from,
                to,
                length,
                fate,
            } => {
                let (from, to) = (self.address(*from), self.address(*to));
                let payload = self.payload(*length);
                self.cross(fate, from, to, || {
                    let payload = payload.clone();
                    Parcel::FromPeer { from, to, payload }
                });
            }
            Step::Icmp {
                from,
                peer,
                icmp,
                fate,
            } => {
                let (from, peer, icmp) = (self.address(*from), self.address(*peer), *icmp);
                self.cross(fate, from, peer, || Parcel::Icmp { from, peer, icmp });
            }
            Step::Wait(duration) => self.pass(*duration)?,
            Step::Disconnect { who } => self.disconnect(*who)?,
            Step::PeerAnswers { is_there } => self.peer_answers(*is_there)?,
            Step::PeerConnects { from, to } => {
                let (from, to) = (self.address(*from), self.address(*to));
                self.peer_connects(from, to)?;
            }
            Step::EndSplice { who } => {
                self.end_splice(*who);
                self.compare(None, None)?;
            }
            Step::Machine(step) => self.machine(*step)?,
            Step::Rules(change) => self.change_rules(*change)?,
            Step::Upgrade(pause) => self.upgrade(*pause)?,
        }
        Ok(())
    }

    /// A parcel is on its way, as often as it arrives. Nothing gets from one family to the other.
    fn cross(
        &mut self,
        fate: &Fate,
        from: SocketAddr,
        to: SocketAddr,
        parcel: impl Fn() -> Parcel,
    ) {
        let late = fate.there.iter().filter(|_| from.is_ipv4() == to.is_ipv4());
        for late in late {
            self.network.send(self.now() + *late, parcel());
        }
    }

    fn disconnect(&mut self, who: usize) -> Result<(), String> {
        self.end_splice(who);
        let person = &self.people[who];
        self.model.disconnect(person.tuple);
        person.client.disconnect(&mut self.world);
        self.compare(None, None)
    }

    /// A peer that was called takes the connection, or refuses it.
    fn peer_answers(&mut self, is_there: bool) -> Result<(), String> {
        let outcome = if is_there {
            Ok(())
        } else {
            Err(ConnectError::Refused)
        };
        if let Some((local, to)) = self.world.answer_connect(outcome) {
            self.model.peer_answered(local, to, is_there);
        }
        self.compare(None, None)
    }

    fn change_rules(&mut self, change: Change) -> Result<(), String> {
        self.scene.change(change);
        self.scene.fill_store(&mut self.world);
        self.world.change_rules(self.scene.rules());
        self.model.adopt(self.scene.terms());
        self.compare(None, None)
    }

    fn upgrade(&mut self, pause: Duration) -> Result<(), String> {
        self.world.upgrade(pause);
        self.model.forget_charges();
        self.model.wake_at(self.now());
        self.compare(None, None)
    }

    /// A client closes a connection that carries a peer's data.
    fn end_splice(&mut self, who: usize) {
        let person = &self.people[who];
        if let Some(connection) = self.world.carried_by(person.client) {
            self.model.end_splice(person.tuple);
            self.world.end_splice(connection);
        }
    }

    fn peer_connects(&mut self, from: SocketAddr, to: SocketAddr) -> Result<(), String> {
        // Nothing gets from one family to the other, and a peer that is connected, or called, does
        // not connect from the same address again.
        let is_new = self.model.is_new_peer(from, to);
        if from.is_ipv4() != to.is_ipv4() || from == to || !is_new {
            return Ok(());
        }
        let expected = self.model.peer_connects(from, to);
        let happened = self.world.peer_connects(from, to);
        match (&expected, happened) {
            (Expect::Lost(why), Err(dropped)) if *why == dropped => {
                self.coverage.note("drop", why.name());
            }
            (Expect::Later, Ok(connection)) => {
                let told = self.model.let_in(from, to, connection);
                self.connections.push(connection);
                self.coverage.note("outcome", "peer let in");
                let (client, peer) = told.ok_or("nobody is told")?;
                let reader = self.people.iter().find(|it| it.tuple == client);
                let reader = reader.ok_or("a client is told")?.client;
                let attempts = reader.attempts(&mut self.world);
                if attempts != [(connection, peer)] {
                    return Err(format!("expected news of {peer}, got {attempts:?}"));
                }
            }
            (_, happened) => {
                return Err(format!("expected {expected:?} of a peer, got {happened:?}"));
            }
        }
        self.compare(None, None)
    }

    fn machine(&mut self, step: MachineStep) -> Result<(), String> {
        match step {
            MachineStep::Occupy { port, v6 } => {
                let local = self.port(port, v6, true);
                if !self.world.has_socket(local) {
                    self.world.occupy(local);
                }
            }
            MachineStep::Vacate => self.world.vacate_all(),
            MachineStep::Treat(manner) => self.treat(manner),
            MachineStep::OpenOne => {
                if self.world.waiting_sockets() > 0 {
                    self.world.open_one_socket();
                }
            }
        }
        self.compare(None, None)
    }

    fn treat(&mut self, manner: Manner) {
        self.is_machine_ill = !matches!(manner, Manner::Willing);
        match manner {
            Manner::Willing => self.world.open_sockets(),
            Manner::Slow => self.world.hold_sockets(),
            Manner::Refusing(why) => self.world.refuse_sockets(why),
        }
    }

    /// Sends a client's last packet.
    fn send(&mut self, who: usize, fate: &Fate) {
        for late in &fate.there {
            let mut arrival = self.now() + *late;
            if self.is_stream(who) {
                arrival = arrival.max(self.people[who].stream);
                self.people[who].stream = arrival;
            }
            let (packet, back) = (self.people[who].last.clone(), fate.back);
            let parcel = Parcel::ToServer { who, packet, back };
            self.network.send(arrival, parcel);
        }
    }

    pub(super) fn arrive(&mut self, parcel: Parcel) -> Result<(), String> {
        self.coverage.packets += 1;
        match parcel {
            Parcel::ToServer { who, packet, back } => {
                let (client, tuple) = (self.people[who].client, self.people[who].tuple);
                if self.world.carried_by(client).is_some() {
                    // It is data for the peer, whatever it looks like.
                    return Ok(());
                }
                let expected = self.model.packet(tuple, &packet);
                let mut outcome = self.client_sends(client, &packet);
                // It finds its key at hand when it is sent again; two shards may have to fetch it.
                for _ in 0..2 {
                    if outcome == Outcome::Lost(DropReason::KeyAwaited) {
                        self.coverage.note("drop", DropReason::KeyAwaited.name());
                        outcome = self.client_sends(client, &packet);
                    }
                }
                for _ in self.world.asked_for() {
                    self.coverage.note("outcome", "key fetched");
                }
                self.compare(Some((who, expected, outcome)), back)
            }
            Parcel::FromPeer { from, to, payload } => {
                if self.world.is_occupied(to) {
                    return Ok(());
                }
                let expected = self.model.datagram(from, to, &payload);
                let outcome = crate::Peer(from).send(&mut self.world, to, &payload);
                self.compare(Some((NOBODY, expected, outcome)), None)
            }
            Parcel::Icmp { from, peer, icmp } => {
                if self.world.is_occupied(from) {
                    return Ok(());
                }
                let expected = self.model.icmp(from, peer, icmp);
                let outcome = crate::Peer(peer).is_lost(&mut self.world, from, icmp);
                self.compare(Some((NOBODY, expected, outcome)), None)
            }
            Parcel::ToClient { who, answer } => {
                self.hear(who, &answer);
                Ok(())
            }
        }
    }

    fn client_sends(&mut self, client: Client, packet: &[u8]) -> Outcome {
        let before = self.world.counters();
        let outcome = client.packet(&mut self.world, packet);
        if outcome == Outcome::Silent {
            return self.dropped_since(&before);
        }
        outcome
    }

    /// The outcome of a packet that was passed to another shard: only that shard's counters show a
    /// drop.
    fn dropped_since(&self, before: &Counters) -> Outcome {
        let now = self.world.counters();
        let mut all = DropReason::ALL.iter();
        let why = all.find(|why| now.dropped(**why) > before.dropped(**why));
        why.map_or(Outcome::Silent, |why| Outcome::Lost(*why))
    }

    /// A client reads an answer.
    fn hear(&mut self, who: usize, answer: &Answer) {
        let person = &mut self.people[who];
        if let (Some(Realm(realm)), Some(Nonce(nonce))) = (answer.get(), answer.get()) {
            person.credentials.realm = realm.to_owned();
            person.credentials.nonce = nonce.to_owned();
            let algorithms: Option<PasswordAlgorithms<'_>> = answer.get();
            person.credentials.algorithms = algorithms.map_or(vec![], |all| all.0.to_vec());
        }
        let relayed: Vec<XorRelayedAddress> = answer.get_all();
        if !relayed.is_empty() {
            person.relayed = relayed
                .into_iter()
                .map(|XorRelayedAddress(at)| at)
                .collect();
        }
        self.tokens.extend(answer.get::<ReservationToken>());
        let ticket: Option<MobilityTicket<'_>> = answer.get();
        self.tickets
            .extend(ticket.map(|MobilityTicket(ticket)| ticket.to_vec()));
    }

    fn address(&self, place: Place) -> SocketAddr {
        match place {
            Place::V4(number) => ([9, 9, 0, number / 2], 4000 + u16::from(number % 2)).into(),
            Place::V6(number) => {
                let ip = [0x2620, 0xfe, 0, 0, 0, 0, 9, u16::from(number / 2)];
                (ip, 4000 + u16::from(number % 2)).into()
            }
            Place::Private => ([10, 0, 0, 1], 80).into(),
            Place::Listener => LISTENER,
            Place::PortZero => ([9, 9, 0, 0], 0).into(),
            Place::Mapped => ([0, 0, 0, 0, 0, 0xFFFF, 0x0909, 0], 4000).into(),
            Place::Relayed { who, v6 } => {
                let mut heard = self.people[who].relayed.iter();
                let heard = heard.find(|at| at.is_ipv6() == v6);
                heard.copied().unwrap_or_else(|| self.port(0, v6, false))
            }
            Place::Port { port, v6, local } => self.port(port, v6, local),
        }
    }

    /// A port of the range, or next to it.
    fn port(&self, port: u8, v6: bool, local: bool) -> SocketAddr {
        let (first, last) = self.scene.ports;
        let port = first + u16::from(port) % (last - first + 2);
        match (v6, local) {
            (true, _) => (LOCAL_V6, port).into(),
            (false, true) => (LOCAL, port).into(),
            (false, false) => (EXTERNAL, port).into(),
        }
    }
}

/// Changes a bit or more, or cuts the end off.
fn damage(packet: &mut Vec<u8>, at: usize, bits: u8) {
    match packet.len() {
        0 => packet.push(bits),
        length if bits == 0 => packet.truncate(at % length),
        length => packet[at % length] ^= bits,
    }
}

/// When an answer comes that takes so long, or `None` if it is lost.
pub(super) fn late(back: Option<Duration>, now: Duration) -> Option<Duration> {
    back.map(|late| now + late)
}
