//! Every metric, once.

use std::time::UNIX_EPOCH;

use relay::{DropReason, EndCause, Families, Refusal, Traffic};
use wire::Transport;

use super::{Metric, Sample, Value};

/// All of them. docs/metrics.md shows the same, which a test holds.
pub const METRICS: &[Metric] = &[
    gauge("allocations", None, "Allocations that there are", |it| {
        one(it.load.allocations)
    }),
    counter(
        "allocations_opened",
        None,
        "Allocations granted, by the client's transport and the families of the relayed addresses",
        &["transport", "family"],
        opened,
    ),
    counter(
        "allocations_ended",
        None,
        "Allocations ended, by cause",
        &["cause"],
        |it| {
            by(
                EndCause::ALL,
                |cause| cause.name(),
                |cause| it.relay.ended_by(cause),
            )
        },
    ),
    counter(
        "allocations_moved",
        None,
        "Allocations that their clients moved to another address (RFC 8016)",
        &[],
        |it| one(it.relay.moved),
    ),
    counter(
        "relayed_packets",
        None,
        "Packets relayed, by direction: out is from clients to peers",
        &["direction"],
        |it| both_ways(it, |traffic| traffic.packets),
    ),
    counter(
        "relayed",
        Some("bytes"),
        "Data relayed, without headers, by direction: out is from clients to peers",
        &["direction"],
        |it| both_ways(it, |traffic| traffic.bytes),
    ),
    counter(
        "bindings",
        None,
        "STUN Binding requests answered",
        &[],
        |it| one(it.relay.bindings),
    ),
    counter(
        "requests_refused",
        None,
        "Requests that were not granted, by error code and cause; the challenge is the normal first step of every client",
        &["code", "cause"],
        refused,
    ),
    counter(
        "authentications_failed",
        None,
        "Requests whose integrity was wrong or whose user is not known, also those not answered",
        &[],
        |it| one(it.relay.failed),
    ),
    counter(
        "packets_dropped",
        None,
        "Packets that had no effect and no answer, by cause",
        &["cause"],
        |it| {
            by(
                DropReason::ALL,
                |why| why.name(),
                |why| it.relay.dropped(why),
            )
        },
    ),
    counter(
        "icmp_told",
        None,
        "ICMP errors that clients were told of",
        &[],
        |it| one(it.relay.icmp),
    ),
    counter(
        "peer_connections",
        None,
        "Connections with peers of TCP allocations (RFC 6062), by what became of them",
        &["event"],
        |it| {
            let relay = &it.relay;
            named(&[
                ("connected", relay.connected),
                ("accepted", relay.accepted),
                ("bound", relay.bound),
                ("unbound", relay.unbound),
            ])
        },
    ),
    counter(
        "sockets",
        None,
        "What happened at sockets, connections and TLS and DTLS sessions, by event",
        &["event"],
        |it| named(&it.net.named()),
    ),
    gauge(
        "connections",
        None,
        "Connections over TCP and TLS that there are",
        |it| one(it.load.connections),
    ),
    gauge(
        "connections_limit",
        None,
        "How many connections there may be ([tcp] connections, or fewer by the limit of open files)",
        |it| one(it.load.most_connections),
    ),
    gauge(
        "ports_taken",
        None,
        "Relay ports that allocations have or have reserved, over all relay addresses",
        |it| one(it.load.ports_taken),
    ),
    gauge(
        "ports",
        None,
        "Relay ports that there are, over all relay addresses",
        |it| one(it.load.ports),
    ),
    gauge(
        "draining",
        None,
        "1 while no new allocation is granted",
        |it| one(u32::from(it.load.is_draining)),
    ),
    Metric {
        labels: &["name", "key"],
        ..gauge(
            "certificate_expiry",
            Some("seconds"),
            "When a certificate that clients are shown ends, since the Unix epoch, by its first name and the kind of its key",
            certificates,
        )
    },
    counter(
        "certificates_issued",
        None,
        "Certificates that an authority issued",
        &[],
        |it| one(it.control.certificates_issued),
    ),
    counter(
        "certificate_orders_failed",
        None,
        "Orders of certificates that failed",
        &[],
        |it| one(it.control.certificates_failed),
    ),
    gauge(
        "signaling_rooms",
        None,
        "Rooms of calls that there are",
        |it| one(it.signaling.rooms),
    ),
    gauge(
        "signaling_members",
        None,
        "Members of rooms, those away for a moment included",
        |it| one(it.signaling.members),
    ),
    gauge(
        "signaling_queued",
        Some("bytes"),
        "What waits for members of rooms, or was not acknowledged yet",
        |it| one(it.signaling.queued),
    ),
    counter(
        "signaling",
        None,
        "What happened in rooms and at their doors, by event",
        &["event"],
        |it| named(&it.signaling.events),
    ),
    counter(
        "http",
        None,
        "What the server for browsers ([http]) and the credential endpoint did and refused, by event",
        &["event"],
        |it| named(&it.http),
    ),
    counter(
        "reloads",
        None,
        "Configurations read again, by outcome; one that failed changed nothing",
        &["outcome"],
        |it| {
            named(&[
                ("ok", it.control.reloads),
                ("failed", it.control.reloads_failed),
            ])
        },
    ),
    gauge(
        "reload_time",
        Some("seconds"),
        "When the configuration in force took effect, since the Unix epoch",
        |it| vec![Value(Vec::new(), it.control.reloaded.as_secs_f64())],
    ),
    counter(
        "log_lines_lost",
        None,
        "Lines of the log that were lost because its reader was too slow",
        &[],
        |it| one(it.control.log_lines_lost),
    ),
    Metric {
        labels: &["version"],
        ..gauge("build", None, "Always 1; the label has the version", |_| {
            vec![Value(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]
        })
    },
    gauge(
        "process_resident_memory",
        Some("bytes"),
        "Resident memory of the process",
        |it| one(it.process.resident),
    ),
    gauge(
        "process_open_descriptors",
        None,
        "Open file descriptors of the process",
        |it| one(it.process.descriptors),
    ),
    gauge(
        "process_descriptors_limit",
        None,
        "How many file descriptors may be open; 0 if there is no limit",
        |it| one(it.process.most_descriptors),
    ),
    counter(
        "thread_cpu",
        Some("seconds"),
        "Processor time by thread; the threads of shards are named shard-0 and so on",
        &["thread"],
        threads,
    ),
];

const fn gauge(
    name: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    values: fn(&Sample) -> Vec<Value>,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        is_counter: false,
        labels: &[],
        values,
    }
}

const fn counter(
    name: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    labels: &'static [&'static str],
    values: fn(&Sample) -> Vec<Value>,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        is_counter: true,
        labels,
        values,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floating point numbers"
)]
fn number(count: u64) -> f64 {
    count as f64
}

fn one(count: impl TryInto<u64>) -> Vec<Value> {
    vec![Value(
        Vec::new(),
        number(count.try_into().unwrap_or(u64::MAX)),
    )]
}

fn named(counts: &[(&str, u64)]) -> Vec<Value> {
    let value = |(name, count): &(&str, u64)| Value(vec![(*name).to_owned()], number(*count));
    counts.iter().map(value).collect()
}

fn by<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    count: impl Fn(T) -> u64,
) -> Vec<Value> {
    let value = |&one: &T| Value(vec![name(one).to_owned()], number(count(one)));
    all.iter().map(value).collect()
}

fn both_ways(sample: &Sample, of: impl Fn(Traffic) -> u64) -> Vec<Value> {
    named(&[
        ("out", of(sample.relay.sent)),
        ("in", of(sample.relay.received)),
    ])
}

fn opened(sample: &Sample) -> Vec<Value> {
    let each = |transport: Transport| {
        Families::ALL.map(|families| {
            let labels = vec![transport.name().to_owned(), families.name().to_owned()];
            Value(labels, number(sample.relay.opened_as(transport, families)))
        })
    };
    Transport::ALL.into_iter().flat_map(each).collect()
}

fn refused(sample: &Sample) -> Vec<Value> {
    let value = |&refusal: &Refusal| {
        let labels = vec![refusal.code().to_string(), refusal.cause().to_owned()];
        Value(labels, number(sample.relay.refused_for(refusal)))
    };
    Refusal::ALL.iter().map(value).collect()
}

fn certificates(sample: &Sample) -> Vec<Value> {
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
fn threads(sample: &Sample) -> Vec<Value> {
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
