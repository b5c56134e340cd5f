//! Binding: the reflexive address, for anyone. RFC 8489 §3, RFC 5780 §6, RFC 3489 §8.

use std::net::SocketAddr;

use wire::attributes::{
    ChangeRequest, ChangedAddress, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    ResponsePort, SourceAddress, XorMappedAddress,
};
use wire::{Attribute, Class, Message, Writer};

use super::{Head, TURN_ATTRIBUTES, unauthenticated};
use crate::nat_discovery::{Corner, NatDiscovery};
use crate::{ClientTuple, Config, Now, Reject, Server, Transport, Verdict};

/// Answers without authentication and without state. Credentials are understood, and not needed.
pub(super) fn binding<'a>(
    server: &'a mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'a>,
) -> Verdict<'a> {
    let head = Head::of(message);
    match plan(&server.config, client, message) {
        Ok((success, via)) => {
            success.write(&head, &mut server.reply);
            unauthenticated(server, now, client, via, message, None)
        }
        Err(reject) => {
            head.refuse(&mut server.reply, &reject, None);
            let realm = server.config.realms.at(client.server);
            let refused = Some((reject.into(), realm));
            unauthenticated(server, now, client, client, message, refused)
        }
    }
}

/// What to say, and on which 5-tuple.
fn plan(
    config: &Config,
    client: ClientTuple,
    message: &Message<'_>,
) -> Result<(Success, ClientTuple), Reject> {
    let plain = Success {
        mapped: client.client,
        origin: None,
        padding: None,
    };
    let Some((discovery, asked)) = discovery(config, client) else {
        understood(message, &[])?;
        return Ok((plain, client));
    };
    let wish = Wish::of(client.transport, message)?;
    let from = asked.changed(wish.change);
    let success = Success {
        origin: Some(Origin {
            from: discovery.external(from),
            other: discovery.external(asked.opposite()),
        }),
        padding: wish.padding,
        ..plain
    };
    let mut via = client;
    via.client
        .set_port(wish.port.unwrap_or(client.client.port()));
    if from != asked {
        via.server = discovery.local(from);
    }
    Ok((success, via))
}

/// Whether the server has another address than the one that the client sent to, and which.
fn discovery(config: &Config, client: ClientTuple) -> Option<(&NatDiscovery, Corner)> {
    config.nat_discovery.iter().find_map(|discovery| {
        let corner = discovery.corner(client.transport, client.server)?;
        Some((discovery, corner))
    })
}

/// What of RFC 5780 a client asks for.
#[derive(Default)]
struct Wish {
    change: ChangeRequest,
    port: Option<u16>,
    padding: Option<usize>,
}

impl Wish {
    /// Only over UDP: no server may open a connection to a client. RFC 5780 §3.
    fn of(transport: Transport, message: &Message<'_>) -> Result<Self, Reject> {
        match transport {
            Transport::Tcp => {
                understood(message, &[])?;
                return Ok(Self::default());
            }
            Transport::Udp => understood(message, DISCOVERY_ATTRIBUTES)?,
        }
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

/// Whether nothing is asked for but what TURN knows and what is known beside it.
fn understood(message: &Message<'_>, beside: &[u16]) -> Result<(), Reject> {
    let unknown = message.unknown_required(TURN_ATTRIBUTES);
    let unknown: Vec<u16> = unknown.filter(|kind| !beside.contains(kind)).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reject::UnknownAttributes(unknown))
    }
}

/// A success response, unsigned.
pub(crate) struct Success {
    pub(crate) mapped: SocketAddr,
    pub(crate) origin: Option<Origin>,
    /// The length of PADDING, if the client had it in its request.
    pub(crate) padding: Option<usize>,
}

/// Where it leaves, and where it would leave if both address and port were changed.
pub(crate) struct Origin {
    pub(crate) from: SocketAddr,
    pub(crate) other: SocketAddr,
}

impl Success {
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

    /// RFC 3489 §8.1.
    fn put_rfc3489(&self, writer: &mut Writer<'_>) {
        writer.put(&MappedAddress(self.mapped));
        if let Some(Origin { from, other }) = self.origin {
            writer.put(&SourceAddress(from)).put(&ChangedAddress(other));
        }
    }
}

/// The longest PADDING that is answered: RFC 5780 §7.6 asks for the MTU of the way out. A shorter
/// one is answered with its own length, or PADDING would make much out of little.
const MTU: usize = 1500;
static ZEROS: [u8; MTU] = [0; MTU];

/// What RFC 5780 §7 adds to Binding requests.
const DISCOVERY_ATTRIBUTES: &[u16] = &[ChangeRequest::TYPE, Padding::TYPE, ResponsePort::TYPE];
