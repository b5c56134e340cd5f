//! The way of a packet: from its sender through the server to its receiver.

use std::net::{IpAddr, SocketAddr};

use relay::policy::Permit;
use relay::{
    ClientTuple, Crossing, Destination, DropReason, Hop, Icmp, Outgoing, PeerAddr, Verdict,
};
use wire::attributes::{AccessToken, Data, PasswordAlgorithm, Realm, Username, XorPeerAddress};
use wire::{
    Algorithm, ChannelData, ChannelNumber, Class, Kind, MacKey, Message, Method, TransactionId,
};

use super::World;
use crate::client::Memory;
use crate::{Answer, Client, Outcome, Proof, setting};

impl World {
    pub(crate) fn client_sends(&mut self, client: Client, packet: &[u8]) -> Outcome {
        let Memory { tuple, shard, .. } = *self.memory(client);
        let now = self.clock.now();
        let verdict = OwnedVerdict::from(self.shards[shard].handle_client(now, tuple, packet));
        let keys = self.signer(client, packet);
        let sender = (!keys.is_empty()).then_some((tuple, &*keys));
        let mut outcome = self.carry(shard, verdict, sender);
        let waits = request_id(packet).filter(|_| outcome == Outcome::Silent);
        let late = self.late.len();
        let memory = self.memory_mut(client);
        let unread = memory.inbox.len();
        if waits.is_some() {
            memory.awaits.extend(keys);
        }
        self.follow_up(shard);
        let inbox = &mut self.memory_mut(client).inbox;
        if inbox.len() > unread
            && let Some(answer) = inbox.pop_if(|answer| Some(answer.transaction()) == waits)
        {
            outcome = Outcome::Answered(answer);
        }
        if outcome == Outcome::Silent
            && self.late.len() == late + 1
            && let Some(only) = self.late.pop()
        {
            outcome = only;
        }
        if let Outcome::Answered(answer) = &outcome {
            assert_answers(packet, answer);
            self.memory_mut(client).note(packet, answer);
        }
        if let Outcome::AnsweredAs(via, answer) = &outcome {
            assert_answers(packet, answer);
            assert_ne!(*via, tuple, "there is a verdict for this");
        }
        outcome
    }

    /// The key of the user in whose name a packet is signed: the client's own or one that everybody
    /// knows. None if the packet is no message; several if it does not say how it is signed, which
    /// a server knows that keeps the key of an allocation.
    fn signer(&self, client: Client, packet: &[u8]) -> Vec<MacKey> {
        let Ok(message) = Message::parse(packet) else {
            return Vec::new();
        };
        let own = &self.memory(client).credentials;
        let signer = match message.get() {
            Ok(Some(Username(name))) => name,
            Ok(None) | Err(_) => &own.username,
        };
        let takes_token = matches!(
            message.method(),
            Method::Allocate | Method::Refresh | Method::ConnectionBind
        );
        let shown = match message.get() {
            Ok(Some(AccessToken(token))) if takes_token => {
                self.grants.iter().find(|grant| grant.token == token)
            }
            Ok(Some(_) | None) | Err(_) => None,
        };
        let token = shown.or_else(|| own.token_of(signer));
        if let Some(grant) = token {
            return vec![grant.key(message.integrity().unwrap_or(Algorithm::Sha1))];
        }
        let password = if signer == own.username {
            own.password.clone()
        } else {
            setting::password(signer)
        };
        let [md5, sha256] = [PasswordAlgorithm::MD5, PasswordAlgorithm::SHA256].map(Proof::New);
        let proofs = match (message.integrity(), message.get()) {
            (Some(Algorithm::Sha256), Ok(Some(chosen))) => vec![Proof::New(chosen)],
            (_, Ok(Some(chosen))) => vec![Proof::Mixed(chosen)],
            (Some(Algorithm::Sha256), Ok(None) | Err(_)) => vec![Proof::Old, md5, sha256],
            (_, Ok(None) | Err(_)) => vec![Proof::Old],
        };
        let signed_with = match message.get() {
            Ok(Some(Realm(realm))) => realm,
            Ok(None) | Err(_) => setting::REALM,
        };
        let keys = proofs.into_iter();
        keys.map(|proof| proof.key(signer, signed_with, &password))
            .collect()
    }

    pub(crate) fn peer_sends(
        &mut self,
        peer: SocketAddr,
        relayed: SocketAddr,
        payload: &[u8],
    ) -> Outcome {
        let local = SocketAddr::new(self.inward(relayed.ip()), relayed.port());
        self.arrive(peer, local, payload)
    }

    /// An ICMP error about a datagram from a relayed transport address to a peer.
    pub(crate) fn icmp_arrives(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        icmp: Icmp,
    ) -> Outcome {
        let local = SocketAddr::new(self.inward(relayed.ip()), relayed.port());
        let socket = self.machine.socket(local);
        let socket = socket.filter(|it| !self.connections.listeners.contains(it));
        let Some((shard, relay)) = socket else {
            return Outcome::NoSocket;
        };
        let now = self.clock.now();
        let verdict = self.shards[shard].handle_icmp(now, relay, PeerAddr(peer), icmp);
        let outcome = self.carry(shard, OwnedVerdict::from(verdict), None);
        self.follow_up(shard);
        outcome
    }

    pub(crate) fn disconnect(&mut self, client: Client) {
        let Memory { tuple, shard, .. } = *self.memory(client);
        self.shards[shard].handle_disconnected(self.clock.now().mono, tuple);
        self.follow_up(shard);
    }

    /// A datagram arrives at a port of the machine.
    pub(super) fn arrive(
        &mut self,
        from: SocketAddr,
        local: SocketAddr,
        payload: &[u8],
    ) -> Outcome {
        if self.machine.is_foreign(local) {
            // Another program: the sender sees it as a peer.
            return Outcome::AtPeer {
                from,
                to: local,
                dont_fragment: false,
                payload: payload.to_vec(),
            };
        }
        if self.machine.wait(from, local, payload) {
            return Outcome::Silent;
        }
        let socket = self.machine.socket(local);
        let socket = socket.filter(|it| !self.connections.listeners.contains(it));
        let Some((shard, relay)) = socket else {
            return Outcome::NoSocket;
        };
        let now = self.clock.now();
        let verdict = self.shards[shard].handle_peer(now, relay, PeerAddr(from), payload);
        let outcome = self.carry(shard, OwnedVerdict::from(verdict), None);
        self.follow_up(shard);
        outcome
    }

    /// Brings the server's packets to their receivers. The sender of a request has the key that its
    /// answer is signed with; a peer has none and is never answered.
    pub(super) fn carry(
        &mut self,
        shard: usize,
        verdict: OwnedVerdict,
        sender: Option<(ClientTuple, &[MacKey])>,
    ) -> Outcome {
        match verdict {
            OwnedVerdict::Leaves(outgoing) => self.bring(shard, outgoing, sender),
            OwnedVerdict::Dropped(why) => Outcome::Lost(why),
            OwnedVerdict::Done => Outcome::Silent,
        }
    }

    /// Brings a packet to its receiver.
    fn bring(
        &mut self,
        shard: usize,
        Outgoing { to, contents }: Outgoing<Vec<u8>>,
        sender: Option<(ClientTuple, &[MacKey])>,
    ) -> Outcome {
        match to {
            Destination::Peer(hop) => self.bring_to_peer(shard, hop, contents),
            Destination::Relayed(crossing) => self.cross(shard, crossing, &contents),
            Destination::Client { client, header } => {
                let mut packet = header.to_vec();
                packet.extend_from_slice(&contents);
                packet.resize(packet.len() + header.padding(), 0);
                self.read_at_client(client, &packet)
            }
            Destination::Answer(to) => match sender {
                Some((asker, keys)) if asker == to => {
                    Outcome::Answered(Answer::new(contents, keys))
                }
                Some(_) | None => Outcome::AnsweredAs(to, Answer::new(contents, &[])),
            },
            Destination::Partner(_) => {
                self.to_partner.push(contents);
                Outcome::Silent
            }
        }
    }

    /// Brings data to another shard, unless crossings are held.
    fn cross(&mut self, from: usize, crossing: Crossing, payload: &[u8]) -> Outcome {
        let to = usize::from(crossing.shard.0);
        assert_ne!(from, to, "what stays in a shard does not cross");
        if let Some(held) = &mut self.held_crossings {
            held.push((crossing, payload.to_vec()));
            return Outcome::Silent;
        }
        let now = self.clock.now();
        let verdict = self.shards[to].handle_crossing(now, crossing, payload);
        let outcome = self.carry(to, OwnedVerdict::from(verdict), None);
        self.follow_up(to);
        outcome
    }

    /// From now on data between shards waits for [`World::release_crossings`].
    pub fn hold_crossings(&mut self) {
        self.held_crossings.get_or_insert_default();
    }

    /// Brings the data that waits, and from now on all data between shards at once; returns what
    /// became of it.
    pub fn release_crossings(&mut self) -> Vec<Outcome> {
        let held = self.held_crossings.take().unwrap_or_default();
        let held = held.into_iter();
        held.map(|(crossing, payload)| self.cross(usize::MAX, crossing, &payload))
            .collect()
    }

    fn bring_to_peer(&mut self, shard: usize, hop: Hop, payload: Vec<u8>) -> Outcome {
        let to = hop.to.0;
        let local = self.machine.local((shard, hop.from));
        let local = local.expect("only an open socket sends");
        if self.rules.relays.iter().any(|relay| relay.local == to.ip()) {
            return self.arrive(local, to, &payload);
        }
        let ruling = self.rules.policy.judge(to);
        let permit = ruling.expect("nothing leaves for a peer that the policy denies");
        assert_ne!(permit, Permit::OwnRelay, "a relay is no stranger");
        Outcome::AtPeer {
            from: SocketAddr::new(self.outward(local.ip()), local.port()),
            to,
            dont_fragment: hop.dont_fragment,
            payload,
        }
    }

    /// Reads a delivered packet as the client does.
    fn read_at_client(&self, to: ClientTuple, packet: &[u8]) -> Outcome {
        let client = self.by_tuple[&to];
        let memory = self.memory(client);
        match Kind::of(packet).expect("STUN or ChannelData") {
            Kind::ChannelData => {
                let data = ChannelData::parse(packet).expect("well-formed ChannelData");
                let find = |channels: &[(ChannelNumber, SocketAddr)]| {
                    let mut channels = channels.iter();
                    channels.find(|(number, _)| *number == data.number).copied()
                };
                let bound = |memory: &Memory| find(&memory.channels);
                let given_up = |memory: &Memory| find(&memory.given_up);
                // A client that moved bound it on another 5-tuple.
                let bound = bound(memory)
                    .or_else(|| self.clients.iter().find_map(bound))
                    .or_else(|| self.clients.iter().find_map(given_up));
                Outcome::AtClient {
                    client,
                    peer: bound.expect("only on a channel of the client's").1,
                    channel: Some(data.number),
                    payload: data.payload.to_vec(),
                }
            }
            Kind::Stun => {
                let message = Message::parse(packet).expect("a well-formed message");
                assert_eq!(
                    (message.method(), message.class()),
                    (Method::Data, Class::Indication)
                );
                let XorPeerAddress(peer) = require(message.get());
                if let Some(icmp) = message.get().expect("a readable attribute") {
                    assert_eq!(message.get::<Data<'_>>(), Ok(None), "an error has no data");
                    return Outcome::IcmpAtClient { client, peer, icmp };
                }
                let Data(payload) = require(message.get());
                Outcome::AtClient {
                    client,
                    peer,
                    channel: None,
                    payload: payload.to_vec(),
                }
            }
        }
    }

    fn outward(&self, ip: IpAddr) -> IpAddr {
        let relay = self.rules.relays.iter().find(|relay| relay.local == ip);
        relay.map_or(ip, |relay| relay.external)
    }

    pub(super) fn inward(&self, ip: IpAddr) -> IpAddr {
        let relay = self.rules.relays.iter().find(|relay| relay.external == ip);
        relay.map_or(ip, |relay| relay.local)
    }
}

/// A verdict that borrows nothing, so that the world may act on it.
pub(super) enum OwnedVerdict {
    Leaves(Outgoing<Vec<u8>>),
    Dropped(DropReason),
    Done,
}

impl From<Verdict<'_, '_>> for OwnedVerdict {
    fn from(verdict: Verdict<'_, '_>) -> Self {
        match verdict {
            Verdict::Answer(outgoing) => Self::Leaves(outgoing.owned()),
            Verdict::Relay(outgoing) => Self::Leaves(outgoing.owned()),
            Verdict::Drop(why) => Self::Dropped(why),
            Verdict::Done => Self::Done,
        }
    }
}

/// The transaction of a request. The answer to an Allocate may come later, and while a client moves
/// between shards the answer to any request.
fn request_id(packet: &[u8]) -> Option<TransactionId> {
    let message = Message::parse(packet).ok()?;
    (message.class() == Class::Request).then_some(message.transaction())
}

/// Only a request is answered, under its own transaction id and method.
#[track_caller]
fn assert_answers(packet: &[u8], answer: &Answer) {
    let request = Message::parse(packet).expect("only a well-formed message is answered");
    assert_eq!(
        request.class(),
        Class::Request,
        "only a request is answered"
    );
    assert_eq!(request.method(), answer.message().method());
    assert_eq!(request.transaction(), answer.transaction());
    // RFC 3489 has no FINGERPRINT.
    assert_eq!(
        request.has_fingerprint() && !request.transaction().is_rfc3489(),
        answer.message().has_fingerprint(),
        "FINGERPRINT is answered with FINGERPRINT"
    );
}

fn require<T>(attribute: Result<Option<T>, wire::Malformed>) -> T {
    let attribute = attribute.expect("the server writes readable attributes");
    attribute.expect("a Data indication has both attributes")
}
