//! Realms: where each user is known, and with which realm a client is challenged. RFC 8489 §9.2.
//!
//! A client is challenged with the realm of the listener that it came to. Its user may be of
//! another: `alice@example.org` is alice of the realm `example.org`, if there is one, whatever the
//! listener. She signs with the realm that she was challenged with, since keys are derived over
//! REALM as the client got it and browsers give up on a second challenge. Only a user with a
//! precomputed key must sign with the realm of that key; any 401 to a name of a realm says which
//! that is. Nobody signs with a third realm: a listener's realm would mean nothing if its clients
//! could choose another ([`Realms::may_sign`]).

mod names;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use wire::attributes::UserHash;

use crate::keys::Keys;
use crate::snapshot::{Field, Reader, Unreadable, Writer};
use crate::{Bandwidth, Limits, PortRange, Quotas};
use names::Names;

/// All realms of a server: the default one, and others.
#[derive(Debug)]
pub struct Realms {
    /// The default realm first. Never empty.
    all: Vec<Realm>,
    by_name: BTreeMap<Arc<str>, RealmId>,
    by_listener: BTreeMap<SocketAddr, RealmId>,
    /// The one that clients are challenged with where no other is named.
    default: RealmId,
    /// Whom a USERHASH stands for, once [`Realms::prepare`] was called.
    names: OnceLock<Names>,
    /// Those that earlier rules had. Only allocations know them still.
    gone: BTreeSet<RealmId>,
}

/// A realm beside the default one.
#[derive(Debug)]
pub struct Realm {
    /// Its name, and its users.
    pub keys: Keys,
    /// The addresses of the server at which clients are challenged with it. An unspecified IP
    /// address stands for every one of its family.
    pub listeners: Vec<SocketAddr>,
    /// Allocations of all its users together; `None` is without limit.
    pub total: Option<u32>,
    /// Allocations of each of its users; `None` is as in [`Limits`].
    pub per_user: Option<u32>,
    /// How fast data may pass; `None` is as in [`Limits`].
    pub bandwidth: Bandwidth,
}

/// How far a realm uses its limit of allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmLoad {
    /// Its name.
    pub realm: Arc<str>,
    /// Allocations that its users have.
    pub allocations: u32,
    /// The most of them; `None` is without limit.
    pub limit: Option<u32>,
}

/// A realm of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RealmId(u32);

/// By its place among the realms, whose names stand at the head of a snapshot.
impl Field for RealmId {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let place = u32::read(from)? as usize;
        from.realms.get(place).copied().ok_or(Unreadable::Value)
    }
}

/// The account that an allocation counts against in quotas: a person of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account<'a> {
    pub(crate) realm: RealmId,
    pub(crate) name: &'a str,
}

/// How many allocations an account's realm allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) per_user: u32,
    pub(crate) realm: Option<u32>,
    /// All realms together.
    pub(crate) total: Option<u32>,
}

impl From<Keys> for Realms {
    /// A server with this realm only.
    fn from(keys: Keys) -> Self {
        let mut realms = Self {
            all: Vec::new(),
            by_name: BTreeMap::new(),
            by_listener: BTreeMap::new(),
            default: RealmId(0),
            names: OnceLock::new(),
            gone: BTreeSet::new(),
        };
        realms.add(keys.into());
        realms
    }
}

impl From<Keys> for Realm {
    /// Without listeners and bounds of its own.
    fn from(keys: Keys) -> Self {
        Self {
            keys,
            listeners: Vec::new(),
            total: None,
            per_user: None,
            bandwidth: Bandwidth::default(),
        }
    }
}

impl Realms {
    /// Adds a realm. If two have the same name or listener, the later one counts.
    pub fn add(&mut self, realm: Realm) {
        self.all.push(realm);
        self.index();
    }

    /// The users of the default realm.
    pub fn default_keys(&mut self) -> &mut Keys {
        &mut self.all[self.default.0 as usize].keys
    }

    /// Gives every realm the id that it has in earlier rules. One that is gone keeps its place
    /// without users: what its users opened is still theirs, and nobody else gets its id. Its name
    /// is free: `alice@example.net` may be a name of another realm from now on.
    pub(crate) fn keep_ids_of(&mut self, earlier: &Self) {
        let default = Arc::clone(self.name(self.default));
        let mut new: Vec<Realm> = std::mem::take(&mut self.all);
        for (id, realm) in (0..).map(RealmId).zip(&earlier.all) {
            let name = realm.keys.realm();
            let kept = new.iter().position(|it| it.keys.realm() == name);
            let kept = kept.map(|at| new.remove(at));
            if kept.is_none() {
                self.gone.insert(id);
            }
            self.all
                .push(kept.unwrap_or_else(|| Realm::from(Keys::new(Arc::clone(name)))));
        }
        self.all.extend(new);
        self.index();
        self.default = self.named(&default).unwrap_or(self.default);
    }

    /// Adds a realm that is gone, unless there is one of this name.
    pub(crate) fn keep(&mut self, name: &Arc<str>) {
        if self.named_or_gone(name).is_none() {
            self.gone.insert(RealmId(self.all.len() as u32));
            self.add(Realm::from(Keys::new(Arc::clone(name))));
        }
    }

    /// The realm of this name, also if it is gone.
    pub(crate) fn named_or_gone(&self, name: &str) -> Option<RealmId> {
        let all = (0..).map(RealmId).zip(&self.all);
        let mut named = all.filter(|(_, realm)| **realm.keys.realm() == *name);
        named.next().map(|(id, _)| id)
    }

    /// Whether a realm of earlier rules is gone.
    pub(crate) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The names, in the order of their ids.
    pub(crate) fn names_in_order(&self) -> Vec<Arc<str>> {
        let names = self.all.iter().map(|realm| realm.keys.realm());
        names.map(Arc::clone).collect()
    }

    /// How far each realm that is not gone uses its limit.
    pub fn load(&self, quotas: &Quotas) -> Vec<RealmLoad> {
        let load = |(name, &id): (&Arc<str>, &RealmId)| RealmLoad {
            realm: Arc::clone(name),
            allocations: quotas.of_realm(id),
            limit: self.all[id.0 as usize].total,
        };
        self.by_name.iter().map(load).collect()
    }

    /// By which names and listeners the realms are found.
    fn index(&mut self) {
        self.names = OnceLock::new();
        (self.by_name, self.by_listener) = Default::default();
        for (id, realm) in (0..).map(RealmId).zip(&self.all) {
            if self.gone.contains(&id) {
                continue;
            }
            self.by_name.insert(Arc::clone(realm.keys.realm()), id);
            for listener in &realm.listeners {
                self.by_listener.insert(*listener, id);
            }
        }
    }

    /// Makes the table of hashes, so that no packet has to wait for it.
    pub(crate) fn prepare(&self) {
        self.names.get_or_init(|| Names::of(self));
    }

    /// Whom a hash stands for, as that user spells the name.
    pub(crate) fn spelled(&self, hash: &UserHash) -> Option<&str> {
        self.names.get_or_init(|| Names::of(self)).spelled(hash)
    }

    /// Whether nobody can authenticate: a STUN-only server.
    pub fn is_empty(&self) -> bool {
        self.all.iter().all(|realm| realm.keys.is_empty())
    }

    pub(crate) fn keys(&self, id: RealmId) -> &Keys {
        &self.all[id.0 as usize].keys
    }

    /// The name of a realm.
    pub(crate) fn name(&self, id: RealmId) -> &Arc<str> {
        self.keys(id).realm()
    }

    /// The realm that clients of a server address are challenged with.
    pub(crate) fn at(&self, server: SocketAddr) -> RealmId {
        let every: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let every = SocketAddr::new(every, server.port());
        let found = [server, every].map(|listener| self.by_listener.get(&listener));
        found
            .into_iter()
            .flatten()
            .next()
            .copied()
            .unwrap_or(self.default)
    }

    /// The realm of this name.
    pub(crate) fn named(&self, name: &str) -> Option<RealmId> {
        self.by_name.get(name).copied()
    }

    /// The realm of this name, for a client whose allocation is of the realm `own`: that one may be
    /// gone since.
    pub(crate) fn named_or_own(&self, name: &str, own: Option<RealmId>) -> Option<RealmId> {
        let own = own.filter(|own| self.gone.contains(own) && **self.name(*own) == *name);
        own.or_else(|| self.named(name))
    }

    /// The realm that a user name ends in: `example.org` of `alice@example.org`. `own` is as in
    /// [`Realms::named_or_own`].
    pub(crate) fn of_user(&self, user: &str, own: Option<RealmId>) -> Option<RealmId> {
        let (user, realm) = user.rsplit_once('@')?;
        self.named_or_own(realm, own).filter(|_| !user.is_empty())
    }

    /// Whether a client of a server address may sign with a realm: with the one that it is
    /// challenged with there, or with the one that its user name ends in.
    pub(crate) fn may_sign(&self, user: &str, realm: RealmId, server: SocketAddr) -> bool {
        realm == self.at(server) || self.of_user(user, None) == Some(realm)
    }

    /// The user that a request names: of the realm that the name ends in, or else of the realm that
    /// the request is signed with.
    pub(crate) fn signer<'a>(
        &self,
        username: Cow<'a, str>,
        signed_with: RealmId,
        own: Option<RealmId>,
    ) -> Signer<'a> {
        let realm = self.of_user(&username, own).unwrap_or(signed_with);
        let length = self.keys(realm).own_name(&username).len();
        Signer {
            realm,
            username,
            length,
        }
    }

    /// The account of a user, by the name without the realm.
    pub(crate) fn account<'a>(&'a self, realm: RealmId, user: &'a str) -> Account<'a> {
        let name = self.keys(realm).account(user);
        Account { realm, name }
    }

    /// How fast data of a realm may pass.
    pub(crate) fn bandwidth(&self, realm: RealmId, limits: &Limits) -> Bandwidth {
        let Realm { bandwidth, .. } = self.all[realm.0 as usize];
        bandwidth.or(limits.bandwidth)
    }

    /// Whether any realm has a limit of bandwidth of its own.
    pub(crate) fn limit_bandwidth(&self) -> bool {
        let mut all = self.all.iter();
        all.any(|realm| realm.bandwidth != Bandwidth::default())
    }

    /// The bounds of the number of allocations in a realm, on relay addresses with these ports.
    pub(crate) fn quota(&self, realm: RealmId, limits: &Limits, ports: PortRange) -> Quota {
        let Realm {
            total, per_user, ..
        } = self.all[realm.0 as usize];
        Quota {
            per_user: (per_user.or(limits.per_user)).unwrap_or_else(|| ports.quarter()),
            realm: total,
            total: limits.total,
        }
    }

    /// Whether every user of every realm has a password, and so a key of every kind and realm.
    pub(crate) fn have_passwords(&self) -> bool {
        self.all.iter().all(|realm| realm.keys.has_passwords())
    }

    /// Whether a hash can stand for every name that may come. With several realms a client may be
    /// challenged with a realm that is not its user's. A user with a precomputed key must then be
    /// told its own realm, which a hash does not show, so all users must have passwords.
    pub(crate) fn have_names(&self) -> bool {
        let known = self.all.iter().all(|realm| realm.keys.names().is_some());
        known && (self.all.len() == 1 || self.have_passwords())
    }
}

/// A user as a request names it.
#[derive(Debug)]
pub(crate) struct Signer<'a> {
    /// The realm that the user belongs to.
    pub(crate) realm: RealmId,
    /// The name as the client spells it.
    username: Cow<'a, str>,
    /// The length of the part of `username` before the realm.
    length: usize,
}

impl<'a> Signer<'a> {
    /// The name as the client spells it.
    pub(crate) fn username(&self) -> &str {
        &self.username
    }

    /// The name without the realm.
    pub(crate) fn user(&self) -> &str {
        &self.username[..self.length]
    }

    /// The name without the realm.
    pub(crate) fn into_user(self) -> Cow<'a, str> {
        match self.username {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..self.length]),
            Cow::Owned(mut name) => {
                name.truncate(self.length);
                Cow::Owned(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realms() -> Realms {
        let mut realms = Realms::from(Keys::new("example.org"));
        let listeners = ["198.51.100.1:3478", "0.0.0.0:3479"];
        realms.add(Realm {
            keys: Keys::new("example.net"),
            listeners: listeners.map(|listener| listener.parse().unwrap()).into(),
            total: None,
            per_user: None,
            bandwidth: Bandwidth::default(),
        });
        realms
    }

    #[test]
    fn a_realm_of_a_snapshot_that_is_gone_keeps_a_place_and_its_name_is_free() {
        let mut realms = Realms::from(Keys::new("example.org"));
        let gone = Arc::from("example.net");
        for _ in 0..2 {
            realms.keep(&gone);
        }
        assert_eq!(realms.all.len(), 2);
        assert_eq!(realms.named(&gone), None);
        assert_eq!(realms.named_or_gone(&gone), Some(RealmId(1)));
        let full_name = "dave@example.net";
        let signer = realms.signer(full_name.into(), RealmId(0), None);
        assert_eq!(signer.user(), full_name);
    }

    #[test]
    fn a_listener_has_its_realm_or_the_default_one() {
        let realms = realms();
        for (server, realm) in [
            ("198.51.100.1:3478", "example.net"),
            ("198.51.100.2:3478", "example.org"),
            ("198.51.100.2:3479", "example.net"),
            ("[2001:db8::1]:3479", "example.org"),
        ] {
            let at = realms.at(server.parse().unwrap());
            assert_eq!(&**realms.name(at), realm, "{server}");
        }
    }

    #[test]
    fn a_user_is_of_the_realm_in_the_name_if_there_is_one() {
        let realms = realms();
        let signed_with = realms.named("example.net").unwrap();
        for (username, user, realm) in [
            ("alice", "alice", "example.net"),
            ("alice@example.net", "alice", "example.net"),
            ("alice@example.org", "alice", "example.org"),
            ("17:alice@example.org", "17:alice", "example.org"),
            ("alice@example.com", "alice@example.com", "example.net"),
            ("@example.org", "@example.org", "example.net"),
        ] {
            for username in [Cow::Borrowed(username), Cow::Owned(username.to_owned())] {
                let signer = realms.signer(username, signed_with, None);
                assert_eq!(signer.user(), user);
                assert_eq!(&**realms.name(signer.realm), realm);
                assert_eq!(signer.into_user(), user);
            }
        }
    }
}
