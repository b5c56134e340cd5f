//! Binding: the reflexive address, for anyone. RFC 8489 §3, RFC 3489 §8.

use wire::attributes::{
    MappedAddress, Nonce, PasswordAlgorithm, Realm, UserHash, Username, XorMappedAddress,
};
use wire::{Attribute, Class, Message};

use super::{Head, report_refused};
use crate::{ClientTuple, Reject, Server, Verdict};

/// Answers without authentication and without state.
pub(super) fn answer<'a>(
    server: &'a mut Server,
    client: ClientTuple,
    message: &Message<'_>,
) -> Verdict<'a> {
    let head = Head::of(message);
    let mut unknown = message.unknown_required(BINDING_ATTRIBUTES).peekable();
    if unknown.peek().is_some() {
        let reject = Reject::UnknownAttributes(unknown.collect());
        report_refused(server, client, None, &head, &reject);
        return Verdict::Reply(head.refuse(&mut server.reply, &reject, None));
    }
    server.counters.bindings += 1;
    Verdict::Reply(head.write(&mut server.reply, Class::Success, |writer| {
        if head.transaction.is_rfc3489() {
            writer.put(&MappedAddress(client.client));
        } else {
            writer.put(&XorMappedAddress(client.client));
        }
    }))
}

/// Credentials are understood, and not needed.
const BINDING_ATTRIBUTES: &[u16] = &[
    Nonce::TYPE,
    PasswordAlgorithm::TYPE,
    Realm::TYPE,
    UserHash::TYPE,
    Username::TYPE,
];
