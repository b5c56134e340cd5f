//! The packets that clients and peers send, as bytes.

use relay::ConnectionId;
use wire::attributes::{
    AdditionalAddressFamily, ChannelNumberAttribute, Data, EvenPort, Lifetime,
    RequestedAddressFamily, RequestedTransport, ReservationToken, UserHash, Username,
    XorPeerAddress,
};
use wire::{Attribute, ChannelData, Class, Method, TransactionId, Writer};

use crate::trial::Trial;
use crate::trial::step::{Ask, Shown, Signing, Transaction};
use crate::{Proof, REALM, Request, password};

impl Trial {
    /// The bytes of a message.
    pub(super) fn write(&mut self, who: usize, ask: &Ask) -> Vec<u8> {
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

    pub(super) fn channel_data(
        &self,
        who: usize,
        channel: u16,
        payload: &[u8],
        lie: i8,
    ) -> Vec<u8> {
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
    pub(super) fn payload(&mut self, length: u16) -> Vec<u8> {
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
}
