//! The server as seen by a client that has not authenticated: Binding, and the challenge.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use client::{Event, Failure};
use wire::attributes::{Nonce, PasswordAlgorithms, Realm, RequestedTransport};
use wire::{Message, Method, NONCE_COOKIE};

use super::connect::{Connector, NoDialogue};
use super::dialogue::Dialogue;
use super::dtls::NoDtls;
use super::{Code, PATIENCE, Patient, Stopped, is_own, is_private};
use crate::{Service, Transport};

impl Patient {
    /// A connection, or the finding that there is none.
    pub(super) async fn connect(
        &mut self,
        connector: &Connector,
        credentials: Option<client::Credentials>,
    ) -> Result<Dialogue, Stopped> {
        let way = connector.way();
        match connector.connect(credentials).await {
            Ok(dialogue) => Ok(dialogue),
            Err(NoDialogue::Connect(why)) => {
                let code = match connector.target.transport {
                    Transport::Tcp if !self.is_here(connector, &why) => Code::NoConnection,
                    Transport::Udp | Transport::Tcp => Code::CannotSend,
                };
                self.find(code, format!("cannot connect to {way}: {why}"));
                Err(Stopped)
            }
            Err(NoDialogue::Tls(why)) => {
                self.find(Code::NoTls, format!("no TLS with {way}: {why}"));
                Err(Stopped)
            }
            Err(NoDialogue::Dtls(why)) => {
                let code = match why {
                    NoDtls::Silent | NoDtls::Unfinished => Code::NoTls,
                    NoDtls::Io(_) => Code::CannotSend,
                    NoDtls::NoHandshake(_) => Code::DtlsNotExamined,
                };
                self.find(code, format!("{way}: {why}"));
                Err(Stopped)
            }
        }
    }

    /// Asks for the reflexive address. Everything that keeps a client from the server shows here
    /// first.
    pub(super) async fn bind(&mut self, connector: &Connector) -> Result<(), Stopped> {
        let mut dialogue = self.connect(connector, None).await?;
        let way = connector.way();
        if let Some((code, sentence)) = connector.certificate() {
            self.find(code, sentence);
        }
        let asked = Instant::now();
        dialogue.client.binding(asked);
        match dialogue.next(asked + PATIENCE).await {
            Ok(Event::Bound { mapped }) => {
                let round_trip = asked.elapsed().as_secs_f64() * 1e3;
                let sentence = format!("{way} answers in {round_trip:.1} ms and sees {mapped}");
                self.find(Code::Bound, sentence);
                self.seen_as(connector.target.address, mapped.ip());
                Ok(())
            }
            Ok(Event::Failed {
                failure: Failure::Refused { code, reason },
                ..
            }) => {
                let sentence = format!("{way} refuses a Binding request with {code} {reason}");
                let sentence = sentence.trim_end();
                let code = match self.uri.service {
                    Service::Stun => Code::NoStun,
                    Service::Turn => Code::NotBound,
                };
                self.find(code, sentence);
                Ok(())
            }
            Ok(Event::Failed {
                failure: Failure::Timeout,
                ..
            }) => Err(self.silent(connector, &dialogue)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.silent(connector, &dialogue))
            }
            Ok(Event::Failed { failure, .. }) => {
                self.find(Code::NotStun, format!("{way}: {failure}"));
                Err(Stopped)
            }
            Ok(_) => {
                self.find(Code::NotStun, format!("{way} answers something else"));
                Err(Stopped)
            }
            Err(why) => {
                let code = match self.is_here(connector, &why) {
                    true => Code::CannotSend,
                    false => Code::Broken,
                };
                self.find(code, format!("{way}: {why}"));
                Err(Stopped)
            }
        }
    }

    /// Whether an error is this host's and not the server's. The error alone does not say so: a
    /// firewall far away also makes a host or a network unreachable.
    fn is_here(&self, connector: &Connector, error: &io::Error) -> bool {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        is_forbidden || self.local_address(connector.target.address).is_none()
    }

    /// The finding if the server sees an address that is neither this host's nor a NAT's on the way
    /// to it: a private one from a public place, or that of a bridge on this very host.
    fn seen_as(&mut self, server: SocketAddr, mapped: IpAddr) {
        let is_between = !is_private(server.ip()) || is_own(mapped);
        let local = self.local_address(server).unwrap_or(mapped);
        if is_private(mapped) && local != mapped && is_between {
            let sentence = format!("{server} sees {mapped} when {local} asks");
            self.find(Code::ClientsHidden, sentence);
        }
    }

    /// The finding if there was no answer at all, or only unreadable ones.
    fn silent(&mut self, connector: &Connector, dialogue: &Dialogue) -> Stopped {
        let way = connector.way();
        let (code, sentence) = match (dialogue.bytes.received, dialogue.stranger()) {
            (0, Some(stranger)) => (
                Code::WrongSource,
                format!("{way} was asked, and {stranger} answers"),
            ),
            (0, None) if connector.target.transport == Transport::Udp => {
                (Code::NoUdpAnswer, format!("no answer from {way}"))
            }
            (0, None) => {
                let sentence = format!("{way} takes the connection and says nothing");
                (Code::NotStun, sentence)
            }
            (length, _) => {
                let sentence = format!("{way} sends {length} bytes that are no answer");
                (Code::NotStun, sentence)
            }
        };
        self.find(code, sentence);
        Stopped
    }

    /// Sends an Allocate without credentials: it must be refused, briefly, with the attributes for
    /// the next try.
    pub(super) async fn challenge(&mut self, connector: &Connector) -> Result<(), Stopped> {
        let mut dialogue = self.connect(connector, None).await?;
        let asked = Instant::now();
        dialogue.client.request(asked, Method::Allocate, |writer| {
            writer.put(&RequestedTransport::UDP);
        });
        let event = dialogue.next(asked + PATIENCE).await;
        let Ok(Event::Answered { code, message, .. }) = event else {
            return Err(self.no_turn(connector, event));
        };
        let Ok(answer) = Message::parse(&message) else {
            return Err(self.silent(connector, &dialogue));
        };
        // DTLS asks for a cookie first, which the forger of an address does not get.
        if connector.target.transport == Transport::Udp && !self.uri.is_secure {
            // Some servers answer more than once: there was no other request.
            let until = Instant::now() + MORE;
            while dialogue.next(until).await.is_ok() {}
            self.amplification(dialogue.bytes.sent, dialogue.bytes.received);
        }
        match code {
            None => {
                let sentence = "an Allocate without credentials is granted";
                self.find(Code::NoAuthentication, sentence);
                dialogue.client.refresh(Instant::now(), Duration::ZERO);
                // If the request is lost the allocation ends by itself.
                let _ = dialogue.flush().await;
                Ok(())
            }
            Some(401) => self.read_challenge(&answer),
            Some(300) => Err(self.redirected(connector, &answer)),
            Some(code) => {
                let sentence = format!("an Allocate without credentials is answered {code}");
                self.find(Code::AllocationRefused, sentence);
                Err(Stopped)
            }
        }
    }

    /// The finding if Binding was answered, and Allocate was not.
    fn no_turn(&mut self, connector: &Connector, outcome: io::Result<Event>) -> Stopped {
        let why = match outcome {
            Ok(Event::StreamBroken(why)) => why.to_string(),
            Err(why) if why.kind() != io::ErrorKind::TimedOut => why.to_string(),
            Ok(_) | Err(_) => "no answer in time".to_owned(),
        };
        let sentence = format!("an Allocate to {}: {why}", connector.way());
        self.find(Code::NotTurn, sentence);
        Stopped
    }

    fn read_challenge(&mut self, answer: &Message<'_>) -> Result<(), Stopped> {
        let realm = answer.get::<Realm<'_>>().ok().flatten();
        let nonce = answer.get::<Nonce<'_>>().ok().flatten();
        let (Some(Realm(realm)), Some(Nonce(nonce))) = (realm, nonce) else {
            self.find(Code::NoChallenge, "the 401 names no realm or no nonce");
            return Err(Stopped);
        };
        let sentence = format!("strangers are answered 401, realm \"{realm}\"");
        self.find(Code::Challenged, sentence);
        let expected = self.examination.realm.clone();
        if let Some(expected) = expected.filter(|expected| expected != realm) {
            let sentence = format!("the realm is \"{realm}\", not \"{expected}\"");
            self.find(Code::RealmDiffers, sentence);
        }
        let algorithms = answer.get::<PasswordAlgorithms<'_>>().ok().flatten();
        if algorithms.is_some() && nonce.starts_with(NONCE_COOKIE) {
            self.find(Code::Sha256, "SHA-256 is offered beside the old algorithms");
        }
        Ok(())
    }

    fn amplification(&mut self, sent: usize, received: usize) {
        let factor = received as f64 / sent.max(1) as f64;
        if factor > MUCH {
            let sentence = format!("{received} bytes answer {sent}, {factor:.1} times as many");
            self.find(Code::Amplifies, sentence);
        }
    }
}

/// A challenge needs realm and nonce, so it is longer than the request. Beyond this factor it is
/// longer than needed.
const MUCH: f64 = 4.0;

/// The wait for answers beyond the first.
const MORE: Duration = Duration::from_millis(200);
