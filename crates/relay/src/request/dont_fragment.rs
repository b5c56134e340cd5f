//! DONT-FRAGMENT: where the server can set the DF bit, and where it must not. RFC 8656 §3.7,
//! §13-15.

use wire::attributes::{
    AdditionalAddressFamily, DontFragment, DraftAdditionalAddressFamily, RequestedAddressFamily,
    ReservationToken,
};
use wire::{AddressFamily, Attribute};

use crate::auth::Signed;
use crate::{ClientTuple, Now, Reject, Server};

/// Whether DONT-FRAGMENT in a Send indication counts. RFC 8656 §13 has it ignored where datagrams
/// are translated, or are IPv6 on both sides: there the DF bit or Fragment header of the client's
/// datagram decides. A client on a stream sends no datagrams, so the attribute decides:
/// RFC 8656 §15.
pub(super) fn counts(client: ClientTuple, relay: AddressFamily) -> bool {
    client.transport.is_stream()
        || (family(client), relay) == (AddressFamily::V4, AddressFamily::V4)
}

/// Refuses an Allocate with DONT-FRAGMENT, as if the attribute were unknown, if it asks for a
/// translation from IPv4 datagrams to IPv6: no socket shows the DF bit of a datagram that it
/// received, and RFC 8656 §3.7 forbids such a server to pretend. Everywhere else DF can be set:
/// RFC 8656 §7.2 step 4.
pub(super) fn check(server: &Server, now: Now, request: &Signed<'_>) -> Result<(), Reject> {
    let asked = request.get::<DontFragment>()?.is_some();
    let from_v4 =
        !request.client.transport.is_stream() && family(request.client) == AddressFamily::V4;
    if asked && from_v4 && wants_v6(server, now, request)? {
        return Err(Reject::UnknownAttributes(vec![DontFragment::TYPE]));
    }
    Ok(())
}

fn wants_v6(server: &Server, now: Now, request: &Signed<'_>) -> Result<bool, Reject> {
    let v6 = Ok(AddressFamily::V6);
    let token = request.get::<ReservationToken>()?;
    let reserved = token.and_then(|token| server.shared.reservations.family(token, now.mono));
    let requested = request.get()?;
    let additional = request.get()?;
    let draft = request.get()?;
    Ok(reserved == Some(AddressFamily::V6)
        || requested == Some(RequestedAddressFamily(v6))
        || additional == Some(AdditionalAddressFamily(v6))
        || draft == Some(DraftAdditionalAddressFamily(v6)))
}

fn family(client: ClientTuple) -> AddressFamily {
    AddressFamily::of(client.client.ip())
}
