//! How answers are written. RFC 8489 §6.3, §9.2.4.

use std::net::SocketAddr;

use wire::attributes::{
    AddressErrorCode, AlternateDomain, AlternateServer, ConnectionId, ErrorCode, Lifetime,
    MobilityTicket, Nonce, PasswordAlgorithms, Realm, ReservationToken, Software,
    ThirdPartyAuthorization, UnknownAttributes, XorMappedAddress, XorRelayedAddress,
};
use wire::{AddressFamily, Class, MacKey, Message, Method, TransactionId, Writer};

use crate::mobility::{Sealed, ShardId};
use crate::redirect::Alternate;
use crate::{DropReason, Reject, nonce};

/// The outcome of a request that its handler does not refuse.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// To Allocate.
    Allocated {
        /// The relayed transport addresses, one per family.
        relayed: Vec<SocketAddr>,
        /// The family that was asked for and not granted, and why.
        refused: Option<(AddressFamily, Reject)>,
        /// The client's reflexive address.
        mapped: SocketAddr,
        /// The lifetime granted, in seconds.
        lifetime: u32,
        /// The token of the next port, if that was reserved.
        token: Option<ReservationToken>,
        /// The first ticket, if it was asked for.
        ticket: Option<Sealed>,
    },
    /// To Refresh.
    Refreshed {
        /// The lifetime granted, in seconds; 0 if the allocation was deleted.
        lifetime: u32,
        /// The next ticket, if one was used.
        ticket: Option<Sealed>,
    },
    /// To Connect.
    Connected(ConnectionId),
    /// To CreatePermission, ChannelBind and ConnectionBind.
    Granted,
    /// The answer follows as an effect.
    Later,
    /// Another shard has the allocation, and answers.
    Elsewhere(ShardId),
    /// No answer: that to the first copy of the request is still to come.
    Never(DropReason),
}

impl Outcome {
    /// The lifetime granted, in seconds, if one was.
    pub(crate) const fn lifetime(&self) -> Option<u32> {
        match self {
            Self::Allocated { lifetime, .. } | Self::Refreshed { lifetime, .. } => Some(*lifetime),
            Self::Connected(_)
            | Self::Granted
            | Self::Later
            | Self::Elsewhere(_)
            | Self::Never(_) => None,
        }
    }
}

/// The attributes that a client needs for its next try. RFC 8489 §9.2.4.
pub(crate) struct Challenge<'a> {
    pub(crate) realm: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) algorithms: Option<PasswordAlgorithms<'a>>,
    /// The server name that third parties know, if tokens are taken. RFC 7635 §4.
    pub(crate) third_party: Option<&'a str>,
    /// Signs the answer, if the client is known well enough.
    pub(crate) key: Option<&'a MacKey>,
}

/// The attributes that a client needs for its first request to the next server, if that server
/// takes our nonces. Chromium signs that request with what it knows, and does not answer a
/// challenge to it.
pub(crate) struct NextTry<'a> {
    pub(crate) realm: &'a str,
    pub(crate) nonce: nonce::Nonce,
    /// The nonce announces them, and a client that knows them looks for them. RFC 8489 §9.2.5.
    pub(crate) algorithms: Option<PasswordAlgorithms<'static>>,
}

/// The parts of a request that its answer depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) transaction: TransactionId,
    pub(crate) fingerprint: bool,
}

impl Head {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        Self {
            method: message.method(),
            transaction: message.transaction(),
            // RFC 3489 has no FINGERPRINT.
            fingerprint: message.has_fingerprint() && !message.transaction().is_rfc3489(),
        }
    }

    /// The success response, signed.
    pub(crate) fn succeed<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        outcome: &Outcome,
        key: &MacKey,
    ) -> &'b [u8] {
        self.write(buffer, Class::Success, |writer| {
            match outcome {
                Outcome::Allocated {
                    relayed,
                    refused,
                    mapped,
                    lifetime,
                    token,
                    ticket,
                } => {
                    for relayed in relayed {
                        writer.put(&XorRelayedAddress(*relayed));
                    }
                    writer
                        .put(&Lifetime(*lifetime))
                        .put(&XorMappedAddress(*mapped));
                    if let Some(token) = token {
                        writer.put(token);
                    }
                    put_ticket(writer, ticket.as_ref());
                    if let Some((family, reject)) = refused {
                        writer.put(&AddressErrorCode {
                            family: *family,
                            code: reject.code(),
                            reason: reject.phrase(),
                        });
                    }
                }
                Outcome::Refreshed { lifetime, ticket } => {
                    writer.put(&Lifetime(*lifetime));
                    put_ticket(writer, ticket.as_ref());
                }
                Outcome::Connected(connection) => {
                    writer.put(connection);
                }
                Outcome::Granted | Outcome::Later | Outcome::Elsewhere(_) | Outcome::Never(_) => {}
            }
            writer.put(&SOFTWARE).sign(key);
        })
    }

    /// The error response to someone who has authenticated, signed.
    pub(crate) fn fail<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        reject: &Reject,
        next_try: Option<&NextTry<'_>>,
        key: &MacKey,
    ) -> &'b [u8] {
        self.write(buffer, Class::Error, |writer| {
            writer.put(&ErrorCode {
                code: reject.code(),
                reason: reject.phrase(),
            });
            self.put_unknown(writer, reject);
            put_alternate(writer, reject);
            if let Some(next) = next_try {
                put_means(
                    writer,
                    next.realm,
                    next.nonce.as_str(),
                    next.algorithms.as_ref(),
                );
            }
            writer.put(&SOFTWARE).sign(key);
        })
    }

    /// The error response to a client that has not authenticated, as short as can be. 401 and 438
    /// carry the attributes for the next try. coturn's client forgets third parties that a 438 does
    /// not name again.
    pub(crate) fn refuse<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        reject: &Reject,
        challenge: Option<&Challenge<'_>>,
    ) -> &'b [u8] {
        self.write(buffer, Class::Error, |writer| {
            writer.put(&ErrorCode {
                code: reject.code(),
                reason: "",
            });
            self.put_unknown(writer, reject);
            put_alternate(writer, reject);
            if let Some(challenge) = challenge.filter(|_| reject.is_challenge()) {
                let algorithms = challenge.algorithms.as_ref();
                put_means(writer, challenge.realm, challenge.nonce, algorithms);
                if let Some(name) = challenge.third_party {
                    writer.put(&ThirdPartyAuthorization(name));
                }
                if let Some(key) = challenge.key {
                    writer.sign(key);
                }
            }
        })
    }

    /// RFC 3489 §11.2.10 has no padding: if the number of types is odd one of them is repeated.
    fn put_unknown(&self, writer: &mut Writer<'_>, reject: &Reject) {
        let Reject::UnknownAttributes(types) = reject else {
            return;
        };
        let mut types = types.clone();
        if self.transaction.is_rfc3489() && !types.len().is_multiple_of(2) {
            types.extend(types.last().copied());
        }
        writer.put(&UnknownAttributes(types));
    }

    pub(super) fn write<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        class: Class,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> &'b [u8] {
        buffer.clear();
        let mut writer = Writer::new(buffer, self.method, class, self.transaction);
        fill(&mut writer);
        if self.fingerprint {
            writer.fingerprint();
        }
        buffer
    }
}

fn put_ticket(writer: &mut Writer<'_>, ticket: Option<&Sealed>) {
    if let Some(ticket) = ticket {
        writer.put(&MobilityTicket(ticket));
    }
}

/// The attributes that the next request is to be signed with. RFC 8489 §9.2.4.
fn put_means(
    writer: &mut Writer<'_>,
    realm: &str,
    nonce: &str,
    algorithms: Option<&PasswordAlgorithms<'_>>,
) {
    writer.put(&Realm(realm)).put(&Nonce(nonce));
    if let Some(algorithms) = algorithms {
        writer.put(algorithms);
    }
}

/// RFC 8489 §10: the alternate of the client's family comes first; §14.16.
fn put_alternate(writer: &mut Writer<'_>, reject: &Reject) {
    if let Reject::TryAlternate(Alternate {
        same,
        other,
        domain,
    }) = reject
    {
        writer.put(&AlternateServer(*same));
        if let Some(other) = other {
            writer.put(&AlternateServer(*other));
        }
        if let Some(domain) = domain {
            writer.put(&AlternateDomain(domain));
        }
    }
}

const SOFTWARE: Software<'static> = Software("Hairpin");
