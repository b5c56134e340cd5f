//! The values of metrics, out of a sample.

use std::num::NonZeroU64;
use std::time::UNIX_EPOCH;

use relay::{Allowance, Families, RealmLoad, Refusal, Traffic};
use wire::Transport;

use super::{Sample, Value};
use crate::quality::{Buckets, LegSample, QualitySample};

pub(super) fn by_leg(
    QualitySample { client, peer }: &QualitySample,
    of: fn(&LegSample) -> &Buckets,
) -> Vec<(&'static str, Buckets)> {
    [("client", client), ("peer", peer)]
        .map(|(name, leg)| (name, of(leg).clone()))
        .into()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floating point numbers"
)]
fn number(count: u64) -> f64 {
    count as f64
}

pub(super) fn one(count: impl TryInto<u64>) -> Vec<Value> {
    vec![Value(
        Vec::new(),
        number(count.try_into().unwrap_or(u64::MAX)),
    )]
}

pub(super) fn named(counts: &[(&str, u64)]) -> Vec<Value> {
    let value = |(name, count): &(&str, u64)| Value(vec![(*name).to_owned()], number(*count));
    counts.iter().map(value).collect()
}

pub(super) fn by<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    count: impl Fn(T) -> u64,
) -> Vec<Value> {
    let value = |&one: &T| Value(vec![name(one).to_owned()], number(count(one)));
    all.iter().map(value).collect()
}

/// Events at sockets, but for those that have metrics of their own.
pub(super) fn events(sample: &Sample) -> Vec<Value> {
    let mut events = sample.net.named().to_vec();
    events.retain(|(name, _)| !OF_RUNS.contains(name));
    named(&events)
}

/// They are as many as packets, beside events that are seldom.
const OF_RUNS: [&str; 4] = [
    "runs-sent",
    "run-datagrams-sent",
    "runs-received",
    "run-datagrams-received",
];

pub(super) fn both_ways(sample: &Sample, of: impl Fn(Traffic) -> u64) -> Vec<Value> {
    named(&[
        ("out", of(sample.relay.sent)),
        ("in", of(sample.relay.received)),
    ])
}

pub(super) fn opened(sample: &Sample) -> Vec<Value> {
    let each = |transport: Transport| {
        Families::ALL.map(|families| {
            let labels = vec![transport.name().to_owned(), families.name().to_owned()];
            Value(labels, number(sample.relay.opened_as(transport, families)))
        })
    };
    Transport::ALL.into_iter().flat_map(each).collect()
}

pub(super) fn refused(sample: &Sample) -> Vec<Value> {
    let value = |&refusal: &Refusal| {
        let labels = vec![refusal.code().to_string(), refusal.cause().to_owned()];
        Value(labels, number(sample.relay.refused_for(refusal)))
    };
    Refusal::ALL.iter().map(value).collect()
}

pub(super) fn by_realm(sample: &Sample, of: impl Fn(&RealmLoad) -> u32) -> Vec<Value> {
    let value = |realm: &RealmLoad| {
        let labels = vec![realm.realm.to_string()];
        Value(labels, number(of(realm).into()))
    };
    sample.bounds.realms.iter().map(value).collect()
}

pub(super) fn unauthenticated(sample: &Sample) -> Vec<Value> {
    let Allowance { per_prefix, total } = sample.bounds.unauthenticated;
    let limit = |limit: Option<NonZeroU64>| limit.map_or(0, NonZeroU64::get);
    named(&[("total", limit(total)), ("per-prefix", limit(per_prefix))])
}

pub(super) fn certificates(sample: &Sample) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for certificate in &sample.certificates {
        let ends = certificate.ends.duration_since(UNIX_EPOCH);
        let ends = ends.unwrap_or_default().as_secs_f64();
        let labels = vec![certificate.name.clone(), certificate.key.to_owned()];
        // Of two with one name and kind of key the first to end.
        match all.iter_mut().find(|Value(known, _)| *known == labels) {
            Some(Value(_, first)) => *first = first.min(ends),
            None => all.push(Value(labels, ends)),
        }
    }
    all
}

/// Threads of one name are one.
pub(super) fn threads(sample: &Sample) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for (name, time) in &sample.process.threads {
        let seconds = time.as_secs_f64();
        match all.iter_mut().find(|Value(labels, _)| labels[0] == *name) {
            Some(Value(_, sum)) => *sum += seconds,
            None => all.push(Value(vec![name.clone()], seconds)),
        }
    }
    all
}
