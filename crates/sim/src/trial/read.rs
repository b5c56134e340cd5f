//! Reads an answer into the form of the model.

use wire::Attribute;
use wire::attributes::{
    AddressErrorCode, ConnectionId, ErrorCode, Lifetime, MappedAddress, MobilityTicket, Nonce,
    PasswordAlgorithms, Realm, ReservationToken, Software, UnknownAttributes, XorMappedAddress,
    XorRelayedAddress,
};

use crate::Answer;
use crate::model::{Connection, Reply, Ticket, Token};

/// Reads an answer; `cause` is what the server reported if it refused.
///
/// # Errors
/// If it has an attribute that no answer of these RFCs has.
pub(super) fn read(answer: &Answer, cause: Option<&'static str>) -> Result<Reply, String> {
    let message = answer.message();
    if let Some(stranger) = message.attributes().find(|it| !EXPECTED.contains(&it.kind)) {
        return Err(format!(
            "attribute {:#06x} does not belong here",
            stranger.kind
        ));
    }
    let realm: Option<Realm<'_>> = answer.get();
    let nonce: Option<Nonce<'_>> = answer.get();
    let transaction = message.transaction();
    let mapped = if transaction.is_rfc3489() {
        answer.get().map(|MappedAddress(mapped)| mapped)
    } else {
        answer.get().map(|XorMappedAddress(mapped)| mapped)
    };
    let relayed = answer.get_all();
    let error: Option<ErrorCode<'_>> = answer.get();
    let address_error: Option<AddressErrorCode<'_>> = answer.get();
    Ok(Reply {
        method: message.method(),
        transaction,
        fingerprint: message.has_fingerprint(),
        refused: error.map(|error| (error.code, cause.unwrap_or("challenge"))),
        signed: message.integrity(),
        lifetime: answer.get().map(|Lifetime(seconds)| seconds),
        mapped,
        relayed: relayed
            .into_iter()
            .map(|XorRelayedAddress(at)| at)
            .collect(),
        token: answer
            .get()
            .map_or(Token::Absent, |token: ReservationToken| Token::Known(token)),
        address_error: address_error.map(|it| (it.family, it.code)),
        connection: answer
            .get()
            .map_or(Connection::Absent, |id: ConnectionId| Connection::Known(id)),
        ticket: answer
            .get()
            .map(|MobilityTicket(ticket)| Ticket::Known(ticket.to_vec())),
        unknown: answer
            .get()
            .map_or(vec![], |UnknownAttributes(types)| types),
        challenge: realm.is_some() && nonce.is_some(),
        algorithms: answer
            .get()
            .map_or(vec![], |PasswordAlgorithms(all)| all.to_vec()),
        software: answer.get::<Software<'_>>().is_some(),
    })
}

/// The attributes that [`read`] reads.
const EXPECTED: [u16; 14] = [
    ConnectionId::TYPE,
    MappedAddress::TYPE,
    ErrorCode::TYPE,
    UnknownAttributes::TYPE,
    Lifetime::TYPE,
    MobilityTicket::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    XorRelayedAddress::TYPE,
    XorMappedAddress::TYPE,
    ReservationToken::TYPE,
    AddressErrorCode::TYPE,
    PasswordAlgorithms::TYPE,
    Software::TYPE,
];
