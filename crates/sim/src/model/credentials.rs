//! The signer of a request. RFC 8489 §9.2.4; the checks are in its order.

use relay::{ClientTuple, DropReason};
use wire::attributes::{
    Lifetime, MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UserHash,
    Username,
};
use wire::{Algorithm, Attribute, Key, Message, Method};

use super::expect::{Refusal, Reply, refuse};
use super::{Account, Allocation, Expect, Model, Sha256};

/// A user who has authenticated.
pub(super) struct Signer {
    pub(super) user: Account,
    /// The key that signed, and the algorithm of the answer.
    pub(super) key: (Key, Algorithm),
    /// The algorithm that the answer is signed with.
    pub(super) algorithm: Algorithm,
    /// The second in which the nonce was made.
    pub(super) nonce: u64,
    /// Whether an algorithm of RFC 8489 was chosen or used.
    pub(super) knows_rfc8489: bool,
}

/// The algorithms of a request. RFC 8489 §9.2.4.
struct Algorithms {
    password: PasswordAlgorithm,
    integrity: Algorithm,
    answer: Algorithm,
}

impl Model {
    /// A TURN request: first its signer, then unknown attributes, then the request itself.
    pub(super) fn request(&mut self, from: ClientTuple, message: &Message<'_>) -> Expect {
        let reply = Reply::to(message);
        let signer = match self.authenticate(from, message) {
            Ok(signer) => signer,
            Err(refusal) => {
                let is_failure = matches!(refusal.cause, "bad-integrity" | "unknown-user");
                if is_failure && !self.answers_failure(from.client) {
                    return Expect::Lost(DropReason::TooManyFailures);
                }
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
        let user = self.user(from, message)?;
        let incomplete = || refuse(400, "incomplete-credentials");
        let Realm(realm) = message.get()?.ok_or_else(incomplete)?;
        let Nonce(nonce) = message.get()?.ok_or_else(incomplete)?;
        // RFC 7635 §7: the server did not ask for a token.
        if message.attributes().any(|found| found.kind == 0x001B) {
            let unknown = unknown(message);
            let refusal = refuse(420, "unknown-attributes");
            return Err(Refusal { unknown, ..refusal });
        }

        let algorithms = self.algorithms(message);
        if !self.has_changed {
            algorithms.as_ref().map_err(Clone::clone)?;
        }
        // A realm that is gone is known only where there is still an allocation of it.
        let is_of_own = self.of(from).is_some_and(|own| own.user.0 == realm);
        if realm != self.terms.realm && !is_of_own {
            return Err(refuse(401, "unknown-realm"));
        }
        let name = user.unwrap_or_default();
        let account = (realm.to_owned(), name.clone());
        let own = self.concerned(from, message);
        let own = own.filter(|it| it.user == account && !self.is_in_vain(message, &account));
        let issued = self.issued(from, nonce, own);
        let issued = issued.ok_or_else(|| refuse(438, "stale-nonce"));
        // An allocation keeps the key that it was made with, whatever the terms are by now.
        let kept = own.map(|it| it.key.clone()).filter(|(key, answer)| {
            let is_as_offered = algorithms
                .as_ref()
                .is_ok_and(|it| (it.answer, it.integrity) == (*answer, *answer));
            let is_as_before = self.has_changed && message.integrity() == Some(*answer);
            (is_as_offered || is_as_before) && message.verify(&key.schedule(*answer)).is_ok()
        });
        let key = match kept {
            Some(key) => key,
            // A realm that is gone is not the listener's, and signs nothing new.
            None if realm != self.terms.realm => return Err(refuse(401, "unknown-realm")),
            None => {
                let algorithms = algorithms?;
                // A stranger whose nonce is none of ours is not to have a store asked.
                if self.terms.remote && realm == self.terms.realm {
                    issued.clone()?;
                }
                self.key(realm, &name, message, &algorithms)?
            }
        };
        let is_sha256 = self.integrity(message) == Algorithm::Sha256;
        Ok(Signer {
            user: account,
            algorithm: key.1,
            key,
            nonce: issued?,
            // The attribute counts even where nothing is offered.
            knows_rfc8489: is_sha256 || message.get::<PasswordAlgorithm>()?.is_some(),
        })
    }

    /// Whether a request would prolong what a user has who was taken away. A store does not say that
    /// of its users.
    fn is_in_vain(&self, message: &Message<'_>, (realm, name): &Account) -> bool {
        let prolongs =
            message.method() == Method::Refresh && message.get() != Ok(Some(Lifetime(0)));
        let is_known = *realm == self.terms.realm
            && (self.terms.remote || self.terms.users.contains_key(name));
        prolongs && !is_known
    }

    /// The integrity attribute that counts: of two the better one, where SHA-256 is on.
    fn integrity(&self, message: &Message<'_>) -> Algorithm {
        let is_offered = self.terms.sha256 != Sha256::Off;
        let integrity = message.integrity().filter(|_| is_offered);
        integrity.unwrap_or(Algorithm::Sha1)
    }

    /// The algorithms of a request, if they are such as are offered now. A client that names none
    /// is one of RFC 5389, and answered as such.
    fn algorithms(&self, message: &Message<'_>) -> Result<Algorithms, Refusal> {
        let chosen = self.chosen(message)?;
        let algorithms = Algorithms {
            password: chosen.unwrap_or(PasswordAlgorithm::MD5),
            integrity: self.integrity(message),
            answer: chosen.map_or(Algorithm::Sha1, |_| Algorithm::Sha256),
        };
        let is_new = algorithms.password == PasswordAlgorithm::SHA256
            && algorithms.integrity == Algorithm::Sha256;
        if self.terms.sha256 == Sha256::Require && !is_new {
            return Err(refuse(401, "sha256-required"));
        }
        Ok(algorithms)
    }

    /// The key of a user of these terms, if it signed, and the algorithm of the answer.
    fn key(
        &self,
        realm: &str,
        name: &str,
        message: &Message<'_>,
        algorithms: &Algorithms,
    ) -> Result<(Key, Algorithm), Refusal> {
        let known = self.terms.users.get(name);
        let secret = known.filter(|_| realm == self.terms.realm);
        let secret = secret.ok_or_else(|| refuse(401, "unknown-user"))?;
        let key = if algorithms.password == PasswordAlgorithm::SHA256 {
            Key::sha256(name, realm, secret)
        } else {
            Key::md5(name, realm, secret)
        };
        match message.verify(&key.schedule(algorithms.integrity)) {
            Ok(()) => Ok((key, algorithms.answer)),
            Err(_) => Err(refuse(401, "bad-integrity")),
        }
    }

    /// The second in which a nonce was made, if it is good for a request of this 5-tuple. That with
    /// which the signer's own allocation was made, and every later one, is good as long as it
    /// lives. Others must begin as nonces do now.
    fn issued(&self, from: ClientTuple, nonce: &str, own: Option<&Allocation>) -> Option<u64> {
        let (source, issued) = self.nonces.get(nonce)?;
        let is_young = self.now.as_secs() - issued < self.terms.nonce_lifetime;
        let is_of_allocation = own.is_some_and(|own| own.opened_with <= *issued);
        let is_good = source.ip() == from.client.ip()
            && (self.terms.begins_so(nonce) || own.is_some())
            && (is_young || is_of_allocation);
        is_good.then_some(*issued)
    }

    /// The allocation that a request concerns: of its 5-tuple, or else of its ticket or
    /// connection.
    fn concerned(&self, from: ClientTuple, message: &Message<'_>) -> Option<&Allocation> {
        if let Some(allocation) = self.of(from) {
            return Some(allocation);
        }
        if message.method() == Method::ConnectionBind {
            return self.of_connection(message.get().ok()??);
        }
        let ticket: Option<MobilityTicket<'_>> = message.get().ok()?;
        let MobilityTicket(ticket) = ticket.filter(|_| message.method() == Method::Refresh)?;
        let (id, _) = self.tickets.get(ticket)?;
        self.allocations.get(id)
    }

    /// The user of a request: by USERNAME, or by USERHASH where that is offered, or else if it is that
    /// of an allocation that earlier terms may have granted.
    fn user(&self, from: ClientTuple, message: &Message<'_>) -> Result<Option<String>, Refusal> {
        if let Some(Username(name)) = message.get()? {
            return Ok(Some(name.to_owned()));
        }
        let incomplete = || refuse(400, "incomplete-credentials");
        let hash: UserHash = message.get()?.ok_or_else(incomplete)?;
        let is_offered = self.terms.hides_users();
        let mut users = self.terms.users.keys().filter(|_| is_offered);
        let known = users.find(|name| UserHash::of(name, &self.terms.realm) == hash);
        let own = self.of(from).filter(|_| self.has_changed);
        let own = own.map(|own| &own.user.1).filter(|name| {
            let realm = message.get().ok().flatten();
            realm.is_some_and(|Realm(realm)| UserHash::of(name, realm) == hash)
        });
        match known.or(own) {
            None if !is_offered => Err(incomplete()),
            name => Ok(name.cloned()),
        }
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
    0x002A, // CONNECTION-ID
];
