//! The expected outcome of a packet.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use relay::{AddressFamily, ClientTuple, ConnectionId, DropReason, Icmp};
use wire::attributes::ReservationToken;
use wire::{Algorithm, Message, Method, TransactionId};

/// The expected immediate outcome of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The sender is answered.
    Reply(Reply),
    /// Sockets are asked for; the answer comes when the machine has answered for all of them.
    Later,
    /// A datagram leaves for a peer.
    ToPeer {
        from: SocketAddr,
        to: SocketAddr,
        /// Whether its DF bit is set.
        dont_fragment: bool,
        payload: Vec<u8>,
    },
    /// A client gets data: on a channel, or in a Data indication.
    ToClient {
        to: ClientTuple,
        peer: SocketAddr,
        channel: Option<u16>,
        payload: Vec<u8>,
    },
    /// A client is told of an ICMP error.
    ToldOfLoss {
        to: ClientTuple,
        peer: SocketAddr,
        icmp: Icmp,
    },
    /// It is dropped.
    Lost(DropReason),
    /// There is no socket to receive it.
    NoSocket,
    /// It has no effect, and is not dropped either.
    Nothing,
}

/// An answer, without its random parts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) method: Method,
    pub(crate) transaction: TransactionId,
    pub(crate) fingerprint: bool,
    /// The error code, and the name of the cause.
    pub(crate) refused: Option<(u16, &'static str)>,
    /// The algorithm that signs it, with the key of the request.
    pub(crate) signed: Option<Algorithm>,
    pub(crate) lifetime: Option<u32>,
    pub(crate) mapped: Option<SocketAddr>,
    pub(crate) relayed: Vec<SocketAddr>,
    pub(crate) token: Token,
    pub(crate) address_error: Option<(AddressFamily, u16)>,
    pub(crate) connection: Connection,
    /// MOBILITY-TICKET.
    pub(crate) ticket: Option<Ticket>,
    /// UNKNOWN-ATTRIBUTES.
    pub(crate) unknown: Vec<u16>,
    /// Whether REALM and NONCE are there.
    pub(crate) challenge: bool,
    /// The value of PASSWORD-ALGORITHMS.
    pub(crate) algorithms: Vec<u8>,
    /// Whether SOFTWARE is there: only clients that have authenticated get it.
    pub(crate) software: bool,
}

/// RESERVATION-TOKEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Absent,
    /// A token that no client has had before.
    New,
    Known(ReservationToken),
}

/// CONNECTION-ID, in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Absent,
    /// A name that no connection has: of this allocation, with this peer.
    New(u64, SocketAddr),
    Known(ConnectionId),
}

/// MOBILITY-TICKET, in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// A ticket that no client has had before: of this allocation, after so many moves.
    New(u64, u32),
    Known(Vec<u8>),
}

/// An allocation that ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ending {
    pub(crate) client: ClientTuple,
    pub(crate) cause: &'static str,
    pub(crate) age: Duration,
    /// Packets and bytes to peers.
    pub(crate) sent: (u64, u64),
    /// Packets and bytes from peers.
    pub(crate) received: (u64, u64),
}

/// A refusal: code, cause, and unknown attributes.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) cause: &'static str,
    pub(super) unknown: Vec<u16>,
}

pub(super) const fn refuse(code: u16, cause: &'static str) -> Refusal {
    Refusal {
        code,
        cause,
        unknown: Vec::new(),
    }
}

/// An attribute that cannot be read is a bad request. RFC 8489 §6.3.
impl From<wire::Malformed> for Refusal {
    fn from(_: wire::Malformed) -> Self {
        refuse(400, "malformed")
    }
}

impl Reply {
    /// An empty answer. A request with FINGERPRINT gets an answer with FINGERPRINT, unless it is of
    /// RFC 3489, which has none.
    pub(super) fn to(request: &Message<'_>) -> Self {
        let transaction = request.transaction();
        Self {
            method: request.method(),
            transaction,
            fingerprint: request.has_fingerprint() && !transaction.is_rfc3489(),
            refused: None,
            signed: None,
            lifetime: None,
            mapped: None,
            relayed: Vec::new(),
            token: Token::Absent,
            address_error: None,
            connection: Connection::Absent,
            ticket: None,
            unknown: Vec::new(),
            challenge: false,
            algorithms: Vec::new(),
            software: false,
        }
    }

    /// An answer to a client that has authenticated. RFC 8489 §9.2.4, RFC 8656 §5.
    pub(super) const fn signed(mut self, algorithm: Algorithm) -> Self {
        self.signed = Some(algorithm);
        self.software = true;
        self
    }

    pub(super) fn refused(mut self, refusal: Refusal) -> Self {
        self.refused = Some((refusal.code, refusal.cause));
        self.unknown = refusal.unknown;
        self
    }
}

/// The parts that the answer has; others are left out.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_list();
        text.entry(&format_args!(
            "{} {:02x?}",
            self.method.name(),
            self.transaction.as_bytes()
        ));
        if let Some((code, cause)) = self.refused {
            text.entry(&format_args!("{code} {cause}"));
        }
        if !self.unknown.is_empty() {
            text.entry(&format_args!("unknown {:04x?}", self.unknown));
        }
        if let Some(seconds) = self.lifetime {
            text.entry(&format_args!("{seconds} s"));
        }
        if let Some(address) = self.mapped {
            text.entry(&format_args!("mapped {address}"));
        }
        for address in &self.relayed {
            text.entry(&format_args!("relayed {address}"));
        }
        if let Some((family, code)) = self.address_error {
            text.entry(&format_args!("{family:?} {code}"));
        }
        if self.token != Token::Absent {
            text.entry(&format_args!("token {:?}", self.token));
        }
        if self.connection != Connection::Absent {
            text.entry(&format_args!("connection {:?}", self.connection));
        }
        if let Some(ticket) = &self.ticket {
            text.entry(&format_args!("ticket {ticket:?}"));
        }
        if self.challenge {
            text.entry(&format_args!("challenge, algorithms {:?}", self.algorithms));
        }
        text.entry(&format_args!(
            "signed {:?}, software {}",
            self.signed, self.software
        ));
        text.entry(&format_args!("fingerprint {}", self.fingerprint))
            .finish()
    }
}
