//! Input to the client: messages of the server, and the time.

use std::time::Instant;

use wire::attributes::{ConnectionId, Data, ErrorCode, MobilityTicket, XorPeerAddress};
use wire::stream::{FrameError, MAX_FRAME};
use wire::{Attribute, ChannelData, Class, Kind, Message, Method};

use crate::exchange::is_challenge;
use crate::sha256::is_bid_down;
use crate::transaction::Turn;
use crate::{Client, DropReason, Event, Failure, Sha256, Ticket, answer};

impl Client {
    /// Takes a datagram of the server, or some bytes of its stream, cut anywhere. For datagrams the
    /// caller makes sure that the sender is the server.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.config.transport.is_stream() {
            self.handle_stream(now, bytes);
        } else {
            self.handle_packet(now, bytes);
        }
    }

    /// Does everything that is due: sends again, gives up, refreshes.
    pub fn handle_timeout(&mut self, now: Instant) {
        for mut exchange in std::mem::take(&mut self.exchanges) {
            match exchange.transaction.handle_timeout(now) {
                Turn::Wait => {}
                Turn::Resend(request) => self.transmits.push_back(request.to_vec()),
                Turn::GiveUp => {
                    let failure = exchange.gave_up();
                    let request = exchange.order.request;
                    self.tell(now, Event::Failed { request, failure });
                    continue;
                }
            }
            self.exchanges.push(exchange);
        }
        while let Some(request) = self.keep_alive.take_due(now) {
            self.ask(now, request);
        }
    }

    fn handle_stream(&mut self, now: Instant, mut bytes: &[u8]) {
        // Frames borrow from the deframer while the client handles them.
        let mut deframer = std::mem::take(&mut self.deframer);
        while !self.stream_broken && !self.stream_bound {
            match deframer.next(&mut bytes, MAX_FRAME) {
                Ok(Some(frame)) => self.handle_packet(now, frame),
                Ok(None) => break,
                Err(error) => self.break_stream(now, error),
            }
        }
        self.deframer = deframer;
        if self.stream_bound && !bytes.is_empty() {
            self.tell(now, Event::Bytes(bytes.to_vec()));
        }
    }

    fn break_stream(&mut self, now: Instant, error: FrameError) {
        self.stream_broken = true;
        self.keep_alive.clear();
        for exchange in std::mem::take(&mut self.exchanges) {
            let request = exchange.order.request;
            let failure = Failure::StreamBroken(error);
            self.tell(now, Event::Failed { request, failure });
        }
        self.tell(now, Event::StreamBroken(error));
    }

    fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        let handled = match Kind::of(packet) {
            Some(Kind::Stun) => self.handle_message(now, packet),
            Some(Kind::ChannelData) => self.handle_channel_data(now, packet),
            None => Err(DropReason::Malformed),
        };
        if let Err(reason) = handled {
            self.drops.count(reason);
        }
    }

    fn handle_channel_data(&mut self, now: Instant, packet: &[u8]) -> Result<(), DropReason> {
        let data = ChannelData::parse(packet).map_err(|_| DropReason::Malformed)?;
        let peer = self.channels.peer(data.number);
        let event = Event::Data {
            peer: peer.ok_or(DropReason::NoChannel)?,
            payload: data.payload.to_vec(),
            channel: Some(data.number),
        };
        self.tell(now, event);
        Ok(())
    }

    fn handle_message(&mut self, now: Instant, packet: &[u8]) -> Result<(), DropReason> {
        let message = Message::parse(packet).map_err(|_| DropReason::Malformed)?;
        if !message.fingerprint_matches() {
            return Err(DropReason::BadFingerprint);
        }
        match message.class() {
            Class::Success => self.handle_answer(now, &message, None),
            Class::Error => {
                let error = require(&message)?;
                self.handle_answer(now, &message, Some(error))
            }
            Class::Indication if message.method() == Method::Data => {
                self.handle_data_indication(now, &message)
            }
            Class::Indication if message.method() == Method::ConnectionAttempt => {
                self.handle_connection_attempt(now, &message)
            }
            Class::Indication | Class::Request => Err(DropReason::NotForClients),
        }
    }

    /// Takes data of a peer, or an ICMP error. RFC 8656 §11.4, §11.6.
    fn handle_data_indication(
        &mut self,
        now: Instant,
        message: &Message<'_>,
    ) -> Result<(), DropReason> {
        let known = &[XorPeerAddress::TYPE, Data::TYPE];
        if message.unknown_required(known).next().is_some() {
            return Err(DropReason::UnknownAttribute);
        }
        let XorPeerAddress(peer) = require(message)?;
        if let Ok(Some(icmp)) = message.get() {
            self.tell(now, Event::Lost { peer, icmp });
            return Ok(());
        }
        let Data(payload) = require(message)?;
        let event = Event::Data {
            peer,
            payload: payload.to_vec(),
            channel: None,
        };
        self.tell(now, event);
        Ok(())
    }

    /// Takes the news of a peer that has connected. RFC 6062 §4.4.
    fn handle_connection_attempt(
        &mut self,
        now: Instant,
        message: &Message<'_>,
    ) -> Result<(), DropReason> {
        let known = &[XorPeerAddress::TYPE, ConnectionId::TYPE];
        if message.unknown_required(known).next().is_some() {
            return Err(DropReason::UnknownAttribute);
        }
        let XorPeerAddress(peer) = require(message)?;
        let connection = require(message)?;
        self.tell(now, Event::ConnectionAttempt { peer, connection });
        Ok(())
    }

    /// Takes an answer to a request. RFC 8489 §6.3.3, §6.3.4, §9.2.5.
    fn handle_answer(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        error: Option<ErrorCode<'_>>,
    ) -> Result<(), DropReason> {
        let index = self
            .exchanges
            .iter()
            .position(|exchange| exchange.is_answered_by(message))
            .ok_or(DropReason::NoTransaction)?;
        if !self.exchanges[index].trusts(message, error) {
            self.distrust(now, index);
            return Err(DropReason::BadIntegrity);
        }
        let heeds = self.config.sha256 != Sha256::Off && !error.is_some_and(is_challenge);
        if heeds && is_bid_down(message) {
            return Err(DropReason::BidDown);
        }
        let mut order = self.exchanges.remove(index).order;
        let (config, before) = (&self.config, self.challenge.as_ref());
        if let Some(challenge) =
            error.and_then(|error| order.challenged(error, message, config, before))
        {
            order.signed = Some(challenge.clone());
            self.challenge = Some(challenge);
            self.transact(now, order);
            return Ok(());
        }
        let event = answer::read(order.request, error, message);
        self.note_ticket(&event, message);
        self.stream_bound |= matches!(event, Event::ConnectionBound { .. });
        self.tell(now, event);
        Ok(())
    }

    /// Each ticket is good for one move, and the answer to it has the next. RFC 8016 §3.2.3.
    fn note_ticket(&mut self, event: &Event, message: &Message<'_>) {
        let ticket = message.get().ok().flatten();
        let ticket = ticket.map(|MobilityTicket(ticket)| Ticket(ticket.to_vec()));
        let is_new = matches!(event, Event::Allocated { .. });
        let is_next = matches!(event, Event::Refreshed { .. }) && ticket.is_some();
        if is_new || is_next {
            self.ticket = ticket;
        }
    }

    /// An answer whose integrity is missing or wrong is ignored. On datagrams anyone may have sent
    /// it, and the true answer may still come; on a stream no other answer will come.
    /// RFC 8489 §9.2.5.
    fn distrust(&mut self, now: Instant, index: usize) {
        if self.config.transport.is_stream() {
            let request = self.exchanges.remove(index).order.request;
            let failure = Failure::BadIntegrity;
            self.tell(now, Event::Failed { request, failure });
        } else {
            self.exchanges[index].forged = true;
        }
    }

    fn tell(&mut self, now: Instant, event: Event) {
        self.channels.handle_event(&event);
        if self.config.keep_alive {
            self.keep_alive.handle_event(now, &event);
        }
        self.events.push_back(event);
    }
}

fn require<'a, A: Attribute<'a>>(message: &Message<'a>) -> Result<A, DropReason> {
    message.get().ok().flatten().ok_or(DropReason::Malformed)
}
