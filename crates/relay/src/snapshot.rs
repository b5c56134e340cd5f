//! Snapshots: the state of a core as bytes, from which another core goes on.
//!
//! An allocation is described once, by the fields of [`crate::Arrival`], in which it also moves
//! between shards: `values` lists them all, and does not compile without one of them.

mod field;
mod server;
mod values;

use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use zeroize::Zeroizing;

pub(crate) use field::{Field, Reader, Writer, fields};

use crate::realms::Realms;
use crate::{Config, Now, ProcessSecret, Rules, ShardId, Shared};

/// A core as bytes, complete and undamaged: the core's half of an upgrade without loss. Sockets and
/// connections are the caller's to hand on.
///
/// The caller drains the effects and delivers the mail of all shards. At one moment it then freezes
/// each [`crate::Server`] and the [`Shared`] state, which changes neither. The next process has as
/// many shards and the same [`ProcessSecret`], which the caller hands on beside the bytes: without
/// it tickets and nonces are worth nothing, and no snapshot can be read. Its rules
/// [`Rules::follow`] the snapshots. Then it thaws the shared state first, and each server.
///
/// The effects of a server that was thawed say which sockets it needs.
/// [`crate::Effect::AdoptRelay`] names one that was open, by an id that stays the same, and
/// [`crate::Effect::OpenRelay`] asks again for one that was being opened, as
/// [`crate::Effect::Connect`] does for a connection with a peer. One that was made or spliced has
/// its id still, and the caller hands it on as it was. For a client whose
/// connection was not handed on the caller calls [`crate::Server::handle_disconnected`].
///
/// Not carried over:
/// - effects and mail, as they are performed before, and packets that wait in a shard for mail of
///   another or for a key: they are lost like any datagram, and a client sends its request again;
/// - keys from a store, and those that were asked for: they are fetched when they are needed again,
///   and an answer to the process before is dropped by the caller;
/// - the rest of the strangers' budget, of answers to failed proofs and of bandwidth, which begin full
///   as after a start;
/// - the links to partners, which are met again within a minute;
/// - random numbers and hash keys: every core has its own.
///
/// The bytes hold the keys of users. They are wiped from memory when dropped, and must be written to
/// nothing that outlives the upgrade.
pub struct Snapshot(Zeroizing<Vec<u8>>);

/// Why bytes are no snapshot, or no core can be made from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They do not begin as a snapshot does.
    #[error("these bytes are no snapshot")]
    Foreign,
    /// Another version of the program has written them.
    #[error(
        "the snapshot has format {found}, and this program reads format {}",
        Snapshot::FORMAT
    )]
    Version {
        /// The number of its format.
        found: u16,
    },
    /// They end too early or too late.
    #[error("the snapshot is not of the length that it says")]
    Length,
    /// They were changed, or frozen under another secret.
    #[error("the snapshot is damaged, or of a process with another secret")]
    Seal,
    /// It is of another shard, or of what all shards share.
    #[error("the snapshot is of another part of the server")]
    Part,
    /// A field has a value that it cannot have.
    #[error("the snapshot has a value out of its range")]
    Value,
    /// Two allocations have the same place, 5-tuple, ticket or port.
    #[error("two allocations of the snapshot have the same place, 5-tuple, ticket or port")]
    Conflict,
    /// An allocation is of a realm that the rules do not know: [`Rules::follow`] was not called.
    #[error("the snapshot is of realms that the rules do not have")]
    Realm,
}

/// The parts of a server that have snapshots of their own.
type Part = Option<ShardId>;

impl Snapshot {
    /// The number of the format. It goes up with every change of what is written.
    pub const FORMAT: u16 = 5;

    /// The bytes, to be handed to the next process.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks bytes that another process has handed over.
    ///
    /// # Errors
    /// If they are not what a process with this secret and this format has frozen.
    pub fn from_bytes(bytes: Vec<u8>, secret: &ProcessSecret) -> Result<Self, Unreadable> {
        let bytes = Zeroizing::new(bytes);
        let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
        let (version, rest) = rest.split_first_chunk().ok_or(Unreadable::Length)?;
        let found = u16::from_be_bytes(*version);
        if found != Self::FORMAT {
            return Err(Unreadable::Version { found });
        }
        let (length, _) = rest.split_first_chunk().ok_or(Unreadable::Length)?;
        if u64::from_be_bytes(*length) != bytes.len() as u64 {
            return Err(Unreadable::Length);
        }
        let (sealed, seal) = bytes.split_last_chunk::<SEAL>().ok_or(Unreadable::Length)?;
        if sealed.len() < HEAD {
            return Err(Unreadable::Length);
        }
        hmac::verify(&key(secret), sealed, seal).map_err(|_| Unreadable::Seal)?;
        Ok(Self(bytes))
    }

    /// Puts head and seal around what was written behind the room for the head.
    fn seal(mut bytes: Zeroizing<Vec<u8>>, secret: &ProcessSecret) -> Self {
        let length = (bytes.len() + SEAL) as u64;
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..][..2].copy_from_slice(&Self::FORMAT.to_be_bytes());
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_be_bytes());
        let seal = hmac::sign(&key(secret), &bytes);
        bytes.extend_from_slice(seal.as_ref());
        Self(bytes)
    }

    fn begin(part: Part, rules: &Rules, now: Now) -> Writer {
        let mut to = Writer::new(HEAD, now.mono);
        part.write(&mut to);
        rules.serial.write(&mut to);
        now.unix.write(&mut to);
        rules.realms.names_in_order().write(&mut to);
        to
    }

    /// The content behind the part, with the number of the rules and the names of the realms.
    fn open(&self, now: Now) -> Result<Opened<'_>, Unreadable> {
        let body = self.0.get(HEAD..self.0.len().saturating_sub(SEAL));
        let mut from = Reader::new(body.ok_or(Unreadable::Length)?);
        let part = Part::read(&mut from)?;
        let serial = u64::read(&mut from)?;
        let frozen = Duration::read(&mut from)?;
        from.at(now.mono, now.unix.saturating_sub(frozen));
        let realms = Vec::read(&mut from)?;
        Ok(Opened {
            part,
            serial,
            realms,
            from,
        })
    }
}

/// A snapshot whose head was read.
struct Opened<'a> {
    part: Part,
    serial: u64,
    /// The realms by the ids that they had.
    realms: Vec<Arc<str>>,
    from: Reader<'a>,
}

impl<'a> Opened<'a> {
    /// The fields of this part, whose realms are found by their names.
    fn of(mut self, part: Part, realms: &Realms) -> Result<Reader<'a>, Unreadable> {
        if self.part != part {
            return Err(Unreadable::Part);
        }
        let ids = self.realms.iter().map(|name| realms.named_or_gone(name));
        let ids: Option<Vec<_>> = ids.collect();
        self.from.realms = ids.ok_or(Unreadable::Realm)?;
        Ok(self.from)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} bytes)", self.0.len())
    }
}

impl Rules {
    /// Makes these the rules that follow those of a process that was frozen: the rules of each of
    /// its snapshots. A realm that is not among them any more is kept without users, as by
    /// [`Rules::succeed`].
    ///
    /// # Errors
    /// If the snapshot cannot be read.
    pub fn follow(&mut self, snapshot: &Snapshot, now: Now) -> Result<(), Unreadable> {
        let Opened { serial, realms, .. } = snapshot.open(now)?;
        let next = serial.checked_add(1).ok_or(Unreadable::Value)?;
        self.serial = self.serial.max(next);
        for name in realms {
            self.realms.keep(&name);
        }
        self.realms.prepare();
        Ok(())
    }
}

impl Shared {
    /// The state that the shards share, as bytes: reservations, the last ticket's number, whether the
    /// server drains. `config` and `rules` are those that the shards have.
    pub fn freeze(&self, config: &Config, rules: &Rules, now: Now) -> Snapshot {
        // No `..`: a field that is added has to be thought of here. The shards carry the ports and
        // counts of their allocations.
        let Self {
            ports: _,
            quotas,
            reservations,
            budget: _,
            bans: _,
            whereabouts,
            connections: _,
            failures: _,
            epoch: _,
            lines: _,
            // The control side says who is over a cap, to each process.
            caps: _,
        } = self;
        let mut to = Snapshot::begin(None, rules, now);
        quotas.is_draining().write(&mut to);
        whereabouts.last().write(&mut to);
        reservations.write(&mut to);
        Snapshot::seal(to.into_bytes(), &config.secret)
    }

    /// The shared state as it was frozen, for servers that are thawed from snapshots of the same
    /// moment.
    ///
    /// # Errors
    /// If the snapshot is of something else, or the rules do not follow it.
    pub fn thaw(
        config: &Config,
        rules: &Rules,
        now: Now,
        snapshot: &Snapshot,
    ) -> Result<Self, Unreadable> {
        let mut from = snapshot.open(now)?.of(None, &rules.realms)?;
        let is_draining = bool::read(&mut from)?;
        let last_ticket = u64::read(&mut from)?;
        let reservations = Field::read(&mut from)?;
        from.end()?;
        let shared = Self {
            reservations,
            ..Self::new(config)
        };
        shared.ports.serve(&rules.locals());
        for local in shared.reservations.locals() {
            if !shared.ports.retake(local.ip(), local.port()) {
                return Err(Unreadable::Conflict);
            }
        }
        shared.whereabouts.go_on_from(last_ticket);
        if is_draining {
            shared.drain();
        }
        Ok(shared)
    }
}

fn key(secret: &ProcessSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.derived(b"snapshot"))
}

const MAGIC: &[u8] = b"hairpin\n";
/// Magic, format, and the length of the whole.
const HEAD: usize = MAGIC.len() + 2 + 8;
/// HMAC-SHA256.
const SEAL: usize = 32;
