//! The server of the tests: it grants everything and is predictable, unless its script says
//! otherwise.

use std::net::SocketAddr;

use wire::attributes::{
    ConnectionId, ErrorCode, Lifetime, Nonce, Realm, Username, XorMappedAddress, XorRelayedAddress,
};
use wire::{Algorithm, Attribute, Class, Key, MacKey, Message, Method, RawAttribute, Writer};

pub(crate) const USERNAME: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland";
pub(crate) const REALM: &str = "example.org";
pub(crate) const LIFETIME: u32 = 600;

pub(crate) fn mapped() -> SocketAddr {
    "192.0.2.7:50000".parse().unwrap()
}

pub(crate) fn relayed() -> SocketAddr {
    "198.51.100.1:49160".parse().unwrap()
}

pub(crate) fn key() -> MacKey {
    key_for(REALM, PASSWORD)
}

pub(crate) fn key_for(realm: &str, password: &str) -> MacKey {
    Key::md5(USERNAME, realm, password).schedule(Algorithm::Sha1)
}

/// An answer to some request, written step by step.
pub(crate) struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn success(request: &[u8]) -> Self {
        Self::new(request, Class::Success, |_| {})
    }

    pub(crate) fn error(request: &[u8], code: u16, reason: &str) -> Self {
        Self::new(request, Class::Error, |writer| {
            writer.put(&ErrorCode { code, reason });
        })
    }

    /// A 401 or a 438.
    pub(crate) fn challenge(request: &[u8], code: u16, realm: &str, nonce: &str) -> Vec<u8> {
        Self::error(request, code, "")
            .put(&Realm(realm))
            .put(&Nonce(nonce))
            .unsigned()
    }

    pub(crate) fn put<'a>(mut self, attribute: &impl Attribute<'a>) -> Self {
        self.rewrite(|writer| {
            writer.put(attribute);
        });
        self
    }

    pub(crate) fn put_raw(mut self, kind: u16, value: &[u8]) -> Self {
        self.rewrite(|writer| {
            writer.put_raw(kind, value);
        });
        self
    }

    /// Leaves an attribute out again.
    pub(crate) fn without(mut self, kind: u16) -> Self {
        let old = std::mem::take(&mut self.bytes);
        self.copy(&old, |attribute| attribute.kind != kind);
        self
    }

    pub(crate) fn unsigned(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn signed(mut self, key: &MacKey) -> Vec<u8> {
        self.rewrite(|writer| {
            writer.sign(key);
        });
        self.bytes
    }

    fn new(request: &[u8], class: Class, write: impl FnOnce(&mut Writer<'_>)) -> Self {
        let request = Message::parse(request).unwrap();
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, request.method(), class, request.transaction());
        write(&mut writer);
        Self { bytes }
    }

    /// Rewrites the answer with more attributes after those that it has.
    fn rewrite(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let old = std::mem::take(&mut self.bytes);
        write(&mut self.copy(&old, |_| true));
    }

    fn copy(&mut self, old: &[u8], keep: impl Fn(&RawAttribute<'_>) -> bool) -> Writer<'_> {
        let message = Message::parse(old).unwrap();
        let (method, class) = (message.method(), message.class());
        let mut writer = Writer::new(&mut self.bytes, method, class, message.transaction());
        for attribute in message.attributes().filter(keep) {
            writer.put_raw(attribute.kind, attribute.value);
        }
        writer
    }
}

/// Asks for credentials and grants everything to clients that have them.
pub(crate) struct Server {
    pub(crate) nonce: &'static str,
    pub(crate) realm: &'static str,
    /// The methods of all requests, in order, refused or not.
    pub(crate) asked: Vec<Method>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            nonce: "nonce-1",
            realm: REALM,
            asked: Vec::new(),
        }
    }

    /// The answer to a request, `None` to a message that wants none.
    pub(crate) fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(packet).ok()?;
        if message.class() != Class::Request {
            return None;
        }
        self.asked.push(message.method());
        if message.method() == Method::Binding {
            return Some(
                Answer::success(packet)
                    .put(&XorMappedAddress(mapped()))
                    .unsigned(),
            );
        }
        if !message.is_signed() {
            return Some(Answer::challenge(packet, 401, self.realm, self.nonce));
        }
        assert_eq!(message.get(), Ok(Some(Username(USERNAME))));
        assert_eq!(message.get(), Ok(Some(Realm(self.realm))));
        let key = key_for(self.realm, PASSWORD);
        if message.verify(&key).is_err() {
            return Some(Answer::challenge(packet, 401, self.realm, self.nonce));
        }
        if message.get() != Ok(Some(Nonce(self.nonce))) {
            return Some(Answer::challenge(packet, 438, self.realm, self.nonce));
        }
        Some(grant(&message).signed(&key))
    }
}

fn grant(request: &Message<'_>) -> Answer {
    let packet = request.as_bytes();
    match request.method() {
        Method::Allocate => grant_allocate(packet),
        Method::Refresh => Answer::success(packet).put(&lifetime(packet)),
        Method::Connect => Answer::success(packet).put(&ConnectionId(7)),
        Method::CreatePermission
        | Method::ChannelBind
        | Method::ConnectionBind
        | Method::ConnectionAttempt
        | Method::Binding
        | Method::Send
        | Method::Data
        | Method::Other(_) => Answer::success(packet),
    }
}

/// The success of an Allocate.
pub(crate) fn grant_allocate(request: &[u8]) -> Answer {
    Answer::success(request)
        .put(&XorRelayedAddress(relayed()))
        .put(&lifetime(request))
        .put(&XorMappedAddress(mapped()))
}

/// The lifetime asked for, or else the default.
fn lifetime(request: &[u8]) -> Lifetime {
    let asked = Message::parse(request).unwrap().get().unwrap();
    asked.unwrap_or(Lifetime(LIFETIME))
}
