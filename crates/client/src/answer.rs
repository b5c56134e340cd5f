//! The result of a request, read from its answer once that is trusted.

use std::net::SocketAddr;
use std::time::Duration;

use wire::attributes::{
    ConnectionId, ErrorCode, Lifetime, MappedAddress, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
use wire::{Attribute, Message};

use crate::{Event, Failure, Request};

/// The event that ends a request. `error` is the error code of the answer, `None` in a success.
pub(crate) fn read(request: Request, error: Option<ErrorCode<'_>>, message: &Message<'_>) -> Event {
    let code = error.map(|error| error.code);
    let refusal = match error {
        Some(error) => Some(refused(error)),
        None => not_understood(message),
    };
    let outcome = match (&request, refusal) {
        (Request::Custom(method), _) => Ok(Event::Answered {
            method: *method,
            code,
            message: message.as_bytes().to_vec(),
        }),
        (_, Some(failure)) => Err(failure),
        (Request::Binding, None) => bound(message),
        (Request::Allocate(_), None) => allocated(message),
        (Request::Refresh { .. } | Request::Relocate { .. }, None) => refreshed(message),
        (Request::CreatePermission { peers }, None) => Ok(Event::PermissionCreated {
            peers: peers.clone(),
        }),
        (Request::ChannelBind { number, peer }, None) => Ok(Event::ChannelBound {
            number: *number,
            peer: *peer,
        }),
        (Request::Connect { peer }, None) => connected(*peer, message),
        (Request::ConnectionBind { connection }, None) => Ok(Event::ConnectionBound {
            connection: *connection,
        }),
    };
    outcome.unwrap_or_else(|failure| Event::Failed { request, failure })
}

fn refused(error: ErrorCode<'_>) -> Failure {
    Failure::Refused {
        code: error.code,
        reason: error.reason.to_owned(),
    }
}

/// RFC 8489 §6.3.3: a success with an unknown comprehension-required attribute is a failure.
fn not_understood(message: &Message<'_>) -> Option<Failure> {
    let unknown = message.unknown_required(KNOWN).next();
    unknown.map(Failure::UnknownAttribute)
}

/// A server that knows only RFC 3489 answers with MAPPED-ADDRESS.
fn bound(message: &Message<'_>) -> Result<Event, Failure> {
    let mapped = match message.get()? {
        Some(XorMappedAddress(address)) => address,
        None => require::<MappedAddress>(message)?.0,
    };
    Ok(Event::Bound { mapped })
}

/// The result of an Allocate. RFC 8656 §7.3.
fn allocated(message: &Message<'_>) -> Result<Event, Failure> {
    Ok(Event::Allocated {
        relayed: require::<XorRelayedAddress>(message)?.0,
        mapped: require::<XorMappedAddress>(message)?.0,
        lifetime: lifetime(message)?,
    })
}

/// The result of a Connect. RFC 6062 §4.3.
fn connected(peer: SocketAddr, message: &Message<'_>) -> Result<Event, Failure> {
    let connection = require(message)?;
    Ok(Event::Connected { peer, connection })
}

/// The result of a Refresh. RFC 8656 §8.3.
fn refreshed(message: &Message<'_>) -> Result<Event, Failure> {
    let lifetime = lifetime(message)?;
    Ok(Event::Refreshed { lifetime })
}

fn lifetime(message: &Message<'_>) -> Result<Duration, Failure> {
    let Lifetime(seconds) = require(message)?;
    Ok(Duration::from_secs(seconds.into()))
}

fn require<'a, A: Attribute<'a>>(message: &Message<'a>) -> Result<A, Failure> {
    message.get()?.ok_or(Failure::MissingAttribute(A::TYPE))
}

/// The comprehension-required attributes that a success response may have.
const KNOWN: &[u16] = &[
    MappedAddress::TYPE,
    SOURCE_ADDRESS,
    CHANGED_ADDRESS,
    Lifetime::TYPE,
    XorPeerAddress::TYPE,
    XorRelayedAddress::TYPE,
    XorMappedAddress::TYPE,
    ConnectionId::TYPE,
];

/// The attributes that a server of RFC 3489 puts beside MAPPED-ADDRESS. RFC 3489 §11.2.3, §11.2.5.
const SOURCE_ADDRESS: u16 = 0x0004;
const CHANGED_ADDRESS: u16 = 0x0005;
