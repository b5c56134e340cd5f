//! One question to a STUN server: a Binding from one socket to one address, with the attributes of
//! RFC 5780.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Event, Retransmission, Transport};
use wire::attributes::{
    ChangeRequest, MappedAddress, OtherAddress, Padding, ResponsePort, XorMappedAddress,
};
use wire::{Class, Message, Method, NotOneHost, TransactionId, Writer};

/// A socket of the probe, bound to a port of its own.
///
/// Filtering can be seen only from a port that has not sent to the server's other address, so tests
/// do not share ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Socket {
    /// Asks several addresses, and sees whether it always has the same mapping.
    Mapping,
    /// Asks for an answer from another address and port.
    FilterBoth,
    /// Asks for an answer from another port.
    FilterPort,
    /// Gets a datagram at its own mapped address.
    Hairpin,
    /// Asks with much padding.
    Padding,
    /// Sends datagrams whose TTL ends before they arrive.
    Hops,
    /// Keeps silent for a while, the n-th of [`Socket::LIFETIMES`].
    Lifetime(u8),
    /// Asks whether the silent mappings can still be reached.
    LifetimeAsk,
}

impl Socket {
    /// How many mappings are watched at the same time.
    pub const LIFETIMES: u8 = 8;

    /// The sockets that a discovery needs.
    pub fn all(with_lifetime: bool) -> impl Iterator<Item = Self> {
        let usual = [
            Self::Mapping,
            Self::FilterBoth,
            Self::FilterPort,
            Self::Hairpin,
            Self::Padding,
            Self::Hops,
        ];
        let silent = (0..Self::LIFETIMES).map(Self::Lifetime);
        let lifetime = silent.chain([Self::LifetimeAsk]);
        usual
            .into_iter()
            .chain(lifetime.filter(move |_| with_lifetime))
    }
}

/// The purpose of a question; its outcome goes into the note of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The n-th server, from [`Socket::Mapping`].
    Reach(usize),
    /// The other address at the first port. RFC 5780 §4.3, test II.
    MapAddress,
    /// The other address at the other port. RFC 5780 §4.3, test III.
    MapPort,
    /// An answer from the other address and port. RFC 5780 §4.4, test II.
    FilterBoth,
    /// An answer from the other port. RFC 5780 §4.4, test III.
    FilterPort,
    /// That other port, asked directly.
    CheckPort,
    /// The mapped address of [`Socket::Hairpin`].
    HairpinReach,
    /// From [`Socket::Mapping`] to that address.
    Hairpin,
    /// A request and an answer with so many bytes of UDP payload.
    Padding(usize),
    /// A request that passes so many routers.
    Hop(u8),
    /// A mapping that will be left silent.
    LifetimeOpen(u8),
    /// An answer to the silent mapping. RFC 5780 §4.6.
    LifetimeAsk(u8),
}

/// A question that will be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) purpose: Purpose,
    pub(crate) from: Socket,
    pub(crate) to: SocketAddr,
    pub(crate) extra: Extra,
}

/// The attributes of a question beside its transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Nothing.
    Plain,
    /// CHANGE-REQUEST.
    Change { ip: bool, port: bool },
    /// RESPONSE-PORT.
    AnswerTo(u16),
    /// PADDING up to so many bytes of UDP payload.
    PadTo(usize),
    /// IP TTL or hop limit.
    Ttl(u8),
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(crate) question: Question,
    client: Client,
    pub(crate) transaction: Option<TransactionId>,
    pub(crate) asked: Instant,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Success.
    Answered(BindingAnswer),
    /// The server refused it, with this code.
    Refused(u16),
    /// The server answered with a success that has no address.
    Senseless,
    /// No answer came.
    Silent,
    /// The request itself came to another socket of ours.
    Returned,
}

/// The content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindingAnswer {
    /// The socket that it came to.
    pub(crate) at: Socket,
    /// The address that it came from.
    pub(crate) from: SocketAddr,
    /// The address that the server saw.
    pub(crate) mapped: SocketAddr,
    /// The server's other address and port.
    pub(crate) other: Option<SocketAddr>,
    /// Its length in bytes of UDP payload.
    pub(crate) length: usize,
    /// The time from the first request to this answer.
    pub(crate) took: Duration,
}

impl Inquiry {
    /// Sends the question now.
    pub(crate) fn new(now: Instant, question: Question, timeout: Duration, seed: [u8; 32]) -> Self {
        let mut config = client::Config::new(Transport::Udp);
        config.retransmission = schedule(timeout, question.extra);
        let mut client = Client::new(config, seed);
        let extra = question.extra;
        client.request(now, Method::Binding, move |writer| extra.write(writer));
        Self {
            question,
            client,
            transaction: None,
            asked: now,
        }
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let packet = self.client.poll_transmit()?;
        self.transaction = transaction(&packet);
        Some(packet)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// Sends again or gives up.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Reply> {
        self.client.handle_timeout(now);
        self.reply(None)
    }

    /// Takes an answer with the right transaction id, from an address that may send it.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        at: Socket,
        from: SocketAddr,
        packet: &[u8],
    ) -> Option<Reply> {
        self.client.handle_input(now, packet);
        self.reply(Some((at, from, now - self.asked)))
    }

    fn reply(&mut self, heard: Option<(Socket, SocketAddr, Duration)>) -> Option<Reply> {
        match self.client.poll_event()? {
            Event::Answered { code, message, .. } => Some(match (code, heard) {
                (Some(code), _) => Reply::Refused(code),
                (None, Some(heard)) => {
                    read(&message, heard).map_or(Reply::Senseless, Reply::Answered)
                }
                (None, None) => Reply::Senseless,
            }),
            Event::Failed { .. } => Some(Reply::Silent),
            Event::Bound { .. }
            | Event::Allocated { .. }
            | Event::Refreshed { .. }
            | Event::PermissionCreated { .. }
            | Event::ChannelBound { .. }
            | Event::Data { .. }
            | Event::Connected { .. }
            | Event::ConnectionAttempt { .. }
            | Event::ConnectionBound { .. }
            | Event::Bytes(_)
            | Event::Lost { .. }
            | Event::StreamBroken(_) => None,
        }
    }

    /// Whether an answer may come from there. Only the answer to a request for another source may;
    /// any other is a stranger's.
    pub(crate) fn expects(&self, from: SocketAddr) -> bool {
        match self.question.extra {
            Extra::Change { ip, port } => {
                let asked = self.question.to;
                (ip || from.ip() == asked.ip()) && (port || from.port() == asked.port())
            }
            Extra::Plain | Extra::AnswerTo(_) | Extra::PadTo(_) | Extra::Ttl(_) => {
                from == self.question.to
            }
        }
    }
}

impl Extra {
    fn write(self, writer: &mut Writer<'_>) {
        match self {
            Self::Plain | Self::Ttl(_) => {}
            Self::Change { ip, port } => {
                writer.put(&ChangeRequest { ip, port });
            }
            Self::AnswerTo(port) => {
                writer.put(&ResponsePort(port));
            }
            Self::PadTo(length) => {
                let padding = vec![0; length.saturating_sub(Message::HEADER + 4)];
                writer.put(&Padding(&padding));
            }
        }
    }
}

/// The transaction id of a STUN message, also of one that was cut off.
pub(crate) fn transaction(packet: &[u8]) -> Option<TransactionId> {
    let header = packet.get(4..Message::HEADER)?;
    Some(TransactionId::from_header(header.try_into().ok()?))
}

fn read(packet: &[u8], (at, from, took): (Socket, SocketAddr, Duration)) -> Option<BindingAnswer> {
    let message = Message::parse(packet).ok()?;
    debug_assert_eq!(message.class(), Class::Success);
    let mapped = match message.get().ok()? {
        Some(XorMappedAddress(mapped)) => mapped,
        None => message.get::<MappedAddress>().ok()??.0,
    };
    if !is_host(from, mapped) {
        return None;
    }
    // An unreadable one counts as absent: an old server may put anything there.
    let other = message.get::<OtherAddress>().ok().flatten();
    let other = other.map(|other| other.0);
    Some(BindingAnswer {
        at,
        from,
        mapped,
        other: other.filter(|other| is_host(from, *other)),
        length: packet.len(),
        took,
    })
}

/// Whether an address that `server` announces can be one host's. We will send to it, and no server
/// is to make us send to a group, to a broadcast address, or to ourselves.
fn is_host(server: SocketAddr, told: SocketAddr) -> bool {
    let (from, ip) = (server.ip().to_canonical(), told.ip().to_canonical());
    told.port() != 0 && NotOneHost::of(ip).is_none() && (!ip.is_loopback() || from.is_loopback())
}

/// A question is sent three times and given up after `timeout`. One that is to die on its way is
/// sent once, since routers report on that one.
fn schedule(timeout: Duration, extra: Extra) -> Retransmission {
    let (requests, last_wait) = match extra {
        Extra::Ttl(_) => (1, 2),
        Extra::Plain | Extra::Change { .. } | Extra::AnswerTo(_) | Extra::PadTo(_) => (3, 3),
    };
    Retransmission {
        rto: timeout / 6,
        requests,
        last_wait,
        stream_timeout: timeout,
    }
}
