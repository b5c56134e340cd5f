//! Steps made: the packets that are sent, and their outcome when they arrive.

use std::net::SocketAddr;
use std::time::Duration;

use relay::{ConnectError, ConnectionId, Counters, DropReason};
use wire::attributes::{
    AdditionalAddressFamily, ChannelNumberAttribute, Data, EvenPort, Lifetime, MobilityTicket,
    Nonce, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport, ReservationToken,
    UserHash, Username, XorPeerAddress, XorRelayedAddress,
};
use wire::{Attribute, ChannelData, Class, Method, TransactionId, Writer};

use super::step::{Ask, MachineStep, Manner, Place, Shown, Signing, Step, Transaction};
use super::{NOBODY, Parcel, Trial};
use crate::model::Expect;
use crate::network::Fate;
use crate::{
    Answer, Client, EXTERNAL, LISTENER, LOCAL, LOCAL_V6, Outcome, Proof, REALM, Request, password,
};

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
                // Nothing gets from one family to the other.
                let late = fate.there.iter().filter(|_| from.is_ipv4() == to.is_ipv4());
                for late in late {
                    let payload = payload.clone();
                    let parcel = Parcel::FromPeer { from, to, payload };
                    self.network.send(self.now() + *late, parcel);
                }
            }
            Step::Icmp {
                from,
                peer,
                icmp,
                fate,
            } => {
                let (from, peer) = (self.address(*from), self.address(*peer));
                let late = fate
                    .there
                    .iter()
                    .filter(|_| from.is_ipv4() == peer.is_ipv4());
                for late in late {
                    let icmp = *icmp;
                    let parcel = Parcel::Icmp { from, peer, icmp };
                    self.network.send(self.now() + *late, parcel);
                }
            }
            Step::Wait(duration) => self.pass(*duration)?,
            Step::Disconnect { who } => {
                self.end_splice(*who);
                let person = &self.people[*who];
                self.model.disconnect(person.tuple);
                person.client.disconnect(&mut self.world);
                self.compare(None, None)?;
            }
            Step::PeerAnswers { is_there } => {
                let outcome = if *is_there {
                    Ok(())
                } else {
                    Err(ConnectError::Refused)
                };
                if let Some((local, to)) = self.world.answer_connect(outcome) {
                    self.model.peer_answered(local, to, *is_there);
                }
                self.compare(None, None)?;
            }
            Step::PeerConnects { from, to } => {
                let (from, to) = (self.address(*from), self.address(*to));
                self.peer_connects(from, to)?;
            }
            Step::EndSplice { who } => {
                self.end_splice(*who);
                self.compare(None, None)?;
            }
            Step::Machine(step) => self.machine(*step)?,
            Step::Rules(change) => {
                self.scene.change(*change);
                self.scene.fill_store(&mut self.world);
                self.world.change_rules(self.scene.rules());
                self.model.adopt(self.scene.terms());
                self.compare(None, None)?;
            }
            Step::Upgrade(pause) => {
                self.world.upgrade(*pause);
                self.model.forget_charges();
                self.model.wake_at(self.now());
                self.compare(None, None)?;
            }
        }
        Ok(())
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

    /// The bytes of a message.
    fn write(&mut self, who: usize, ask: &Ask) -> Vec<u8> {
        self.transactions += 1;
        let mut request = if ask.indication {
            Request::indication(ask.method)
        } else if ask.is_response {
            Request::response(ask.method)
        } else {
            Request::new(ask.method)
        };
        if let Some(number) = ask.transport {
            request = request.put(RequestedTransport(number));
        }
        if let Some(seconds) = ask.lifetime {
            request = request.put(Lifetime(seconds));
        }
        if let Some(family) = ask.family {
            request = request.put(RequestedAddressFamily(family));
        }
        if let Some(family) = ask.additional {
            request = request.put(AdditionalAddressFamily(family));
        }
        if let Some(reserve_next) = ask.even_port {
            request = request.put(EvenPort { reserve_next });
        }
        if let Some(ticket) = ask.token {
            request = request.put(self.token(ticket));
        }
        if let Some(ticket) = ask.mobility {
            request = request.ticket(&self.ticket(ticket));
        }
        if let Some(shown) = ask.connection {
            request = request.put(self.connection(shown));
        }
        if let Some(number) = ask.channel {
            request = request.put(ChannelNumberAttribute(number));
        }
        for peer in &ask.peers {
            request = request.put(XorPeerAddress(self.address(*peer)));
        }
        if let Some(length) = ask.data {
            request = request.put_raw(Data::TYPE, &self.payload(length));
        }
        if let Some((kind, value)) = &ask.odd {
            request = request.put_raw(*kind, value);
        }
        if let Some((kind, value)) = &ask.unsigned_odd {
            request = request.behind_integrity(*kind, value);
        }
        if ask.fingerprint {
            request = request.fingerprint();
        }
        request = self.sign(who, ask, request);
        let transaction = self.transaction(who, ask.transaction);
        request.write(&self.people[who].credentials, transaction)
    }

    fn sign(&self, who: usize, ask: &Ask, request: Request) -> Request {
        let own = &self.people[who].credentials;
        let request = match ask.algorithm {
            // A client does not choose from an offer that it has not seen.
            Some(algorithm) if !own.algorithms.is_empty() => request.proof(Proof::New(algorithm)),
            Some(_) | None => request,
        };
        match ask.signing {
            Signing::Unsigned => request.unsigned(),
            Signing::Own => request,
            Signing::Hashed => request
                .put(UserHash::of(&own.username, REALM))
                .without(Username::TYPE),
            Signing::Bob => request.as_user("bob", &password("bob")),
            Signing::WrongPassword => request.as_user(&own.username, "a guess"),
            Signing::InventedNonce => request.nonce("invented"),
            Signing::NonceOf(other) => request.nonce(&self.people[other].credentials.nonce),
            Signing::Without(kind) => request.without(kind),
        }
    }

    fn transaction(&self, who: usize, transaction: Transaction) -> TransactionId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.transactions.to_be_bytes());
        let last = self.people[who].last.get(4..20);
        match (transaction, last.and_then(|last| last.try_into().ok())) {
            (Transaction::Last, Some(last)) => TransactionId::from_header(last),
            (Transaction::Rfc3489, _) => TransactionId::from_header(id),
            (Transaction::Last | Transaction::Next, _) => {
                id[..4].copy_from_slice(&TransactionId::COOKIE);
                TransactionId::from_header(id)
            }
        }
    }

    fn token(&self, ticket: Shown) -> ReservationToken {
        let heard = match ticket {
            Shown::Heard(back) => self.tokens.iter().rev().nth(usize::from(back)),
            Shown::Invented => None,
        };
        heard.copied().unwrap_or(ReservationToken([0xAA; 8]))
    }

    fn connection(&self, shown: Shown) -> ConnectionId {
        let heard = match shown {
            Shown::Heard(back) => self.connections.iter().rev().nth(usize::from(back)),
            Shown::Invented => None,
        };
        heard.copied().unwrap_or(ConnectionId(0xAAAA_AAAA))
    }

    fn ticket(&self, ticket: Option<Shown>) -> Vec<u8> {
        match ticket {
            None => vec![],
            Some(Shown::Heard(back)) => {
                let heard = self.tickets.iter().rev().nth(usize::from(back));
                heard.cloned().unwrap_or_else(|| vec![b'A'; 32])
            }
            Some(Shown::Invented) => vec![b'B'; 32],
        }
    }

    fn channel_data(&self, who: usize, channel: u16, payload: &[u8], lie: i8) -> Vec<u8> {
        let length = (payload.len() as u16).saturating_add_signed(lie.into());
        let mut packet = channel.to_be_bytes().to_vec();
        packet.extend(length.to_be_bytes());
        packet.extend_from_slice(payload);
        debug_assert_eq!(packet.len(), ChannelData::HEADER + payload.len());
        if self.is_stream(who) {
            packet.resize(packet.len() + wire::padding(payload.len()), 0);
        }
        packet
    }

    /// Data that no other packet has, sometimes TURN in itself.
    fn payload(&mut self, length: u16) -> Vec<u8> {
        self.payloads += 1;
        let (mut payload, length) = (Vec::new(), usize::from(length));
        let kinds = [
            Method::Send,
            Method::Data,
            Method::Allocate,
            Method::Binding,
        ];
        // Every eighth has one to four headers, if they fit.
        let headers = if self.payloads.is_multiple_of(8) {
            self.payloads / 8 % 5
        } else {
            0
        };
        for header in 0..headers {
            let left = length.saturating_sub(payload.len());
            let kind = kinds[(self.payloads / 64 + header) as usize % 4];
            if left >= 32 && (self.payloads >> header) & 16 == 0 {
                let class = if header % 3 == 2 {
                    Class::Request
                } else {
                    Class::Indication
                };
                Writer::new(&mut payload, kind, class, TransactionId::new([0x5A; 12]));
                payload.extend(Data::TYPE.to_be_bytes());
            } else if left >= 4 {
                payload.extend(0x4ABC_u16.to_be_bytes());
            } else {
                break;
            }
            // All the rest is within.
            let within = (length - payload.len() - 2) as u16;
            payload.extend(within.to_be_bytes());
        }
        payload.extend(self.payloads.to_be_bytes());
        payload.resize(length, 0xA5);
        payload
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
