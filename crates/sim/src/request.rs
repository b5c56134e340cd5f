//! A message from a client, right or wrong in every detail that a test cares for.

use std::net::SocketAddr;
use std::time::Duration;

use wire::attributes::{
    AccessToken, AdditionalAddressFamily, ChannelNumberAttribute, ConnectionId, Data, DontFragment,
    EvenPort, Lifetime, MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    RequestedAddressFamily, RequestedTransport, ReservationToken, Username, XorPeerAddress,
};
use wire::{
    AddressFamily, Algorithm, Attribute, Class, Key, MacKey, Method, TransactionId, Writer,
};

/// A request or an indication that is still to be written. Requests are signed unless they say
/// otherwise, with the user, password, realm and nonce that the client has.
pub struct Request {
    method: Method,
    class: Class,
    attributes: Vec<Put>,
    behind_integrity: Vec<Put>,
    signed: bool,
    user: Option<(String, String)>,
    nonce: Option<String>,
    without: Vec<u16>,
    transaction: Option<TransactionId>,
    fingerprint: bool,
    proof: Proof,
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// As in RFC 5389: an MD5 key, MESSAGE-INTEGRITY, no algorithm is named.
    Old,
    /// As in RFC 8489: this algorithm is chosen from the offer, and MESSAGE-INTEGRITY-SHA256 signs.
    New(PasswordAlgorithm),
    /// As no RFC allows: this algorithm is chosen, and still MESSAGE-INTEGRITY signs.
    Mixed(PasswordAlgorithm),
}

type Put = Box<dyn Fn(&mut Writer<'_>)>;

/// The credentials of a client.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    /// The algorithms that the server offered.
    pub(crate) algorithms: Vec<u8>,
    /// In place of a password: a token of an authorization server.
    pub(crate) token: Option<AccessGrant>,
}

/// An access token, and the key in it.
#[derive(Clone, Debug)]
pub struct AccessGrant {
    /// The id of the key that sealed the token, sent in USERNAME.
    pub kid: String,
    /// The token, sent in ACCESS-TOKEN.
    pub token: Vec<u8>,
    /// The key that signs.
    pub mac_key: Vec<u8>,
}

impl AccessGrant {
    /// The key that signs.
    pub(crate) fn key(&self, integrity: Algorithm) -> MacKey {
        Key::precomputed(&self.mac_key).schedule(integrity)
    }
}

impl Credentials {
    /// The token whose key has this name.
    pub(crate) fn token_of(&self, username: &str) -> Option<&AccessGrant> {
        self.token.as_ref().filter(|grant| grant.kid == username)
    }
}

impl Proof {
    const fn integrity(self) -> Algorithm {
        match self {
            Self::Old | Self::Mixed(_) => Algorithm::Sha1,
            Self::New(_) => Algorithm::Sha256,
        }
    }

    /// The key that signs.
    pub(crate) fn key(self, username: &str, realm: &str, password: &str) -> MacKey {
        let key = match self.chosen() {
            Some(PasswordAlgorithm::SHA256) => Key::sha256(username, realm, password),
            Some(_) | None => Key::md5(username, realm, password),
        };
        key.schedule(self.integrity())
    }

    const fn chosen(self) -> Option<PasswordAlgorithm> {
        match self {
            Self::Old => None,
            Self::New(chosen) | Self::Mixed(chosen) => Some(chosen),
        }
    }
}

impl Request {
    /// A request without attributes, signed.
    pub const fn new(method: Method) -> Self {
        Self {
            method,
            class: Class::Request,
            attributes: Vec::new(),
            behind_integrity: Vec::new(),
            signed: true,
            user: None,
            nonce: None,
            without: Vec::new(),
            transaction: None,
            fingerprint: false,
            proof: Proof::Old,
        }
    }

    /// A Binding request, unsigned.
    pub const fn binding() -> Self {
        Self::new(Method::Binding).unsigned()
    }

    /// An Allocate request for UDP.
    pub fn allocate() -> Self {
        Self::new(Method::Allocate).put(RequestedTransport::UDP)
    }

    /// An Allocate request for TCP. RFC 6062 §4.1.
    pub fn allocate_tcp() -> Self {
        Self::new(Method::Allocate).put(RequestedTransport::TCP)
    }

    /// A Connect request. RFC 6062 §4.3.
    pub fn connect(peer: impl Into<SocketAddr>) -> Self {
        Self::new(Method::Connect).peer(peer)
    }

    /// A ConnectionBind request. RFC 6062 §4.3.
    pub fn connection_bind(connection: ConnectionId) -> Self {
        Self::new(Method::ConnectionBind).put(connection)
    }

    /// A Refresh request.
    pub fn refresh(lifetime: Duration) -> Self {
        Self::new(Method::Refresh).lifetime(lifetime)
    }

    /// A CreatePermission request.
    pub fn create_permission<P: Into<SocketAddr>>(peers: impl IntoIterator<Item = P>) -> Self {
        let request = Self::new(Method::CreatePermission);
        peers
            .into_iter()
            .fold(request, |request, peer| request.peer(peer))
    }

    /// A ChannelBind request.
    pub fn channel_bind(number: u16, peer: impl Into<SocketAddr>) -> Self {
        Self::new(Method::ChannelBind)
            .put(ChannelNumberAttribute(number))
            .peer(peer)
    }

    /// A Send indication.
    pub fn send(peer: impl Into<SocketAddr>, payload: &[u8]) -> Self {
        Self::indication(Method::Send)
            .peer(peer)
            .put_raw(Data::TYPE, payload)
    }

    /// An indication without attributes, unsigned.
    pub const fn indication(method: Method) -> Self {
        let mut indication = Self::new(method).unsigned();
        indication.class = Class::Indication;
        indication
    }

    /// A success response, which no client sends.
    pub const fn response(method: Method) -> Self {
        let mut response = Self::new(method);
        response.class = Class::Success;
        response
    }

    /// With an attribute.
    pub fn put(mut self, attribute: impl Attribute<'static> + 'static) -> Self {
        self.attributes.push(Box::new(move |writer| {
            writer.put(&attribute);
        }));
        self
    }

    /// With an attribute of any type and value.
    pub fn put_raw(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes.push(raw(kind, value));
        self
    }

    /// With LIFETIME.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        let seconds = u32::try_from(lifetime.as_secs()).expect("a lifetime fits its attribute");
        self.put(Lifetime(seconds))
    }

    /// With REQUESTED-ADDRESS-FAMILY.
    pub fn family(self, family: AddressFamily) -> Self {
        self.put(RequestedAddressFamily(Ok(family)))
    }

    /// With ADDITIONAL-ADDRESS-FAMILY: for a dual allocation.
    pub fn dual(self) -> Self {
        self.put(AdditionalAddressFamily(Ok(AddressFamily::V6)))
    }

    /// With DONT-FRAGMENT.
    pub fn dont_fragment(self) -> Self {
        self.put(DontFragment)
    }

    /// With EVEN-PORT that asks for the next port to be reserved.
    pub fn reserve_next(self) -> Self {
        self.put(EvenPort { reserve_next: true })
    }

    /// With RESERVATION-TOKEN.
    pub fn reserved(self, token: ReservationToken) -> Self {
        self.put(token)
    }

    /// With MOBILITY-TICKET: empty, it asks for one.
    pub fn ticket(self, ticket: &[u8]) -> Self {
        self.put_raw(MobilityTicket::TYPE, ticket)
    }

    /// With XOR-PEER-ADDRESS.
    pub fn peer(self, peer: impl Into<SocketAddr>) -> Self {
        self.put(XorPeerAddress(peer.into()))
    }

    /// With an attribute behind MESSAGE-INTEGRITY, where it is not signed.
    pub fn behind_integrity(mut self, kind: u16, value: &[u8]) -> Self {
        self.behind_integrity.push(raw(kind, value));
        self
    }

    /// Without credentials.
    pub const fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    /// Signed by another user.
    pub fn as_user(mut self, username: &str, password: &str) -> Self {
        self.user = Some((username.to_owned(), password.to_owned()));
        self
    }

    /// Signed under another nonce than the client has.
    pub fn nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.to_owned());
        self
    }

    /// Signed in this way.
    pub const fn proof(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    /// Signed, but without this attribute of those that signing adds.
    pub fn without(mut self, kind: u16) -> Self {
        self.without.push(kind);
        self
    }

    /// With this transaction id.
    pub const fn in_transaction(mut self, transaction: TransactionId) -> Self {
        self.transaction = Some(transaction);
        self
    }

    /// With FINGERPRINT at its end.
    pub const fn fingerprint(mut self) -> Self {
        self.fingerprint = true;
        self
    }

    pub(crate) const fn is_signed(&self) -> bool {
        self.signed
    }

    /// RFC 7635 §9: Allocate and Refresh carry it, other requests name its key only.
    fn carries_token(&self) -> bool {
        matches!(
            self.method,
            Method::Allocate | Method::Refresh | Method::ConnectionBind
        ) && !self.without.contains(&AccessToken::TYPE)
    }

    /// The message.
    pub(crate) fn write(&self, own: &Credentials, next: TransactionId) -> Vec<u8> {
        let (username, password) = match &self.user {
            Some((username, password)) => (username, password),
            None => (&own.username, &own.password),
        };
        let nonce = self.nonce.as_ref().unwrap_or(&own.nonce);
        let token = own.token_of(username);
        let key = match token {
            Some(grant) => grant.key(self.proof.integrity()),
            None => self.proof.key(username, &own.realm, password),
        };

        let transaction = self.transaction.unwrap_or(next);
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, self.method, self.class, transaction);
        for put in &self.attributes {
            put(&mut writer);
        }
        if self.signed {
            if !self.without.contains(&Username::TYPE) {
                writer.put(&Username(username));
            }
            if !self.without.contains(&Realm::TYPE) {
                writer.put(&Realm(&own.realm));
            }
            if !self.without.contains(&Nonce::TYPE) {
                writer.put(&Nonce(nonce));
            }
            if let Some(grant) = token.filter(|_| self.carries_token()) {
                writer.put(&AccessToken(&grant.token));
            }
            if let Some(chosen) = self.proof.chosen() {
                if !self.without.contains(&PasswordAlgorithm::TYPE) {
                    writer.put(&chosen);
                }
                if !self.without.contains(&PasswordAlgorithms::TYPE) {
                    writer.put(&PasswordAlgorithms(&own.algorithms));
                }
            }
            writer.sign(&key);
        }
        for put in &self.behind_integrity {
            put(&mut writer);
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        bytes
    }
}

fn raw(kind: u16, value: &[u8]) -> Put {
    let value = value.to_vec();
    Box::new(move |writer| {
        writer.put_raw(kind, &value);
    })
}
