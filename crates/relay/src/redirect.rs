//! Rules that send clients to another server: ALTERNATE-SERVER. RFC 8489 §10, RFC 8656 §7.2 step 11.
//!
//! **A rule for everyone** answers the first Allocate, before the client has shown who it is, and so
//! unsigned. Chromium and all that is built on libwebrtc take the nonce of the first server along,
//! sign the next request with it, and give up when the next server refuses that nonce: sent on by a
//! signed 300 they would get no relay at all. A client that has no nonce yet asks the next server for
//! one. RFC 8489 §10 leaves it open whether a 300 is signed, while §14.8 wants it signed, so that
//! nobody on the way can write one. These clients follow an unsigned 300, so that somebody on the way
//! can write one whether this server signs its own or not.
//!
//! **A rule for one realm** is decided when a request is signed, since only then the realm is known.
//! It needs a secret of the nonces that the servers share ([`crate::Config::nonce_secret`]): the
//! signed 300 then has REALM and a fresh NONCE, and the next server takes the very next request of
//! all clients that follow a 300.
//!
//! **A rule for everyone may meet a signed request**, too: a client was challenged, and before it
//! answered the rule began to hold. Where the nonces are shared it is sent on as above. Where they
//! are not, Firefox, libnice and libjuice can follow and Chromium cannot, and the server cannot see
//! which of them it is. So a rule over a load lets the client stay while there is room, and sends it
//! on in place of a 508. A server that drains, or sends everyone on, has nothing better than the 300.
//!
//! **Over TLS and DTLS** a client checks whether the next server's certificate holds the name that it
//! came for, so that a rule without a [`Redirect::domain`] leaves it here. With one the 300 has
//! ALTERNATE-DOMAIN. No browser reads that: Chromium checks the address, Firefox the name of the
//! first server.
//!
//! A client that has an allocation here, or a port that was reserved for it, is never sent on.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::realms::RealmId;
use crate::{ClientTuple, Quotas, Transport};

/// A rule that sends clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The servers that clients are sent to; chance picks one. Only those of the client's family
    /// and transport count: a client keeps the transport and may have no other family. With none of
    /// these the client is not redirected.
    pub to: Vec<Target>,
    /// When the rule holds.
    pub when: When,
    /// The realm whose users it concerns, if not all; needs [`crate::Config::nonce_secret`].
    pub realm: Option<Arc<str>>,
    /// The name that the certificates of these servers hold, an ASCII name of DNS of at most 255 bytes.
    /// Without it clients over TLS and DTLS stay. RFC 8489 §14.16.
    pub domain: Option<Arc<str>>,
}

/// The address of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// The transport that it speaks there; `None` is both UDP and TCP, and neither TLS nor DTLS.
    pub transport: Option<Transport>,
}

/// When a [`Redirect`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It holds for every new allocation.
    Always,
    /// It holds while the server drains.
    Draining,
    /// It holds while there are at least so many allocations, of the rule's realm or in all.
    Allocations(u32),
}

/// The server that a client is to try instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Its address of the family that the client came with.
    pub same: SocketAddr,
    /// Its address of the other family.
    pub other: Option<SocketAddr>,
    /// The name that its certificate holds, for a client that will check it.
    pub domain: Option<Arc<str>>,
}

impl Redirect {
    /// Whether the rule holds now; `realm` is the one that it names.
    pub(crate) fn holds(&self, quotas: &Quotas, realm: Option<RealmId>) -> bool {
        match self.when {
            When::Always => true,
            When::Draining => quotas.is_draining(),
            When::Allocations(limit) => {
                realm.map_or_else(|| quotas.total(), |realm| quotas.of_realm(realm)) >= limit
            }
        }
    }

    /// The alternate that the rule gives a client, if it has one for the client's family and
    /// transport.
    pub(crate) fn alternate(&self, client: ClientTuple, chance: u32) -> Option<Alternate> {
        let is_same = |to: &SocketAddr| to.is_ipv4() == client.client.is_ipv4();
        let same = self.one_of(client.transport, is_same, chance)?;
        let other = self.one_of(client.transport, |to| !is_same(to), chance);
        let domain = if client.transport.is_secure() {
            Some(Arc::clone(self.domain.as_ref()?))
        } else {
            None
        };
        Some(Alternate {
            same,
            other,
            domain,
        })
    }

    fn one_of(
        &self,
        transport: Transport,
        wanted: impl Fn(&SocketAddr) -> bool,
        chance: u32,
    ) -> Option<SocketAddr> {
        let speaking = || self.to.iter().filter(|to| to.speaks(transport));
        let all = || speaking().map(|to| to.address).filter(|to| wanted(to));
        let count = all().count();
        all().nth(chance as usize % count.max(1))
    }
}

impl Target {
    /// Whether clients of this transport may be sent there.
    pub fn speaks(self, transport: Transport) -> bool {
        match self.transport {
            Some(own) => own == transport,
            None => !transport.is_secure(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Some(transport) => write!(f, "{}/{}", self.address, transport.name()),
            None => write!(f, "{}", self.address),
        }
    }
}

impl From<SocketAddr> for Target {
    /// A target for UDP and TCP.
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            transport: None,
        }
    }
}
