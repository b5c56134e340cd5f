//! Binding: the reflexive address, for anyone. RFC 8489 §3, RFC 3489 §8.

use wire::attributes::{MappedAddress, XorMappedAddress};
use wire::{Class, Message};

use super::{Head, TURN_ATTRIBUTES};
use crate::{ClientTuple, Reject, Server};

/// Writes the answer, without authentication and without state, and says if it is a refusal.
/// Credentials are understood, and not needed.
pub(super) fn answer(
    server: &mut Server,
    client: ClientTuple,
    message: &Message<'_>,
) -> Option<Reject> {
    let head = Head::of(message);
    let unknown: Vec<u16> = message.unknown_required(TURN_ATTRIBUTES).collect();
    if !unknown.is_empty() {
        let reject = Reject::UnknownAttributes(unknown);
        head.refuse(&mut server.reply, &reject, None);
        return Some(reject);
    }
    head.write(&mut server.reply, Class::Success, |writer| {
        if head.transaction.is_rfc3489() {
            writer.put(&MappedAddress(client.client));
        } else {
            writer.put(&XorMappedAddress(client.client));
        }
    });
    None
}
