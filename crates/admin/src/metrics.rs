//! Metrics in the OpenMetrics format. A scrape reads the counters as they are at this moment.

mod list;
mod process;
mod values;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use net::{Bounds, Load, NetCounters};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use relay::Counters;

use crate::quality::{Buckets, QualitySample};
pub use list::METRICS;
pub use process::Process;

/// A server at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Counters of the relay cores, over the life of the process.
    pub relay: Counters,
    /// Counters of their sockets.
    pub net: NetCounters,
    /// How far limits are used.
    pub load: Load,
    /// Limits of the configuration in force.
    pub bounds: Bounds,
    /// The certificates that clients are shown.
    pub certificates: Vec<Certificate>,
    /// Counters of the control side.
    pub control: ControlCounters,
    /// How good the allocations were that have ended.
    pub quality: QualitySample,
    /// The rooms of calls.
    pub signaling: Signaling,
    /// Counters of `[http]`, over the life of the process, by name.
    pub http: Vec<(&'static str, u64)>,
    /// Usage events and caps.
    pub usage: Usage,
    /// The process, as the system sees it.
    pub process: Process,
}

/// Usage events and caps of data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Counters of events, by what became of them.
    pub events: Vec<(&'static str, u64)>,
    /// Events now that wait.
    pub waiting: u64,
    /// Users and realms now that are over a cap, by what follows.
    pub over: Vec<(&'static str, u64)>,
}

/// The rooms of calls, over the life of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signaling {
    /// Rooms now.
    pub rooms: u64,
    /// Members now, those away for a moment included.
    pub members: u64,
    /// Bytes now that wait for members.
    pub queued: u64,
    /// Counters of events, by name.
    pub events: Vec<(&'static str, u64)>,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The first of its names.
    pub name: String,
    /// The kind of its key: RSA or ECDSA.
    pub key: &'static str,
    /// Its last second.
    pub ends: SystemTime,
}

/// Counters of the control side, over the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounters {
    /// Configurations that took effect.
    pub reloads: u64,
    /// Configurations that were faulty and changed nothing.
    pub reloads_failed: u64,
    /// When the configuration in force took effect, since the Unix epoch.
    pub reloaded: Duration,
    /// Certificates that an authority issued.
    pub certificates_issued: u64,
    /// Orders of certificates that failed.
    pub certificates_failed: u64,
    /// Lines of the log that were lost because its reader was too slow.
    pub log_lines_lost: u64,
}

/// Makes a [`Sample`] of now.
pub type Source = Arc<dyn Fn() -> Sample + Send + Sync>;

/// One metric: its name, unit and help once, here and nowhere else.
pub struct Metric {
    /// The name without unit and `_total`.
    pub name: &'static str,
    /// The unit, which is the end of the name.
    pub unit: Option<&'static str>,
    /// One sentence without a full stop.
    pub help: &'static str,
    /// Its kind, and where its values are.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// The kind of a metric.
#[derive(Clone, Copy)]
pub enum Kind {
    /// It only grows.
    Counter(Values),
    /// It goes up and down.
    Gauge(Values),
    /// It counts values by how large they are.
    Histogram(Distributions),
}

/// The values of a metric at one moment.
pub type Values = fn(&Sample) -> Vec<Value>;
/// Those of a histogram.
pub type Distributions = fn(&Sample) -> Vec<(&'static str, Buckets)>;

/// A value, and the values of its labels in their order.
#[derive(Debug)]
pub struct Value(Vec<String>, f64);

impl Kind {
    /// The name of the kind in the format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Metric {
    /// The name as it is scraped.
    pub fn full_name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let total = match self.kind {
            Kind::Counter(_) => "_total",
            Kind::Gauge(_) | Kind::Histogram(_) => "",
        };
        format!("{PREFIX}_{}{unit}{total}", self.name)
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, sample: &Sample) -> fmt::Result {
        let unit = self.unit.map(|unit| Unit::Other(unit.to_owned()));
        let kind = match self.kind {
            Kind::Counter(_) => MetricType::Counter,
            Kind::Gauge(_) => MetricType::Gauge,
            Kind::Histogram(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        match self.kind {
            Kind::Counter(values) => {
                for Value(values, value) in values(sample) {
                    let labels = self.labelled(values);
                    let mut of_labels = metric.encode_family(&labels)?;
                    of_labels.encode_counter::<NoLabelSet, f64, f64>(&value, None)?;
                }
            }
            Kind::Gauge(values) => {
                for Value(values, value) in values(sample) {
                    let labels = self.labelled(values);
                    metric.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
            Kind::Histogram(distributions) => {
                for (value, Buckets { counts, sum }) in distributions(sample) {
                    let labels = self.labelled([value.to_owned()]);
                    let mut of_labels = metric.encode_family(&labels)?;
                    let all = counts.iter().map(|(_, count)| count).sum();
                    of_labels.encode_histogram::<NoLabelSet>(sum, all, &counts, None)?;
                }
            }
        }
        Ok(())
    }

    /// The labels, each with its value.
    fn labelled(&self, values: impl IntoIterator<Item = String>) -> Vec<(&'static str, String)> {
        self.labels.iter().copied().zip(values).collect()
    }
}

/// The metrics of a server at `/metrics`, for everybody who is let in.
pub fn router(source: Source) -> Router {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scraped(source)));
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(async move || answer(&registry)))
}

struct Scraped(Source);

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped").finish_non_exhaustive()
    }
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sample = (self.0)();
        METRICS
            .iter()
            .try_for_each(|metric| metric.encode(&mut encoder, &sample))
    }
}

fn answer(registry: &Registry) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], body).into_response(),
        // Writing to memory does not fail.
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const PREFIX: &str = "turn";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use relay::{Allowance, RealmLoad};

    use super::*;

    fn scraped() -> String {
        let sample = || Sample {
            relay: Counters::default(),
            net: NetCounters {
                handshakes: 7,
                run_datagrams_sent: 16,
                ..NetCounters::default()
            },
            load: Load {
                allocations: 3,
                ports_taken: 4,
                ports: 100,
                connections: 1,
                most_connections: 50,
                bans: 2,
                is_draining: false,
            },
            bounds: Bounds {
                allocations: Some(9),
                realms: [("example.org", Some(5)), ("example.net", None)]
                    .map(|(realm, limit)| RealmLoad {
                        realm: realm.into(),
                        allocations: 3,
                        limit,
                    })
                    .into(),
                unauthenticated: Allowance {
                    per_prefix: None,
                    ..Allowance::default()
                },
                unauthenticated_spent: 11,
            },
            certificates: [
                ("RSA", 1_800_000_000),
                ("ECDSA", 1_800_000_002),
                ("ECDSA", 1_800_000_001),
            ]
            .map(|(key, ends)| Certificate {
                name: "turn.example.org".to_owned(),
                key,
                ends: SystemTime::UNIX_EPOCH + Duration::from_secs(ends),
            })
            .into(),
            control: ControlCounters::default(),
            quality: QualitySample::default(),
            signaling: Signaling {
                events: vec![("joined", 0)],
                ..Signaling::default()
            },
            http: vec![("requests", 0)],
            usage: Usage {
                events: vec![("delivered", 0)],
                over: vec![("warn", 0)],
                ..Usage::default()
            },
            process: Process::now(),
        };
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Scraped(Arc::new(sample))));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn every_metric_is_scraped_under_the_name_that_it_says() {
        let text = scraped();
        for metric in METRICS {
            let mut name = metric.full_name();
            if matches!(metric.kind, Kind::Histogram(_)) {
                name += "_count";
            }
            let is_there = text.lines().any(|line| {
                line.strip_prefix(&name)
                    .is_some_and(|rest| rest.starts_with([' ', '{']))
            });
            assert!(is_there, "{name} in\n{text}");
        }
        assert!(text.contains("\nturn_allocations 3"), "{text}");
        assert!(
            text.contains("turn_sockets_total{event=\"handshakes\"} 7"),
            "{text}"
        );
        let sent = "turn_datagrams_in_runs_total{direction=\"sent\"} 16";
        assert!(text.contains(sent), "{text}");
        assert!(!text.contains("event=\"run"), "{text}");
        for limit in [
            "turn_allocations_limit 9.0",
            "turn_realm_allocations{realm=\"example.net\"} 3.0",
            "turn_realm_allocations_limit{realm=\"example.org\"} 5.0",
            // There is none.
            "turn_realm_allocations_limit{realm=\"example.net\"} 0.0",
            "turn_unauthenticated_bytes_total 11.0",
            "turn_unauthenticated_limit_bytes{scope=\"total\"} 262144.0",
            "turn_unauthenticated_limit_bytes{scope=\"per-prefix\"} 0.0",
        ] {
            assert!(text.contains(&format!("\n{limit}\n")), "{limit} in\n{text}");
        }
        // Each series stands once.
        let ends = text
            .lines()
            .filter(|line| line.starts_with("turn_certificate_expiry_seconds{"));
        let of = |key: &str, ends: u32| {
            format!(
                "turn_certificate_expiry_seconds{{name=\"turn.example.org\",key=\"{key}\"}} {ends}.0"
            )
        };
        assert_eq!(
            ends.collect::<Vec<_>>(),
            [of("RSA", 1_800_000_000), of("ECDSA", 1_800_000_001)]
        );
    }

    #[test]
    fn no_two_metrics_have_one_name_and_none_ends_as_the_format_forbids() {
        let mut names = HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.full_name()), "{}", metric.name);
            for ending in ["_total", "_count", "_sum", "_bucket", "_created", "_info"] {
                assert!(!metric.name.ends_with(ending), "{}", metric.name);
            }
            assert!(!metric.help.ends_with('.'), "{}", metric.help);
        }
    }

    #[test]
    fn the_document_has_every_metric_as_it_is() {
        let row = |metric: &Metric| {
            let kind = metric.kind.name();
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let name = metric.full_name();
            format!("| `{name}` | {kind} | {labels} | {} |\n", metric.help)
        };
        let rows: String = METRICS.iter().map(row).collect();
        let document = include_str!("../../../docs/metrics.md");
        assert!(
            document.contains(&rows),
            "docs/metrics.md should have\n{rows}"
        );
    }

    #[test]
    fn this_process_has_memory_descriptors_and_a_thread() {
        let process = Process::now();
        assert!(process.resident > 1 << 20);
        assert!(process.descriptors > 2);
        assert!(!process.threads.is_empty());
    }
}
