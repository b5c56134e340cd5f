//! Keys from a store outside the process: those at hand, those being fetched, and the requests that
//! wait for them.
//!
//! The core does not wait for a store, and no packet but the one that needs a key does. A request in
//! a realm whose users are remote is parked in a waiting room, [`Effect::FetchKey`] asks for the
//! key, and [`Server::handle_key`] or a deadline ends the wait. Then the request is handled as if it
//! came now, and finds the answer among those at hand. Other requests of its client that need
//! credentials wait behind it; a Binding, which needs none, does not.
//!
//! Strangers choose user names, so everything here is bounded. A request is parked, and its name
//! asked for, only once its nonce is known to be ours: the client has the address that it shows.

mod shelf;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::auth::NotSigned;
use crate::keys::{User, is_opaque};
use crate::timers::Timer;
use crate::waiting::{Bounds, Full, WaitingRoom};
use crate::{ClientTuple, DropReason, Effect, Now, Server, SourcePrefix, Verdict};
use shelf::Shelf;

/// The name by which a key store knows a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName {
    /// The realm of the user.
    pub realm: Arc<str>,
    /// The USERNAME, without the realm if it ends in it. OpaqueString leaves it as it is.
    pub user: Arc<str>,
}

/// Why a store gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The realm has no such user.
    #[error("unknown user")]
    UnknownUser,
    /// The store failed, or cannot be asked.
    #[error("the key store is not available")]
    Unavailable,
}

/// The keys of one shard that come from a store.
#[derive(Debug)]
pub(crate) struct Keyring {
    users: Shelf<User>,
    /// Names for which there was no key a moment ago. They are apart from the users, so that
    /// invented names drive out no user.
    refusals: Shelf<NoKey>,
    fetches: BTreeMap<UserName, Fetch>,
    /// The fetches that began within the last second, and for whom.
    recent: VecDeque<(Instant, SourcePrefix)>,
    pub(crate) waiting: WaitingRoom<()>,
}

/// A key that was asked for.
#[derive(Debug)]
struct Fetch {
    deadline: Instant,
    /// The clients that wait for it, in the order in which they came. One that was replaced by
    /// another at its 5-tuple is still here: the other's request is then looked at too early, and
    /// waits again.
    clients: Vec<ClientTuple>,
}

impl Keyring {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            users: Shelf::new(USERS),
            refusals: Shelf::new(REFUSALS),
            fetches: BTreeMap::new(),
            recent: VecDeque::new(),
            waiting: WaitingRoom::new(hasher, WAITING),
        }
    }

    /// The store's entry for a user, as far as it is at hand; `None` if there is no such user.
    ///
    /// # Errors
    /// If the store has to be asked first, or could not be asked a moment ago.
    pub(crate) fn find(
        &self,
        now: Instant,
        realm: &Arc<str>,
        user: &str,
    ) -> Result<Option<&User>, NotSigned> {
        if !is_opaque(user) {
            return Ok(None);
        }
        let name = UserName {
            realm: Arc::clone(realm),
            user: user.into(),
        };
        if let Some(user) = self.users.get(now, &name) {
            return Ok(Some(user));
        }
        match self.refusals.get(now, &name) {
            Some(NoKey::UnknownUser) => Ok(None),
            Some(NoKey::Unavailable) => Err(NotSigned::KeyUnavailable),
            None => Err(NotSigned::KeyAwaited(name)),
        }
    }

    /// Notes an answer of the store.
    fn note(&mut self, now: Instant, name: &UserName, outcome: Result<User, NoKey>) {
        let name = name.clone();
        match outcome {
            Ok(user) => self.users.put(now, name, user, KEY_LIFETIME),
            Err(why) => {
                self.users.remove(&name);
                let lifetime = match why {
                    NoKey::UnknownUser => UNKNOWN_LIFETIME,
                    NoKey::Unavailable => PAUSE,
                };
                self.refusals.put(now, name, why, lifetime);
            }
        }
    }

    /// Forgets all answers: those to requests that wait are still to come.
    pub(crate) fn forget_answers(&mut self) {
        (self.users, self.refusals) = (Shelf::new(USERS), Shelf::new(REFUSALS));
    }

    /// Whether the store may be asked for another key now, for a client with this address.
    fn may_fetch(&mut self, now: Instant, ip: IpAddr) -> bool {
        let second = Duration::from_secs(1);
        while self
            .recent
            .pop_front_if(|(began, _)| *began + second <= now)
            .is_some()
        {}
        let prefix = SourcePrefix::of(ip);
        let of_prefix = self.recent.iter().filter(|(_, of)| *of == prefix).count();
        let may = self.recent.len() < FETCHES && of_prefix < FETCHES_PER_PREFIX;
        if may {
            self.recent.push_back((now, prefix));
        }
        may
    }

    /// Whether nothing is awaited.
    pub(crate) fn is_idle(&self) -> bool {
        self.fetches.is_empty() && self.waiting.is_empty()
    }
}

impl Server {
    /// The outcome of [`Effect::FetchKey`], at any time. The requests that waited for it are handled
    /// as if they came now. One that comes after its deadline is kept for those that come again.
    pub fn handle_key(&mut self, now: Now, name: &UserName, outcome: Result<User, NoKey>) {
        self.handle_timeout(now);
        let is_awaited = self.keyring.fetches.contains_key(name);
        if is_awaited || !matches!(outcome, Err(NoKey::Unavailable)) {
            self.end_fetch(now, name, outcome);
        }
    }

    /// Ends the wait for a key that did not come in time.
    pub(crate) fn give_up_key(&mut self, now: Now, name: &UserName) {
        self.end_fetch(now, name, Err(NoKey::Unavailable));
    }

    fn end_fetch(&mut self, now: Now, name: &UserName, outcome: Result<User, NoKey>) {
        self.keyring.note(now.mono, name, outcome);
        let Some(Fetch { deadline, clients }) = self.keyring.fetches.remove(name) else {
            return;
        };
        self.timers
            .disarm(deadline, Timer::Key(Box::new(name.clone())));
        for client in clients {
            let held = self.keyring.waiting.end(client);
            self.handle_held(now, client, held);
        }
    }

    /// Parks a request, and has its key fetched unless that is under way.
    ///
    /// A request is dropped instead, and finds the key at hand when it is sent again, if its client
    /// has an allocation or comes by way of another shard: whoever shares an address with a client
    /// can send requests in its name, and must not hold up what it sends.
    #[cold]
    pub(crate) fn await_key(
        &mut self,
        now: Now,
        client: ClientTuple,
        name: UserName,
        request: &[u8],
    ) -> Verdict<'static, 'static> {
        if !self.fetch_key(now.mono, client, &name) {
            return self.discard(DropReason::KeyQueueFull);
        }
        if self.passed_by.is_some() || self.allocations.of(client).is_some() {
            return self.discard(DropReason::KeyAwaited);
        }
        let Some(fetch) = self.keyring.fetches.get_mut(&name) else {
            return self.discard(DropReason::KeyUnavailable);
        };
        if self.keyring.waiting.wait(client, ()).is_err() {
            return self.discard(DropReason::KeyQueueFull);
        }
        fetch.clients.push(client);
        self.hold_for_key(client, request)
    }

    /// Has a key fetched, unless that is under way or would be too much.
    fn fetch_key(&mut self, now: Instant, client: ClientTuple, name: &UserName) -> bool {
        if self.keyring.fetches.contains_key(name) {
            return true;
        }
        if !self.keyring.may_fetch(now, client.client.ip()) {
            return false;
        }
        let deadline = now + DEADLINE;
        let fetch = Fetch {
            deadline,
            clients: Vec::new(),
        };
        self.keyring.fetches.insert(name.clone(), fetch);
        self.timers
            .arm(deadline, Timer::Key(Box::new(name.clone())));
        self.effects.push(Effect::FetchKey {
            name: name.clone(),
            deadline,
        });
        true
    }

    /// Whether a client has a request parked; out of line, as mostly none is.
    #[cold]
    #[inline(never)]
    pub(crate) fn awaits_key(&self, client: ClientTuple) -> bool {
        self.keyring.waiting.has(client)
    }

    /// Keeps a request of a client that waits for a key behind those that it sent before. A
    /// retransmission has nothing new to say.
    #[cold]
    pub(crate) fn hold_for_key(
        &mut self,
        client: ClientTuple,
        request: &[u8],
    ) -> Verdict<'static, 'static> {
        // Type, length, cookie and transaction id.
        let is_same = |held: &[u8]| held.get(..20) == request.get(..20);
        if self.keyring.waiting.packets(client).any(is_same) {
            return self.discard(DropReason::KeyAwaited);
        }
        match self.keyring.waiting.hold(client, request) {
            Ok(()) => Verdict::Done,
            Err(Full) => self.discard(DropReason::KeyQueueFull),
        }
    }

    /// Forgets all that waits, as the server stops.
    pub(crate) fn end_fetches(&mut self) {
        for (name, fetch) in std::mem::take(&mut self.keyring.fetches) {
            self.timers
                .disarm(fetch.deadline, Timer::Key(Box::new(name)));
            for client in fetch.clients {
                self.keyring.waiting.end(client);
            }
        }
    }
}

/// How long a store may take. A client sends its request again meanwhile, and gives up after 39.5 s
/// (RFC 8489 §6.2.1), many after less than 10.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long a key is good for. A password that is changed or taken away in the store holds for so
/// long; what it has opened lives on anyway.
const KEY_LIFETIME: Duration = Duration::from_secs(60);

/// How long a user is unknown, before the store is asked again.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(10);

/// How long the store is not asked for a key again that it could not give.
const PAUSE: Duration = Duration::from_secs(1);

/// Keys at hand.
const USERS: usize = 16_384;

/// Names at hand for which there is no key.
const REFUSALS: usize = 4_096;

/// Fetches that begin within any second. Times [`DEADLINE`], these are the fetches under way.
const FETCHES: usize = 512;

/// The same for clients of one source prefix, so that nobody uses up all of them.
const FETCHES_PER_PREFIX: usize = 64;

/// A client waits with one request, and may send those that it will want next. Many clients can wait
/// for one name, so the bound on the fetches of a source prefix leaves no room for others.
const WAITING: Bounds = Bounds {
    clients: 4_096,
    packets: 8,
    bytes: 8 << 10,
    total: 8 << 20,
    parts: 4,
};
