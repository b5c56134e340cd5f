//! A request and the transactions it takes: unsigned, signed after a 401, signed again after a 438.

use std::fmt;

use wire::attributes::ErrorCode;
use wire::{Message, Writer};

use crate::challenge::Challenge;
use crate::transaction::Transaction;
use crate::{Config, Failure, Request};

/// Writes the attributes of a custom request, each time that a challenge makes it start again.
pub(crate) type Attributes = Box<dyn Fn(&mut Writer<'_>) + Send>;

/// A request until its one result.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) order: Order,
    pub(crate) transaction: Transaction,
    /// Whether an answer was ignored because its integrity was missing or wrong.
    pub(crate) forged: bool,
}

/// A request, and the challenges that were answered for it already.
pub(crate) struct Order {
    pub(crate) request: Request,
    custom: Option<Attributes>,
    /// The challenge that the request answers, from the start or since an error brought it.
    pub(crate) signed: Option<Challenge>,
    /// Whether a 401 was answered.
    unauthenticated: bool,
    /// Whether a 438 was answered.
    stale: bool,
}

impl Order {
    pub(crate) fn new(
        request: Request,
        custom: Option<Attributes>,
        signed: Option<Challenge>,
    ) -> Self {
        Self {
            request,
            custom,
            signed,
            unauthenticated: false,
            stale: false,
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        self.request.write(writer);
        if let Some(attributes) = &self.custom {
            attributes(writer);
        }
        if let Some(challenge) = &self.signed {
            challenge.sign(writer);
        }
    }

    /// The challenge in this error, if it may be answered and that can help: each kind once, and a
    /// 401 only if the request had no key or that of another realm. RFC 8489 §9.2.5.
    pub(crate) fn challenged(
        &mut self,
        error: ErrorCode<'_>,
        message: &Message<'_>,
        config: &Config,
        before: Option<&Challenge>,
    ) -> Option<Challenge> {
        let met = match error.code {
            UNAUTHENTICATED => &mut self.unauthenticated,
            STALE_NONCE => &mut self.stale,
            _ => return None,
        };
        if *met {
            return None;
        }
        let credentials = config.credentials.as_ref()?;
        let challenge = Challenge::read(message, credentials, config.sha256, before)?;
        let can_help = match &self.signed {
            None => error.code == UNAUTHENTICATED,
            Some(tried) => error.code == STALE_NONCE || tried.realm() != challenge.realm(),
        };
        *met = can_help;
        can_help.then_some(challenge)
    }
}

impl Exchange {
    pub(crate) fn is_answered_by(&self, message: &Message<'_>) -> bool {
        self.transaction.id() == message.transaction()
            && self.order.request.method() == message.method()
    }

    /// Whether an answer is believed. The answer to a signed request must be signed with the same
    /// key, except for the challenges that the client answers: the server sends them before it
    /// knows the key. An unsigned 400 comes from that stage too, and is still ignored.
    /// RFC 8489 §9.2.4, §9.2.5.
    pub(crate) fn trusts(&self, message: &Message<'_>, error: Option<ErrorCode<'_>>) -> bool {
        let Some(signed) = &self.order.signed else {
            return true;
        };
        error.is_some_and(is_challenge) || message.verify(signed.key()).is_ok()
    }

    /// Why a request was given up.
    pub(crate) fn gave_up(&self) -> Failure {
        if self.forged {
            Failure::BadIntegrity
        } else {
            Failure::Timeout
        }
    }
}

/// Whether an error asks for credentials or for another nonce.
pub(crate) fn is_challenge(error: ErrorCode<'_>) -> bool {
    matches!(error.code, UNAUTHENTICATED | STALE_NONCE)
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            request,
            custom: _,
            signed,
            unauthenticated,
            stale,
        } = self;
        f.debug_struct("Order")
            .field("request", request)
            .field("signed", signed)
            .field("unauthenticated", unauthenticated)
            .field("stale", stale)
            .finish()
    }
}

const UNAUTHENTICATED: u16 = 401;
const STALE_NONCE: u16 = 438;
