//! The server as a whole at one moment, and what it does in a second.

use std::time::{Duration, SystemTime};

use net::NetCounters;
use relay::{DropReason, Listed, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::history::seconds;
use super::look::{Rate, per_second};
use crate::metrics::Sample;

/// The server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Moment {
    /// When, in seconds since the Unix epoch.
    pub time: u64,
    /// The seconds that rates were counted over.
    pub seconds: f64,
    /// Sessions that there are.
    pub sessions: u32,
    /// Whether no new session is granted.
    pub draining: bool,
    /// Sessions opened in a second.
    pub opened: f64,
    /// Sessions ended in a second.
    pub ended: f64,
    /// Data from clients to peers.
    pub sent: Rate,
    /// Data from peers to clients.
    pub received: Rate,
    /// The limits, and how near each is.
    pub limits: Vec<Limit>,
    /// Requests refused, by cause, those that came most first; causes that never came are left out.
    pub refused: Vec<Count>,
    /// Packets that had no effect, by cause, likewise.
    pub dropped: Vec<Count>,
    /// Losses and refusals at sockets, by event, likewise.
    pub lost: Vec<Count>,
    /// The certificates that clients are shown, the first to end first.
    pub certificates: Vec<Certificate>,
    /// How busy each shard is.
    pub shards: Vec<Shard>,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// The quality of calls, if any is known.
    pub quality: Option<Quality>,
}

/// How far a limit is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// The name of what there is only so much of.
    pub name: String,
    /// So much is used.
    pub used: u64,
    /// So much there is.
    pub most: u64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The name of the cause.
    pub cause: String,
    /// The error code, of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// In a second.
    pub rate: f64,
    /// Since the start.
    pub total: u64,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// The first of its names.
    pub name: String,
    /// The kind of its key.
    pub key: String,
    /// Whole days until it ends; negative if it has ended.
    pub days: i64,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shard {
    /// The name of its thread.
    pub name: String,
    /// The part of a processor that it takes, from 0 to 1.
    pub busy: f64,
}

/// The quality of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QualityOfCalls)]
pub struct Quality {
    /// Sessions whose quality is known.
    pub measured: u32,
    /// Those of them that are bad between client and server.
    pub bad_clients: u32,
    /// Those of them that are bad between server and peer.
    pub bad_peers: u32,
}

impl Moment {
    pub(super) fn between(
        before: &Sample,
        now: &Sample,
        at: SystemTime,
        passed: Duration,
        listed: &[Listed],
    ) -> Self {
        let (old, new) = (&before.relay, &now.relay);
        let rate = |before: u64, now: u64| per_second(now.saturating_sub(before), passed);
        let count = |cause: &str, code, before, total| Count {
            cause: cause.to_owned(),
            code,
            rate: rate(before, total),
            total,
        };
        let refused = Refusal::ALL.iter().filter(|it| is_refusal(**it));
        let refused = refused.map(|&it| {
            let (before, total) = (old.refused_for(it), new.refused_for(it));
            count(it.cause(), Some(it.code()), before, total)
        });
        let dropped = DropReason::ALL
            .iter()
            .map(|&it| count(it.name(), None, old.dropped(it), new.dropped(it)));
        let lost = losses(&before.net).zip(losses(&now.net));
        let lost = lost.map(|((_, before), (event, total))| count(event, None, before, total));
        Self {
            time: seconds(at),
            seconds: passed.as_secs_f64(),
            sessions: now.load.allocations,
            draining: now.load.is_draining,
            opened: rate(old.opened(), new.opened()),
            ended: rate(old.ended(), new.ended()),
            sent: Rate::between(old.sent, new.sent, passed),
            received: Rate::between(old.received, new.received, passed),
            limits: limits(now),
            refused: by_rate(refused),
            dropped: by_rate(dropped),
            lost: by_rate(lost),
            certificates: certificates(now, at),
            shards: shards(before, now, passed),
            memory: now.process.resident,
            quality: quality(listed),
        }
    }
}

/// The challenge is the first step of every client, and a redirection is no failure.
pub(crate) fn is_refusal(refusal: Refusal) -> bool {
    refusal != Refusal::Challenge && refusal != Refusal::TryAlternate
}

fn by_rate(counts: impl Iterator<Item = Count>) -> Vec<Count> {
    let mut counts: Vec<Count> = counts.filter(|it| it.total > 0).collect();
    counts.sort_by(|one, other| {
        let by_rate = other.rate.total_cmp(&one.rate);
        by_rate.then(other.total.cmp(&one.total))
    });
    counts
}

/// Losses and refusals at sockets, each with its name.
pub(super) fn losses(net: &NetCounters) -> impl Iterator<Item = (&'static str, u64)> {
    let is_loss = |(name, _): &(&'static str, u64)| LOSSES.contains(name);
    net.named().into_iter().filter(is_loss)
}

fn limits(now: &Sample) -> Vec<Limit> {
    let load = &now.load;
    let all = [
        ("relay ports", load.ports_taken as u64, load.ports as u64),
        (
            "connections",
            load.connections as u64,
            load.most_connections as u64,
        ),
        (
            "open files",
            now.process.descriptors,
            now.process.most_descriptors,
        ),
    ];
    // Without limit the system says 0.
    let limited = all.into_iter().filter(|(_, _, most)| *most > 0);
    let limit = |(name, used, most): (&str, u64, u64)| Limit {
        name: name.to_owned(),
        used,
        most,
    };
    limited.map(limit).collect()
}

fn certificates(now: &Sample, at: SystemTime) -> Vec<Certificate> {
    let days = |ends: SystemTime| match ends.duration_since(at) {
        Ok(left) => (left.as_secs() / DAY).cast_signed(),
        Err(over) => -(over.duration().as_secs() / DAY).cast_signed() - 1,
    };
    let certificate = |it: &crate::metrics::Certificate| Certificate {
        name: it.name.clone(),
        key: it.key.to_owned(),
        days: days(it.ends),
    };
    let mut all: Vec<Certificate> = now.certificates.iter().map(certificate).collect();
    all.sort_by_key(|it| it.days);
    all
}

fn shards(before: &Sample, now: &Sample, passed: Duration) -> Vec<Shard> {
    let was = |name: &str| {
        let mut threads = before.process.threads.iter();
        threads
            .find(|(known, _)| known == name)
            .map(|(_, time)| *time)
    };
    let threads = now.process.threads.iter();
    let shards = threads.filter(|(name, _)| name.starts_with("shard-"));
    let shard = |(name, time): &(String, Duration)| {
        let used = time.saturating_sub(was(name).unwrap_or(*time));
        let busy = used.as_secs_f64() / passed.as_secs_f64();
        Shard {
            name: name.clone(),
            busy: if busy.is_finite() { busy } else { 0.0 },
        }
    };
    shards.map(shard).collect()
}

fn quality(listed: &[Listed]) -> Option<Quality> {
    let measured = listed.iter().filter_map(|it| it.quality.as_ref());
    measured.fold(None, |sum: Option<Quality>, quality| {
        let sum = sum.unwrap_or_default();
        Some(Quality {
            measured: sum.measured + 1,
            bad_clients: sum.bad_clients + u32::from(quality.client.bad.is_any()),
            bad_peers: sum.bad_peers + u32::from(quality.peer.bad.is_any()),
        })
    })
}

const DAY: u64 = 86_400;
/// Events at sockets by which a client's packet or connection is lost.
const LOSSES: &[&str] = &[
    "receive-overflow",
    "receive-failed",
    "send-failed",
    "send-gone",
    "inbox-full",
    "crossing-full",
    "queue-dropped",
    "connections-refused",
    "connections-broken",
    "connections-failed",
    "connections-overdue",
    "handshakes-failed",
    "proxy-header-missing",
    "proxy-header-foreign",
    "web-unreachable",
    "browsers-refused",
    "quic-refused",
    "quic-lost",
    "dtls-refused",
    "dtls-failed",
    "dtls-half-open-dropped",
    "dtls-overdue",
    "dtls-dropped",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_an_event_at_sockets() {
        assert_eq!(losses(&NetCounters::default()).count(), LOSSES.len());
    }
}
