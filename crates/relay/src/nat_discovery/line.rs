//! The line to a partner: the state that every shard needs to write to it.
//!
//! One shard keeps the link to a partner (`partners`); any shard may ask the partner to answer a
//! client.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ring::hmac;
use wire::AddressFamily;

use super::note::{Content, LENGTH, Note, Setting};
use super::{Errand, NatDiscovery, Partner};

/// The lines to all partners: one per address family at most.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) fn new(discoveries: &[NatDiscovery]) -> Self {
        let lines = discoveries.iter().filter_map(|discovery| {
            let partner = discovery.partner()?;
            Some(Line::new(discovery, partner))
        });
        Self(lines.collect())
    }

    pub(crate) fn of(&self, family: AddressFamily) -> Option<&Line> {
        self.0.iter().find(|line| line.family == family)
    }
}

/// The line to one partner.
#[derive(Debug)]
pub(crate) struct Line {
    family: AddressFamily,
    key: hmac::Key,
    setting: Setting,
    /// Our session, another in each life of the shard that keeps the link. 0 before the first.
    session: AtomicU64,
    /// The partner's session as last received, 0 before that.
    partner: AtomicU64,
    /// Whether notes arrive in both directions.
    is_met: AtomicBool,
    /// The last stamp.
    stamp: AtomicU64,
}

impl Line {
    fn new(discovery: &NatDiscovery, partner: &Partner) -> Self {
        Self {
            family: discovery.family(),
            key: hmac::Key::new(hmac::HMAC_SHA256, partner.secret.as_bytes()),
            setting: Setting {
                address: discovery.primary.external,
                ports: discovery.ports,
            },
            session: AtomicU64::new(0),
            partner: AtomicU64::new(0),
            is_met: AtomicBool::new(false),
            stamp: AtomicU64::new(0),
        }
    }

    /// Begins a session: notes that were written to the one before are not for this one.
    pub(super) fn begin(&self, session: u64) {
        self.session.store(session, Ordering::Relaxed);
        self.partner.store(0, Ordering::Relaxed);
        self.is_met.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_met(&self) -> bool {
        self.is_met.load(Ordering::Relaxed)
    }

    /// Notes whether the partner is met; returns whether it was before.
    pub(super) fn set_met(&self, is_met: bool) -> bool {
        self.is_met.swap(is_met, Ordering::Relaxed)
    }

    pub(super) fn session(&self) -> u64 {
        self.session.load(Ordering::Relaxed)
    }

    /// Notes the partner's session; returns the one known before.
    pub(super) fn set_partner(&self, session: u64) -> u64 {
        self.partner.swap(session, Ordering::Relaxed)
    }

    pub(super) fn open(&self, packet: &[u8]) -> Option<Note> {
        Note::open(packet, &self.key)
    }

    pub(super) fn keepalive(&self, unix: Duration) -> [u8; LENGTH] {
        self.write(unix, Content::Keepalive(self.setting))
    }

    pub(crate) fn errand(&self, unix: Duration, errand: Errand) -> [u8; LENGTH] {
        self.write(unix, Content::Errand(errand))
    }

    fn write(&self, unix: Duration, content: Content) -> [u8; LENGTH] {
        let note = Note {
            from: self.session(),
            to: self.partner.load(Ordering::Relaxed),
            stamp: self.next_stamp(unix),
            content,
        };
        note.seal(&self.key)
    }

    /// A new stamp. Shards may write in the same microsecond, and clocks may be set back.
    fn next_stamp(&self, unix: Duration) -> u64 {
        let now = micros(unix);
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self
            .stamp
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        let (Ok(last) | Err(last)) = last;
        next(last)
    }
}

/// Microseconds since the Unix epoch, enough for half a million years.
pub(super) fn micros(unix: Duration) -> u64 {
    u64::try_from(unix.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostAddress, PartnerSecret, SecondAddress};

    #[test]
    fn no_two_notes_have_the_same_stamp_whatever_the_clock_says() {
        let local = "192.0.2.1".parse().unwrap();
        let discovery = NatDiscovery {
            primary: HostAddress {
                local,
                external: local,
            },
            alternate: SecondAddress::Partner(Partner {
                address: "192.0.2.2".parse().unwrap(),
                port: 3480,
                secret: PartnerSecret::new(b"a secret of two"),
            }),
            ports: [3478, 3479],
            tcp: false,
            tls: false,
        };
        let lines = Lines::new(&[discovery]);
        let line = lines.of(AddressFamily::V4).unwrap();
        let stamps =
            [5, 5, 5, 9, 2, 2, 12].map(|unix| line.next_stamp(Duration::from_micros(unix)));
        assert_eq!(stamps, [5, 6, 7, 9, 10, 11, 12]);
    }
}
