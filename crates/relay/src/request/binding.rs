//! Binding: the reflexive address, for anyone. RFC 8489 §3, RFC 3489 §8.

use wire::attributes::{
    MappedAddress, Nonce, PasswordAlgorithm, Realm, UserHash, Username, XorMappedAddress,
};
use wire::{Attribute, Class, Message};

use super::Head;
use crate::{ClientTuple, Reject, Server};

/// Writes the answer, without authentication and without state, and says if it is a refusal.
pub(super) fn answer(
    server: &mut Server,
    client: ClientTuple,
    message: &Message<'_>,
) -> Option<Reject> {
    let head = Head::of(message);
    let mut unknown = message.unknown_required(BINDING_ATTRIBUTES).peekable();
    if unknown.peek().is_some() {
        let reject = Reject::UnknownAttributes(unknown.collect());
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

/// Credentials are understood, and not needed.
const BINDING_ATTRIBUTES: &[u16] = &[
    Nonce::TYPE,
    PasswordAlgorithm::TYPE,
    Realm::TYPE,
    UserHash::TYPE,
    Username::TYPE,
];
