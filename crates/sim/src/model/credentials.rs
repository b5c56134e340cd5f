//! The signer of a request. RFC 8489 §9.2.4; the checks are in its order.

use relay::ClientTuple;
use wire::attributes::{
    MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UserHash, Username,
};
use wire::{Algorithm, Attribute, Key, Message, Method};

use super::expect::{Refusal, Reply, refuse};
use super::{Allocation, Expect, Model, Sha256};

/// A user who has authenticated.
pub(super) struct Signer {
    pub(super) user: String,
    /// The algorithm that the answer is signed with.
    pub(super) algorithm: Algorithm,
    /// The second in which the nonce was made.
    pub(super) nonce: u64,
    /// Whether an algorithm of RFC 8489 was chosen or used.
    pub(super) knows_rfc8489: bool,
}

impl Model {
    /// A TURN request: first its signer, then unknown attributes, then the request itself.
    pub(super) fn request(&mut self, from: ClientTuple, message: &Message<'_>) -> Expect {
        let reply = Reply::to(message);
        let signer = match self.authenticate(from, message) {
            Ok(signer) => signer,
            Err(refusal) => {
                // A challenge has the attributes that the client needs for its next try.
                let challenge = matches!(refusal.code, 401 | 438);
                let mut reply = reply.refused(refusal);
                reply.challenge = challenge;
                if challenge {
                    reply.algorithms = self.offer();
                }
                return Expect::Reply(reply);
            }
        };
        let reply = reply.signed(signer.algorithm);
        let unknown = unknown(message);
        let refusal = Refusal {
            unknown,
            ..refuse(420, "unknown-attributes")
        };
        if !refusal.unknown.is_empty() {
            return Expect::Reply(reply.refused(refusal));
        }
        match self.granted_to(from, &signer, message, reply.clone()) {
            Ok(expect) => expect,
            Err(refusal) => Expect::Reply(reply.refused(refusal)),
        }
    }

    fn authenticate(&self, from: ClientTuple, message: &Message<'_>) -> Result<Signer, Refusal> {
        if !message.is_signed() {
            return Err(refuse(401, "challenge"));
        }
        let user = self.user(message)?;
        let incomplete = || refuse(400, "incomplete-credentials");
        let Realm(realm) = message.get()?.ok_or_else(incomplete)?;
        let Nonce(nonce) = message.get()?.ok_or_else(incomplete)?;
        // RFC 7635 §7: the server did not ask for a token.
        if message.attributes().any(|found| found.kind == 0x001B) {
            let unknown = unknown(message);
            let refusal = refuse(420, "unknown-attributes");
            return Err(Refusal { unknown, ..refusal });
        }

        let chosen = self.chosen(message)?;
        // A client that names no algorithm is one of RFC 5389, and answered as such. Of two
        // integrity attributes the better one is checked, where SHA-256 is on.
        let password = chosen.unwrap_or(PasswordAlgorithm::MD5);
        let is_offered = self.terms.sha256 != Sha256::Off;
        let integrity = message.integrity().filter(|_| is_offered);
        let integrity = integrity.unwrap_or(Algorithm::Sha1);
        let answer = chosen.map_or(Algorithm::Sha1, |_| Algorithm::Sha256);
        let is_new = password == PasswordAlgorithm::SHA256 && integrity == Algorithm::Sha256;
        if self.terms.sha256 == Sha256::Require && !is_new {
            return Err(refuse(401, "sha256-required"));
        }
        if realm != self.terms.realm {
            return Err(refuse(401, "unknown-realm"));
        }
        // A stranger whose nonce is none of ours is not to have a store asked.
        let nonce = self.issued(from, message, nonce, user.as_deref());
        if self.terms.remote && nonce.is_none() {
            return Err(refuse(438, "stale-nonce"));
        }
        let known = user.and_then(|user| self.terms.users.get_key_value(&user));
        let (user, secret) = known.ok_or_else(|| refuse(401, "unknown-user"))?;
        let key = if password == PasswordAlgorithm::SHA256 {
            Key::sha256(user, &self.terms.realm, secret)
        } else {
            Key::md5(user, &self.terms.realm, secret)
        };
        if message.verify(&key.schedule(integrity)).is_err() {
            return Err(refuse(401, "bad-integrity"));
        }
        let nonce = nonce.ok_or_else(|| refuse(438, "stale-nonce"))?;
        let is_sha256 = integrity == Algorithm::Sha256;
        Ok(Signer {
            user: user.clone(),
            algorithm: answer,
            nonce,
            // The attribute counts even where nothing is offered.
            knows_rfc8489: is_sha256 || message.get::<PasswordAlgorithm>()?.is_some(),
        })
    }

    /// The second in which a nonce was made, if it is good for a user at this 5-tuple. That with
    /// which an allocation was made, and every later one, is good as long as it lives.
    fn issued(
        &self,
        from: ClientTuple,
        message: &Message<'_>,
        nonce: &str,
        user: Option<&str>,
    ) -> Option<u64> {
        let own = self.concerned(from, message);
        let opened_with = own.filter(|it| Some(&*it.user) == user);
        let opened_with = opened_with.map(|it| it.opened_with);
        let (source, issued) = self.nonces.get(nonce)?;
        let is_young = self.now.as_secs() - issued < self.terms.nonce_lifetime;
        let is_of_allocation = opened_with.is_some_and(|opened_with| opened_with <= *issued);
        let is_good = source.ip() == from.client.ip() && (is_young || is_of_allocation);
        is_good.then_some(*issued)
    }

    /// The allocation that a request concerns: of its 5-tuple, or else of its ticket.
    fn concerned(&self, from: ClientTuple, message: &Message<'_>) -> Option<&Allocation> {
        if let Some(allocation) = self.of(from) {
            return Some(allocation);
        }
        let ticket: Option<MobilityTicket<'_>> = message.get().ok()?;
        let MobilityTicket(ticket) = ticket.filter(|_| message.method() == Method::Refresh)?;
        let (id, _) = self.tickets.get(ticket)?;
        self.allocations.get(id)
    }

    /// The user of a request: by USERNAME, or by USERHASH where that is offered.
    fn user(&self, message: &Message<'_>) -> Result<Option<String>, Refusal> {
        if let Some(Username(name)) = message.get()? {
            return Ok(Some(name.to_owned()));
        }
        let hash: Option<UserHash> = message.get()?;
        let is_offered = self.terms.sha256 != Sha256::Off && !self.terms.remote;
        if let Some(hash) = hash.filter(|_| is_offered) {
            let realm = &self.terms.realm;
            let mut names = self.terms.users.keys();
            return Ok(names
                .find(|name| UserHash::of(name, realm) == hash)
                .cloned());
        }
        Err(refuse(400, "incomplete-credentials"))
    }

    /// The algorithm that a request names. Both attributes must be there, and the offer echoed, or
    /// an attacker between has shortened it.
    fn chosen(&self, message: &Message<'_>) -> Result<Option<PasswordAlgorithm>, Refusal> {
        if self.terms.sha256 == Sha256::Off {
            return Ok(None);
        }
        let chosen: Option<PasswordAlgorithm> = message.get()?;
        let echo: Option<PasswordAlgorithms<'_>> = message.get()?;
        match (chosen, echo) {
            (None, None) => Ok(None),
            (Some(chosen), Some(PasswordAlgorithms(echo)))
                if echo == self.offer() && self.terms.algorithms().contains(&chosen) =>
            {
                Ok(Some(chosen))
            }
            (Some(_), _) | (None, Some(_)) => Err(refuse(400, "bid-down")),
        }
    }

    /// The value of PASSWORD-ALGORITHMS: numbers, each with no parameters. RFC 8489 §14.11.
    fn offer(&self) -> Vec<u8> {
        let all = self.terms.algorithms().iter();
        all.flat_map(|algorithm| [0, algorithm.0 as u8, 0, 0])
            .collect()
    }

    /// Notes a nonce that was handed out. It is good from every port of the source, and still no
    /// two clients may get the same.
    ///
    /// # Errors
    /// If another client got it.
    pub(crate) fn heard_nonce(&mut self, client: ClientTuple, nonce: &str) -> Result<(), String> {
        let issued = (client.client, self.now.as_secs());
        match self.nonces.insert(nonce.to_owned(), issued) {
            Some((other, _)) => Err(format!(
                "the nonce {nonce} was handed out to {other} before"
            )),
            None => Ok(()),
        }
    }
}

/// RFC 8489 §6.3.1: comprehension-required attributes that are not known. A known one that has no
/// place here is ignored (§6.3).
pub(super) fn unknown(message: &Message<'_>) -> Vec<u16> {
    message.unknown_required(KNOWN).collect()
}

/// The comprehension-required attributes of RFC 8489 §18.3.1 and RFC 8656 §18.
const KNOWN: &[u16] = &[
    0x0001, // MAPPED-ADDRESS
    Username::TYPE,
    0x0008, // MESSAGE-INTEGRITY
    0x0009, // ERROR-CODE
    0x000A, // UNKNOWN-ATTRIBUTES
    0x000C, // CHANNEL-NUMBER
    0x000D, // LIFETIME
    0x0012, // XOR-PEER-ADDRESS
    0x0013, // DATA
    Realm::TYPE,
    Nonce::TYPE,
    0x0016, // XOR-RELAYED-ADDRESS
    0x0017, // REQUESTED-ADDRESS-FAMILY
    0x0018, // EVEN-PORT
    0x0019, // REQUESTED-TRANSPORT
    0x001A, // DONT-FRAGMENT
    0x001C, // MESSAGE-INTEGRITY-SHA256
    PasswordAlgorithm::TYPE,
    UserHash::TYPE,
    0x0020, // XOR-MAPPED-ADDRESS
    0x0022, // RESERVATION-TOKEN
];
