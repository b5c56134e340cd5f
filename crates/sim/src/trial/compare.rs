//! Compares the server's actions with the model's predictions.

use std::time::Duration;

use relay::{ClientTuple, DropReason, Reject, Report};
use wire::attributes::{Nonce, PasswordAlgorithms};
use wire::{Method, TransactionId};

use super::{NOBODY, Parcel, Trial, read};
use crate::machine::Talk;
use crate::model::{Connection, Ending, Expect, Reply, Ticket, Token};
use crate::{Answer, Outcome};

/// Refusals with their causes, allocations that ended, and the 5-tuples that clients have moved to.
type Reports = (
    Vec<(ClientTuple, &'static str)>,
    Vec<Ending>,
    Vec<ClientTuple>,
);

/// The sender (no person if it was a peer), the expected outcome and the real one.
pub(super) type Compared = (usize, Expect, Outcome);

impl Trial {
    /// Compares everything that happened since the last call with the model. `back` is how long
    /// answers are under way.
    pub(super) fn compare(
        &mut self,
        compared: Option<Compared>,
        back: Option<Duration>,
    ) -> Result<(), String> {
        let sender = compared
            .as_ref()
            .and_then(|(who, ..)| self.people.get(*who));
        self.talk(sender.map(|person| person.tuple))?;
        let (mut causes, mut endings, moves) = self.reports();
        let expected = std::mem::take(&mut self.model.moves);
        if moves != expected {
            return Err(format!("expected moves to {expected:?}, got {moves:?}"));
        }
        for _ in moves {
            self.coverage.note("outcome", "moved");
        }

        let mut answers = Vec::new();
        let mut expected = std::mem::take(&mut self.model.answers);
        if let Some((who, expect, outcome)) = compared {
            self.say(|_| format!("{:14}expected {}", "", brief(&expect)));
            self.say(|_| format!("{:14}happened {}", "", brief(&outcome)));
            let outcome = self.compare_outcome(who, expect, outcome, &mut expected)?;
            answers.extend(outcome.map(|answer| (who, answer)));
        }
        for who in 0..self.people.len() {
            let inbox = self.people[who].client.inbox(&mut self.world);
            answers.extend(inbox.into_iter().map(|answer| (who, answer)));
        }
        // Peers that do not answer are given up in any order.
        let connect =
            |method: Method, id: TransactionId| (method == Method::Connect).then(|| *id.as_bytes());
        expected.sort_by_key(|(client, it)| (*client, connect(it.method, it.transaction)));
        answers.sort_by_key(|(who, it)| {
            let message = it.message();
            let connect = connect(message.method(), message.transaction());
            (self.people[*who].tuple, connect)
        });
        if answers.len() != expected.len() {
            return Err(format!("expected answers {expected:?}, got {answers:?}"));
        }
        for ((who, answer), (client, reply)) in answers.into_iter().zip(expected) {
            self.coverage.digest(answer.as_bytes());
            let tuple = self.people[who].tuple;
            let cause = causes.iter().position(|(at, _)| *at == tuple);
            let cause = cause.map(|at| causes.remove(at).1);
            self.hold(who, &answer, cause, client, reply)?;
            if let Some(arrival) = super::act::late(back, self.now()) {
                self.network.send(arrival, Parcel::ToClient { who, answer });
            }
        }
        if !causes.is_empty() {
            return Err(format!("refusals reported that nobody heard: {causes:?}"));
        }
        endings.sort();
        self.model.endings.sort();
        let expected = std::mem::take(&mut self.model.endings);
        for ending in &expected {
            self.coverage.note("outcome", ending.cause);
        }
        if endings != expected {
            return Err(format!("expected endings {expected:?}, got {endings:?}"));
        }
        self.compare_connections()?;
        let (bound, open) = (self.model.bound(), self.world.bound());
        if bound != open {
            return Err(format!(
                "expected sockets at {bound:?}, they are at {open:?}"
            ));
        }
        Ok(())
    }

    /// Compares the connections of TCP allocations.
    fn compare_connections(&self) -> Result<(), String> {
        let expected = self.model.peers_at();
        let happened = (self.world.dialled(), self.world.peer_sockets());
        if happened != expected {
            return Err(format!(
                "expected {expected:?} peers called and connected, got {happened:?}"
            ));
        }
        for person in &self.people {
            let carries = self.world.carried_by(person.client).is_some();
            if carries != self.model.carries(person.tuple) {
                return Err(format!("{:?} carries data: {carries}", person.tuple));
            }
        }
        Ok(())
    }

    /// Compares the requests for sockets, and gives the machine's answers to the model.
    fn talk(&mut self, sender: Option<ClientTuple>) -> Result<(), String> {
        for (socket, talk) in self.world.talk() {
            self.say(|_| format!("{:14}socket   {talk:?}", ""));
            match talk {
                Talk::Asked(local) => self
                    .model
                    .asked(socket, local, sender)
                    .map_err(|why| format!("a socket at {local} is asked for: {why}"))?,
                Talk::Answered(outcome) => self.model.opened(socket, outcome),
                Talk::Stranded(local) => self.model.stranded(local),
            }
        }
        if self.model.is_waiting_in_vain() {
            return Err("a socket could be had, and is not asked for".to_owned());
        }
        Ok(())
    }

    fn reports(&mut self) -> Reports {
        let (mut causes, mut endings, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        for report in self.world.reports() {
            match report {
                // A trial has no partner, and bans nobody.
                Report::Opened { .. }
                | Report::Partner { .. }
                | Report::Banned(_)
                | Report::Denied { .. } => {}
                Report::Moved { client, .. } => moves.push(client),
                Report::Refused { client, reject, .. } => causes.push((client, cause(&reject))),
                Report::Ended {
                    client,
                    cause,
                    age,
                    sent,
                    received,
                    ..
                } => endings.push(Ending {
                    client,
                    cause: cause.name(),
                    age,
                    sent: (sent.packets, sent.bytes),
                    received: (received.packets, received.bytes),
                }),
            }
        }
        (causes, endings, moves)
    }

    /// Compares the immediate outcome of a packet with the expected one; returns the answer, if
    /// there is one where one may be.
    fn compare_outcome(
        &mut self,
        who: usize,
        expect: Expect,
        outcome: Outcome,
        expected: &mut Vec<(ClientTuple, Reply)>,
    ) -> Result<Option<Answer>, String> {
        if self.is_rationed(who, &expect) && outcome == Outcome::Lost(DropReason::OverBudget) {
            self.coverage.note("drop", DropReason::OverBudget.name());
            return Ok(None);
        }
        if !self.agrees(who, &expect, &outcome) {
            return Err(format!(
                "expected {}, got {}",
                brief(&expect),
                brief(&outcome)
            ));
        }
        self.digest(&outcome);
        if let Expect::Reply(reply) = expect {
            expected.push((self.people[who].tuple, reply));
        }
        if let Outcome::Answered(answer) = outcome {
            Ok(Some(answer))
        } else {
            Ok(None)
        }
    }

    /// Whether this is the expected outcome, apart from the content of an answer.
    fn agrees(&mut self, who: usize, expect: &Expect, outcome: &Outcome) -> bool {
        match (expect, outcome) {
            (Expect::Reply(_) | Expect::Later, Outcome::Answered(_))
            | (Expect::Later | Expect::Nothing, Outcome::Silent)
            | (Expect::NoSocket, Outcome::NoSocket) => true,
            (Expect::Lost(expected), Outcome::Lost(why)) => {
                self.coverage.note("drop", why.name());
                expected == why
            }
            (
                Expect::ToPeer {
                    from,
                    to,
                    dont_fragment,
                    payload,
                },
                Outcome::AtPeer {
                    from: source,
                    to: peer,
                    dont_fragment: is_set,
                    payload: data,
                },
            ) => {
                let name = if *is_set { "to-peer, DF" } else { "to-peer" };
                self.coverage.note("outcome", name);
                (from, to, dont_fragment, payload) == (source, peer, is_set, data)
            }
            (
                Expect::ToldOfLoss { to, peer, icmp },
                Outcome::IcmpAtClient {
                    client,
                    peer: about,
                    icmp: told,
                },
            ) => {
                self.coverage.note("outcome", "told of a loss");
                (*to, peer, icmp) == (client.tuple(&self.world), about, told)
            }
            (
                Expect::ToClient {
                    to,
                    peer,
                    channel,
                    payload,
                },
                Outcome::AtClient {
                    client,
                    peer: source,
                    channel: number,
                    payload: data,
                },
            ) => {
                self.coverage.note("outcome", way(who, channel.is_some()));
                let number = number.map(relay::ChannelNumber::get);
                let reader = client.tuple(&self.world);
                // ChannelData does not name the peer.
                (*to, *channel, payload) == (reader, number, data)
                    && (channel.is_some() || peer == source)
            }
            _ => false,
        }
    }

    fn digest(&mut self, outcome: &Outcome) {
        let coverage = &mut self.coverage;
        match outcome {
            // Answers enter the digest as a whole later.
            Outcome::Answered(_) => {}
            Outcome::AnsweredAs(via, answer) => {
                coverage.digest(&via.server.port().to_be_bytes());
                coverage.digest(answer.as_bytes());
            }
            Outcome::AtPeer {
                from, to, payload, ..
            } => {
                coverage.digest(&[from.port().to_be_bytes(), to.port().to_be_bytes()].concat());
                coverage.digest(payload);
            }
            Outcome::AtClient { peer, payload, .. } => {
                coverage.digest(&peer.port().to_be_bytes());
                coverage.digest(payload);
            }
            Outcome::IcmpAtClient { peer, icmp, .. } => {
                coverage.digest(&peer.port().to_be_bytes());
                coverage.digest(&icmp.to_bytes());
            }
            Outcome::Lost(why) => coverage.digest(why.name().as_bytes()),
            Outcome::NoSocket | Outcome::Silent => coverage.digest(&[0]),
        }
    }

    /// Whether this is an answer that the amplification budget may hold back: one to a stranger.
    fn is_rationed(&self, who: usize, expect: &Expect) -> bool {
        let Expect::Reply(reply) = expect else {
            return false;
        };
        self.scene.rationed
            && reply.signed.is_none()
            && !self.is_stream(who)
            && !self.model.has_allocation(self.people[who].tuple)
    }

    /// Compares an answer with the expected one, and tells the model the random parts of it.
    fn hold(
        &mut self,
        who: usize,
        answer: &Answer,
        cause: Option<&'static str>,
        client: ClientTuple,
        mut expected: Reply,
    ) -> Result<(), String> {
        let actual = read::read(answer, cause)?;
        self.note(&expected);
        if let (Token::New, Token::Known(token)) = (expected.token, actual.token) {
            self.model.heard_token(client, token);
            expected.token = actual.token;
        }
        if let (Some(ticket @ Ticket::New(..)), Some(Ticket::Known(heard))) =
            (&expected.ticket, &actual.ticket)
        {
            self.model.heard_ticket(ticket, heard)?;
            expected.ticket = actual.ticket.clone();
        }
        if let (new @ Connection::New(..), Connection::Known(id)) =
            (expected.connection, actual.connection)
        {
            self.model.heard_connection(new, id);
            self.connections.push(id);
            expected.connection = actual.connection;
        }
        if let Some(Nonce(nonce)) = answer.get() {
            let has_cookie = nonce.starts_with(wire::NONCE_COOKIE);
            if has_cookie != answer.get::<PasswordAlgorithms<'_>>().is_some() {
                return Err(format!(
                    "the nonce {nonce} does not go with what is offered"
                ));
            }
            self.model.heard_nonce(client, nonce)?;
        }
        if self.people[who].tuple == client && actual == expected {
            return Ok(());
        }
        Err(format!("{client:?}: expected {expected:?}, got {actual:?}"))
    }

    fn note(&mut self, reply: &Reply) {
        match reply.refused {
            Some((_, cause)) => self.coverage.note("refusal", cause),
            None => self.coverage.note("granted", reply.method.name()),
        }
        if let Some((_, code)) = reply.address_error {
            let name = if code == 440 { "440" } else { "508" };
            self.coverage.note("one family of two", name);
        }
        if reply.relayed.len() == 2 {
            self.coverage.note("outcome", "dual");
        }
        match reply.token {
            Token::Absent => {}
            Token::New => self.coverage.note("outcome", "reserved"),
            Token::Known(_) => self.coverage.note("outcome", "reserved, heard again"),
        }
    }
}

const fn cause(reject: &Reject) -> &'static str {
    reject.cause()
}

fn way(who: usize, on_channel: bool) -> &'static str {
    match (who, on_channel) {
        (NOBODY, true) => "to-client, channel",
        (NOBODY, false) => "to-client, indication",
        (_, true) => "client-to-client, channel",
        (_, false) => "client-to-client, indication",
    }
}

/// In one line, however long the payload.
fn brief(what: &impl std::fmt::Debug) -> String {
    let mut text = format!("{what:?}");
    if text.len() > 400 {
        text.truncate(text.floor_char_boundary(400));
        text.push_str("...");
    }
    text
}
