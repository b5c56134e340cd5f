//! Binding: the reflexive address, for anyone. RFC 8489 §3, RFC 5780 §6, RFC 3489 §8.

use std::net::SocketAddr;
use std::sync::Arc;

use wire::attributes::{
    ChangeRequest, ChangedAddress, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    ResponsePort, SourceAddress, XorMappedAddress,
};
use wire::{AddressFamily, Attribute, Class, Message, Writer};

use super::{Head, TURN_ATTRIBUTES, may_amplify, unauthenticated};
use crate::nat_discovery::{Corner, Errand, LENGTH, Line, Lines, NatDiscovery};
use crate::{
    ClientTuple, Config, Destination, DropReason, Now, Outgoing, Reject, Server, Transport, Verdict,
};

/// Answers without authentication and without state. Credentials are read but not needed.
pub(super) fn binding<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'_>,
) -> Verdict<'s, 'static> {
    let Some((discovery, asked)) = discovery(&server.config, &server.shared.lines, client) else {
        return plain(server, now, client, message);
    };
    let head = Head::of(message);
    match plan(discovery, asked, client, message) {
        Ok((success, Way::Via(via))) => {
            success.write(&head, &mut server.reply);
            unauthenticated(server, now, client, via, message, None)
        }
        Ok((success, Way::ByPartner(errand))) => {
            success.write(&head, &mut server.reply);
            ask_partner(server, now, client, message, errand)
        }
        Err(reject) => refuse(server, now, client, message, reject),
    }
}

/// Answers where there is no second address, so that only the reflexive address can be asked for.
fn plain<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'_>,
) -> Verdict<'s, 'static> {
    if let Err(reject) = understood(message, &[]) {
        return refuse(server, now, client, message, reject);
    }
    let success = Success::plain(client.client);
    success.write(&Head::of(message), &mut server.reply);
    unauthenticated(server, now, client, client, message, None)
}

#[cold]
fn refuse<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'_>,
    reject: Reject,
) -> Verdict<'s, 'static> {
    Head::of(message).refuse(&mut server.reply, &reject, None);
    let realm = server.rules.realms.at(client.server);
    let refused = Some((reject.into(), realm));
    unauthenticated(server, now, client, client, message, refused)
}

/// How an answer reaches the client.
enum Way {
    /// This server sends it, as if the client had asked on this 5-tuple.
    Via(ClientTuple),
    /// The partner sends it.
    ByPartner(Errand),
}

/// The answer, and the way that it takes.
fn plan(
    discovery: &NatDiscovery,
    asked: Corner,
    client: ClientTuple,
    message: &Message<'_>,
) -> Result<(Success, Way), Reject> {
    let wish = Wish::of(client.transport, message)?;
    let from = asked.changed(wish.change);
    let success = Success {
        origin: Some(Origin {
            from: discovery.external(from),
            other: discovery.external(asked.opposite()),
        }),
        padding: wish.padding,
        ..Success::plain(client.client)
    };
    let to_port = wish.port.unwrap_or(client.client.port());
    let Some(local) = discovery.local(from) else {
        let errand = Errand {
            transaction: message.transaction(),
            fingerprint: Head::of(message).fingerprint,
            mapped: client.client,
            to_port,
            alternate_port: asked.alternate_port(),
            change_port: wish.change.port,
            padding: wish.padding.map(|length| length.min(MTU) as u16),
        };
        return Ok((success, Way::ByPartner(errand)));
    };
    let mut via = client;
    via.client.set_port(to_port);
    if from != asked {
        via.server = local;
    }
    Ok((success, Way::Via(via)))
}

/// The NAT discovery of the address that the client sent to, and which of its corners that is;
/// `None` if there is no second address or its partner is not met.
fn discovery<'c>(
    config: &'c Config,
    lines: &Lines,
    client: ClientTuple,
) -> Option<(&'c NatDiscovery, Corner)> {
    config.nat_discovery.iter().find_map(|discovery| {
        let corner = discovery.corner(client.transport, client.server)?;
        let line = lines.of(discovery.family());
        line.is_none_or(Line::is_met).then_some((discovery, corner))
    })
}

/// Asks the partner to answer. `server.reply` holds the answer that the partner will make. This
/// budget is charged for that or for the note, whichever is longer, and the partner's is charged
/// too.
fn ask_partner<'s>(
    server: &'s mut Server,
    now: Now,
    client: ClientTuple,
    request: &Message<'_>,
    errand: Errand,
) -> Verdict<'s, 'static> {
    let family = AddressFamily::of(client.client.ip());
    let shared = Arc::clone(&server.shared);
    let Some(line) = shared.lines.of(family) else {
        return server.discard(DropReason::NoPartner);
    };
    let longest = server.reply.len().max(LENGTH);
    let excess = longest.saturating_sub(request.as_bytes().len());
    let mut via = client;
    via.client.set_port(errand.to_port);
    if excess > 0 && !may_amplify(server, now, via, excess) {
        return server.discard(DropReason::OverBudget);
    }
    server.reply.clear();
    server.reply.extend(line.errand(now.unix, errand));
    Verdict::Answer(Outgoing {
        to: Destination::Partner(family),
        contents: &server.reply,
    })
}

/// The parts of RFC 5780 that a client asks for.
#[derive(Default)]
struct Wish {
    change: ChangeRequest,
    port: Option<u16>,
    padding: Option<usize>,
}

impl Wish {
    /// Reads the attributes, over UDP only: a server must not open a connection to a client.
    /// RFC 5780 §3.
    fn of(transport: Transport, message: &Message<'_>) -> Result<Self, Reject> {
        if transport != Transport::Udp {
            understood(message, &[])?;
            return Ok(Self::default());
        }
        understood(message, DISCOVERY_ATTRIBUTES)?;
        let port = message.get()?.map(|ResponsePort(port)| port);
        let padding = message.get()?.map(|Padding(value)| value.len());
        if port.is_some() && padding.is_some() {
            return Err(Reject::Contradiction);
        }
        Ok(Self {
            change: message.get()?.unwrap_or_default(),
            port,
            padding,
        })
    }
}

/// Refuses unknown attributes: those that neither TURN defines nor `beside` holds.
///
/// A CHANGE-REQUEST without flags asks for nothing, and is taken also where there is no second
/// address: PJSIP's client and all that is made from Debian's `stun` send one in every Binding.
fn understood(message: &Message<'_>, beside: &[u16]) -> Result<(), Reject> {
    if message.unknown_required(TURN_ATTRIBUTES).next().is_none() {
        return Ok(());
    }
    none_unknown(message, beside)
}

/// Out of line, as most requests have no such attributes.
#[cold]
fn none_unknown(message: &Message<'_>, beside: &[u16]) -> Result<(), Reject> {
    let unknown = message.unknown_required(TURN_ATTRIBUTES);
    let is_known = |kind: &u16| {
        beside.contains(kind) || (*kind == ChangeRequest::TYPE && changes_nothing(message))
    };
    let unknown: Vec<u16> = unknown.filter(|kind| !is_known(kind)).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reject::UnknownAttributes(unknown))
    }
}

/// Whether there is a CHANGE-REQUEST without flags.
fn changes_nothing(message: &Message<'_>) -> bool {
    message.get() == Ok(Some(ChangeRequest::default()))
}

/// A success response, unsigned.
pub(crate) struct Success {
    pub(crate) mapped: SocketAddr,
    pub(crate) origin: Option<Origin>,
    /// The length of PADDING, if the client had it in its request.
    pub(crate) padding: Option<usize>,
}

/// The address that the response leaves from, and the one with the other address and port.
pub(crate) struct Origin {
    pub(crate) from: SocketAddr,
    pub(crate) other: SocketAddr,
}

impl Success {
    /// A response with the reflexive address only.
    const fn plain(mapped: SocketAddr) -> Self {
        Self {
            mapped,
            origin: None,
            padding: None,
        }
    }

    pub(crate) fn write(&self, head: &Head, buffer: &mut Vec<u8>) {
        head.write(buffer, Class::Success, |writer| {
            if head.transaction.is_rfc3489() {
                self.put_rfc3489(writer);
            } else {
                self.put(writer);
            }
            if let Some(length) = self.padding {
                writer.put(&Padding(&ZEROS[..length.min(MTU)]));
            }
        });
    }

    /// RFC 5780 §6.1 wants the mapped address twice, so that a client sees whether its NAT rewrites
    /// addresses in payloads.
    fn put(&self, writer: &mut Writer<'_>) {
        writer.put(&XorMappedAddress(self.mapped));
        if let Some(Origin { from, other }) = self.origin {
            writer
                .put(&MappedAddress(self.mapped))
                .put(&ResponseOrigin(from))
                .put(&OtherAddress(other));
        }
    }

    /// The response of RFC 3489 §8.1.
    fn put_rfc3489(&self, writer: &mut Writer<'_>) {
        writer.put(&MappedAddress(self.mapped));
        if let Some(Origin { from, other }) = self.origin {
            writer.put(&SourceAddress(from)).put(&ChangedAddress(other));
        }
    }
}

/// The longest PADDING that is answered: RFC 5780 §7.6 asks for the MTU of the outgoing interface.
/// A shorter one is answered with its own length, as otherwise a short PADDING would get a long
/// one.
const MTU: usize = 1500;
static ZEROS: [u8; MTU] = [0; MTU];

/// The attributes that RFC 5780 §7 adds to Binding requests.
const DISCOVERY_ATTRIBUTES: &[u16] = &[ChangeRequest::TYPE, Padding::TYPE, ResponsePort::TYPE];
