//! Every metric, once.

use relay::{DropReason, EndCause};

use super::values::{
    both_ways, by, by_leg, by_realm, certificates, events, named, one, opened, refused, threads,
    unauthenticated,
};
use super::{Distributions, Kind, Metric, Sample, Value};

/// All of them. docs/metrics.md shows the same, which a test holds.
pub const METRICS: &[Metric] = &[
    gauge("allocations", None, "Allocations that there are", |it| {
        one(it.load.allocations)
    }),
    gauge(
        "allocations_limit",
        None,
        "The most allocations ([allocation] total); 0 if there is no limit",
        |it| one(it.bounds.allocations.unwrap_or(0)),
    ),
    Metric {
        labels: &["realm"],
        ..gauge(
            "realm_allocations",
            None,
            "Allocations that there are, by the realm of their users; all realms are of the configuration",
            |it| by_realm(it, |realm| realm.allocations),
        )
    },
    Metric {
        labels: &["realm"],
        ..gauge(
            "realm_allocations_limit",
            None,
            "The most allocations of a realm ([[auth.realm]] total); 0 if there is no limit",
            |it| by_realm(it, |realm| realm.limit.unwrap_or(0)),
        )
    },
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
    Metric {
        labels: &["leg"],
        ..gauge(
            "allocations_bad",
            None,
            "Allocations of which a leg was bad when data came last ([quality]), by that leg",
            |it| {
                named(&[
                    ("client", it.relay.bad_client_legs),
                    ("peer", it.relay.bad_peer_legs),
                ])
            },
        )
    },
    quality(
        "leg_round_trip",
        "seconds",
        "Round trips of allocations at their end, by leg: client is between client and server",
        |it| by_leg(&it.quality, |leg| &leg.round_trip),
    ),
    quality(
        "leg_loss",
        "ratio",
        "The share of RTP packets that allocations lost in their life, by the leg that lost them",
        |it| by_leg(&it.quality, |leg| &leg.loss),
    ),
    quality(
        "leg_jitter",
        "seconds",
        "Jitter of RTP of allocations at their end, by leg",
        |it| by_leg(&it.quality, |leg| &leg.jitter),
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
        "unauthenticated",
        Some("bytes"),
        "Bytes that answers over UDP to clients without credentials were longer than the requests",
        &[],
        |it| one(it.bounds.unauthenticated_spent),
    ),
    Metric {
        labels: &["scope"],
        ..gauge(
            "unauthenticated_limit",
            Some("bytes"),
            "The most of those bytes in a second ([unauthenticated] total, per-prefix); 0 if there is no limit",
            unauthenticated,
        )
    },
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
        "Events at sockets, connections and TLS and DTLS sessions",
        &["event"],
        events,
    ),
    counter(
        "datagram_runs",
        None,
        "Calls by which the kernel took several datagrams of one flow (sent), and messages in which it brought several (received)",
        &["direction"],
        |it| {
            named(&[
                ("sent", it.net.runs_sent),
                ("received", it.net.runs_received),
            ])
        },
    ),
    counter(
        "datagrams_in_runs",
        None,
        "Datagrams that left by such a call (sent) or came in such a message (received); any other is alone in its own",
        &["direction"],
        |it| {
            named(&[
                ("sent", it.net.run_datagrams_sent),
                ("received", it.net.run_datagrams_received),
            ])
        },
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
        "The most connections ([tcp] connections, or fewer by the limit of open files)",
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
        "bans",
        None,
        "Networks that are banned because they kept failing to authenticate ([clients] ban-after)",
        |it| one(it.load.bans),
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
            "The end of a certificate that clients are shown, since the Unix epoch, by its first name and the kind of its key",
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
        "Bytes that wait for members of rooms or were not acknowledged yet",
        |it| one(it.signaling.queued),
    ),
    counter(
        "signaling",
        None,
        "Events in rooms and at their doors",
        &["event"],
        |it| named(&it.signaling.events),
    ),
    counter(
        "http",
        None,
        "Answers and refusals of the server for browsers ([http]) and of the credential endpoint, by event",
        &["event"],
        |it| named(&it.http),
    ),
    counter(
        "usage_events",
        None,
        "Usage events that came to the webhook or were lost, and reports of shards that were missed, by outcome",
        &["outcome"],
        |it| named(&it.usage.events),
    ),
    gauge(
        "usage_events_waiting",
        None,
        "Usage events that wait for the webhook or the file",
        |it| one(it.usage.waiting),
    ),
    Metric {
        labels: &["then"],
        ..gauge(
            "over_cap",
            None,
            "Users and realms that are over a cap of data in this month, by what follows",
            |it| named(&it.usage.over),
        )
    },
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
        "The time at which the configuration in force took effect, since the Unix epoch",
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
        "The most open file descriptors; 0 if there is no limit",
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
        kind: Kind::Gauge(values),
        labels: &[],
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
        kind: Kind::Counter(values),
        labels,
    }
}

/// One of the quality of allocations, by leg.
const fn quality(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    distributions: Distributions,
) -> Metric {
    Metric {
        name,
        unit: Some(unit),
        help,
        kind: Kind::Histogram(distributions),
        labels: &["leg"],
    }
}
