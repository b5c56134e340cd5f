//! Ports kept for a second allocation of the same account. RFC 8656 §7.2.
//!
//! The second Allocate comes on another 5-tuple, so it may come to any shard, and reservations are
//! shared. The port number is kept, not a socket, since a socket belongs to the shard that bound
//! it. No allocation of ours gets the number meanwhile; should another program bind it, the token
//! is answered 508, as RFC 8656 §7.2 has it for an address that is no longer available.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wire::AddressFamily;
use wire::attributes::ReservationToken;

use crate::allocation::Relay;
use crate::realms::{Account, RealmId};
use crate::snapshot::{Field, Reader, Unreadable, Writer, fields};

/// Reserved ports by their token. It is locked when one is reserved, redeemed or ends, never by a
/// packet of data.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<BTreeMap<ReservationToken, Reservation>>);

#[derive(Debug)]
struct Reservation {
    relay: Relay,
    realm: RealmId,
    account: Box<str>,
    deadline: Instant,
}

impl Reservations {
    /// Whether an account may reserve one port more. Shards that ask at the same time may go over
    /// the limit by one each, which does no harm.
    pub(crate) fn have_room(&self, account: Account<'_>) -> bool {
        let all = self.all();
        let own = all.values().filter(|kept| kept.is_of(account));
        all.len() < IN_ALL && own.count() < PER_ACCOUNT
    }

    /// Reserves a port that was taken; returns the deadline.
    pub(crate) fn keep(
        &self,
        token: ReservationToken,
        relay: Relay,
        account: Account<'_>,
        now: Instant,
    ) -> Instant {
        let deadline = now + LIFETIME;
        let reservation = Reservation {
            relay,
            realm: account.realm,
            account: account.name.into(),
            deadline,
        };
        self.all().insert(token, reservation);
        deadline
    }

    /// The family of a port that is still reserved.
    pub(crate) fn family(&self, token: ReservationToken, now: Instant) -> Option<AddressFamily> {
        let all = self.all();
        let kept = all.get(&token).filter(|kept| kept.deadline > now);
        kept.map(|kept| kept.relay.family())
    }

    /// Gives a port to the account that reserved it, once.
    pub(crate) fn redeem(
        &self,
        token: ReservationToken,
        account: Account<'_>,
        now: Instant,
    ) -> Option<Relay> {
        let mut all = self.all();
        let kept = all.get(&token)?;
        if !kept.is_of(account) || kept.deadline <= now {
            return None;
        }
        all.remove(&token).map(|kept| kept.relay)
    }

    /// Forgets reservations whose time is over; returns their ports.
    pub(crate) fn expire(&self, now: Instant) -> Vec<SocketAddr> {
        let mut freed = Vec::new();
        self.all().retain(|_, kept| {
            let lives = kept.deadline > now;
            if !lives {
                freed.push(kept.relay.local);
            }
            lives
        });
        freed
    }

    /// When the next reservation ends.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.all().values().map(|kept| kept.deadline).min()
    }

    /// The addresses whose ports are reserved.
    pub(crate) fn locals(&self) -> Vec<SocketAddr> {
        self.all().values().map(|kept| kept.relay.local).collect()
    }

    /// How many ports are reserved, over all shards.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// Each change is one call on the map, so a shard that panics leaves it whole.
    fn all(&self) -> MutexGuard<'_, BTreeMap<ReservationToken, Reservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    fn is_of(&self, account: Account<'_>) -> bool {
        self.realm == account.realm && *self.account == *account.name
    }
}

fields!(Reservation: relay, realm, account, deadline);

impl Field for Reservations {
    fn write(&self, to: &mut Writer) {
        let all = self.all();
        (all.len() as u32).write(to);
        for (token, kept) in &*all {
            token.write(to);
            kept.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let all = Vec::<(ReservationToken, Reservation)>::read(from)?;
        Ok(Self(Mutex::new(all.into_iter().collect())))
    }
}

/// RFC 8656 §7.2: at least this.
const LIFETIME: Duration = Duration::from_secs(30);

/// A reserved port is kept from all allocations, so there are few: clients redeem at once.
const IN_ALL: usize = 1024;

/// So that no account can take them all from the others.
const PER_ACCOUNT: usize = 64;
