//! A response of the server, as the client sees it.

use std::fmt;

use wire::attributes::ErrorCode;
use wire::{Attribute, Class, MacKey, Message, TransactionId};

/// A response, and what its reader knows of its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    bytes: Vec<u8>,
    signed: bool,
}

impl Answer {
    /// Reads a response and checks its integrity, if it has one, and its fingerprint. `keys` are
    /// those that it may be signed with.
    ///
    /// # Panics
    /// If it is no response that a server may give.
    #[track_caller]
    pub(crate) fn new(bytes: Vec<u8>, keys: &[MacKey]) -> Self {
        let message = Message::parse(&bytes).expect("the server writes well-formed messages");
        let class = message.class();
        assert!(
            matches!(class, Class::Success | Class::Error),
            "a response is neither request nor indication, but this one is: {class:?}"
        );
        assert!(message.fingerprint_matches(), "its FINGERPRINT is wrong");
        let signed = message.is_signed();
        assert!(
            !signed || keys.iter().any(|key| message.verify(key).is_ok()),
            "a response is signed with the key of its request"
        );
        Self { bytes, signed }
    }

    /// The whole message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message, to be read.
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("parsed once before")
    }

    /// The error code, `None` for a success.
    pub fn code(&self) -> Option<u16> {
        self.get::<ErrorCode<'_>>().map(|error| error.code)
    }

    /// Whether the server granted the request.
    pub fn is_success(&self) -> bool {
        self.message().class() == Class::Success
    }

    /// Whether it carries MESSAGE-INTEGRITY, made with the key of the request.
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    /// An attribute, `None` if it is absent.
    ///
    /// # Panics
    /// If it is there and unreadable.
    #[track_caller]
    pub fn get<'a, A: Attribute<'a>>(&'a self) -> Option<A> {
        self.message()
            .get()
            .expect("the server writes readable attributes")
    }

    /// All attributes of a type.
    ///
    /// # Panics
    /// If one of them is unreadable.
    #[track_caller]
    pub fn get_all<'a, A: Attribute<'a> + 'a>(&'a self) -> Vec<A> {
        let all = self.message().get_all().collect::<Result<_, _>>();
        all.expect("the server writes readable attributes")
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        self.message().transaction()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        let kinds: Vec<u16> = message.attributes().map(|found| found.kind).collect();
        f.debug_struct("Answer")
            .field("method", &message.method())
            .field("code", &self.code())
            .field("signed", &self.signed)
            .field("attributes", &kinds)
            .finish()
    }
}
