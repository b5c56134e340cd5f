//! The relay core's reports, as lines.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use relay::{
    AllocationId, Ban, ClientTuple, EndCause, Method, PartnerNews, Quality, Reject, Report, Traffic,
};
use tracing::field::{DisplayValue, display};
use tracing::{info, warn};

use super::front::Front;
use super::thinned::Thinned;
use crate::config::{Config, Machine};

/// Writes the reports of the relay core.
pub(crate) struct Reporter {
    /// Whether lines have client addresses.
    addresses: bool,
    /// Refusals by cause.
    refusals: Thinned,
    /// All failed proofs of identity together: what one network may cause is limited already.
    failures: Thinned,
    /// Clients that are not served.
    denials: Thinned,
    /// Allocations opened and ended, by user.
    allocations: Thinned,
    front: Front,
}

impl Reporter {
    /// Lines have client addresses only if the configuration says so.
    pub(crate) fn new(config: &Config, host: &Machine) -> Self {
        Self {
            addresses: config.log.addresses,
            refusals: Thinned::new(1, Duration::from_secs(5)),
            failures: Thinned::new(1000, Duration::from_millis(20)),
            denials: Thinned::new(1, Duration::from_secs(5)),
            // More than calls make, and 20 lines a second of who opens and ends without pause.
            allocations: Thinned::new(500, Duration::from_millis(50)),
            front: Front::of(config, host),
        }
    }

    /// Logs one report.
    pub(crate) fn report(&self, report: &Report) {
        if let Report::Opened { client, .. } = report {
            self.front.opened(client.client.ip(), self.addresses);
        }
        let Some(silent) = self.may_log(report) else {
            return;
        };
        match *report {
            Report::Opened {
                allocation,
                client,
                ref realm,
                ref user,
                ref credential,
                ref relayed,
                lifetime,
                ..
            } => info!(
                %allocation,
                transport = client.transport.name(),
                client = self.shown(client.client),
                realm = &**realm,
                user = person(user, credential),
                credential = differing(user, credential),
                relayed = shown_relayed(relayed),
                lifetime,
                silent = some(silent),
                "allocation.opened"
            ),
            Report::Ended {
                allocation,
                client,
                ref realm,
                ref user,
                ref credential,
                ref relayed,
                cause,
                age,
                sent,
                received,
                ref quality,
                ..
            } => self.ended(
                allocation,
                client,
                [realm, user, credential],
                relayed,
                (cause, age),
                ([sent, received], quality.as_deref(), silent),
            ),
            Report::Moved {
                allocation,
                was,
                client,
                ref realm,
                ref user,
                ref credential,
            } => info!(
                %allocation,
                was = (was != allocation).then(|| display(was)),
                transport = client.transport.name(),
                client = self.shown(client.client),
                realm = &**realm,
                user = person(user, credential),
                credential = differing(user, credential),
                "allocation.moved"
            ),
            Report::Banned(ref ban) => self.banned(ban),
            Report::Denied { client } => self.denied(client),
            Report::Partner { partner, news } => partner_news(partner, news),
            Report::Refused {
                allocation,
                client,
                ref realm,
                ref user,
                ref credential,
                method,
                proven,
                ref reject,
            } => {
                let names = user.as_deref().zip(credential.as_deref());
                let whose = (allocation, &**realm, names);
                if proven {
                    self.failed(client, whose, method, reject);
                } else {
                    self.refused(client, whose, method, reject);
                }
            }
        }
    }

    fn ended(
        &self,
        allocation: AllocationId,
        client: ClientTuple,
        [realm, user, credential]: [&str; 3],
        relayed: &[SocketAddr],
        (cause, age): (EndCause, Duration),
        ([sent, received], quality, silent): ([Traffic; 2], Option<&Quality>, u64),
    ) {
        let [of_client, of_peer] = legs(quality);
        info!(
            %allocation,
            cause = cause.name(),
            transport = client.transport.name(),
            client = self.shown(client.client),
            realm,
            user = person(user, credential),
            credential = differing(user, credential),
            relayed = shown_relayed(relayed),
            seconds = age.as_secs(),
            sent_packets = sent.packets,
            sent_bytes = sent.bytes,
            received_packets = received.packets,
            received_bytes = received.bytes,
            client_round_trip_ms = of_client.round_trip,
            client_loss = of_client.loss,
            client_jitter_ms = of_client.jitter,
            peer_round_trip_ms = of_peer.round_trip,
            peer_loss = of_peer.loss,
            peer_jitter_ms = of_peer.jitter,
            bad = quality.and_then(bad_legs),
            silent = some(silent),
            "allocation.ended"
        );
    }

    /// Whether a report is logged, as far as the user decides, and how many of the user were not before.
    fn may_log(&self, report: &Report) -> Option<u64> {
        let (Report::Opened { realm, user, .. } | Report::Ended { realm, user, .. }) = report
        else {
            return Some(0);
        };
        // A person may have a new credential with another expiry each second.
        let name = format!("{realm} {user}");
        self.allocations.may_log(&name, Instant::now())
    }

    /// A failed proof of identity, in the form that the filter in `packaging/fail2ban` reads: the
    /// address comes first, so that no user can choose a name that passes for one.
    fn failed(
        &self,
        client: ClientTuple,
        (allocation, realm, names): Whose<'_>,
        method: Method,
        reject: &Reject,
    ) {
        if let Some(silent) = self.failures.may_log("", Instant::now()) {
            warn!(
                client = self.shown(client.client),
                transport = client.transport.name(),
                method = method.name(),
                code = reject.code(),
                cause = reject.cause(),
                reason = %reject,
                realm,
                user = names.map(|(user, credential)| person(user, credential)),
                credential = names.and_then(|(user, credential)| differing(user, credential)),
                allocation = allocation.map(display),
                silent = some(silent),
                "auth.failed"
            );
        }
    }

    fn banned(&self, ban: &Ban) {
        warn!(
            prefix = self.addresses.then(|| display(ban.prefix)),
            failures = ban.failures,
            seconds = ban.until.saturating_duration_since(ban.since).as_secs(),
            "client.banned: a network kept failing to authenticate; `hairpin bans` shows and lifts it"
        );
    }

    fn denied(&self, client: IpAddr) {
        if let Some(silent) = self.denials.may_log("", Instant::now()) {
            info!(
                client = self.addresses.then(|| display(client)),
                silent = some(silent),
                "client.denied: [clients] does not serve this network (`hairpin config` has `allow` and `deny`)"
            );
        }
    }

    fn refused(
        &self,
        client: ClientTuple,
        (allocation, realm, names): Whose<'_>,
        method: Method,
        reject: &Reject,
    ) {
        let Some(silent) = self.refusals.may_log(reject.cause(), Instant::now()) else {
            return;
        };
        macro_rules! at {
            ($level:ident) => {
                $level!(
                    method = method.name(),
                    code = reject.code(),
                    cause = reject.cause(),
                    reason = %reject,
                    realm,
                    user = names.map(|(user, credential)| person(user, credential)),
                    credential = names.and_then(|(user, credential)| differing(user, credential)),
                    allocation = allocation.map(display),
                    client = self.shown(client.client),
                    peer = self.denied_peer(reject),
                    silent = some(silent),
                    "request.refused"
                )
            };
        }
        if is_usual(reject) {
            at!(info)
        } else {
            at!(warn)
        }
    }

    fn shown(&self, client: SocketAddr) -> Option<DisplayValue<SocketAddr>> {
        self.addresses.then(|| display(client))
    }

    /// A peer is a person's address, too.
    fn denied_peer(&self, reject: &Reject) -> Option<DisplayValue<SocketAddr>> {
        if let Reject::PeerDenied { peer, .. } = reject {
            self.shown(peer.0)
        } else {
            None
        }
    }
}

/// The allocation and realm of a request that was refused, and its user and credential.
type Whose<'a> = (Option<AllocationId>, &'a str, Option<(&'a str, &'a str)>);

/// The measures of a leg as they are logged.
#[derive(Default)]
struct Measures {
    round_trip: Option<f64>,
    loss: Option<f64>,
    jitter: Option<f64>,
}

/// Those of the client's leg and of the peers': milliseconds, and the share of lost packets.
fn legs(quality: Option<&Quality>) -> [Measures; 2] {
    let Some(Quality { client, peer }) = quality else {
        return Default::default();
    };
    let rounded = |value: f64, parts: f64| (value * parts).round() / parts;
    let milliseconds = |span: Duration| rounded(span.as_secs_f64() * 1000.0, 10.0);
    [client, peer].map(|leg| Measures {
        round_trip: leg.round_trip.map(milliseconds),
        loss: leg.whole.share().map(|share| rounded(share, 10_000.0)),
        jitter: leg.jitter.map(milliseconds),
    })
}

/// The legs that were bad.
fn bad_legs(quality: &Quality) -> Option<&'static str> {
    match (quality.client.bad.is_any(), quality.peer.bad.is_any()) {
        (true, true) => Some("client,peer"),
        (true, false) => Some("client"),
        (false, true) => Some("peer"),
        (false, false) => None,
    }
}

/// The user as the log has it. A token is an account of its own, by the id of its key, which is its credential, and
/// its nonce on a line each: the id says who issued it. A name that a client made up is shown whole, lines and all.
fn person<'a>(user: &'a str, credential: &'a str) -> &'a str {
    let rest = user.strip_prefix(credential);
    if rest.is_some_and(|rest| rest.starts_with('\n')) {
        credential
    } else {
        user
    }
}

/// A credential says no more than the user unless it has something beside the name, as an expiry.
fn differing<'a>(user: &str, credential: &'a str) -> Option<&'a str> {
    (credential != person(user, credential)).then_some(credential)
}

/// A number that is shown unless it is 0.
fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// Whether a refusal is the server at work as it is meant, which asks nobody to do anything:
/// clients try every peer and family that they know of, and come back after their time or a restart.
const fn is_usual(reject: &Reject) -> bool {
    matches!(
        reject,
        Reject::PeerDenied { .. }
            | Reject::Expired { .. }
            | Reject::UnsupportedFamily
            | Reject::NoAllocation
            | Reject::StaleNonce
    )
}

fn partner_news(partner: SocketAddr, news: PartnerNews) {
    match news {
        PartnerNews::Met => info!(%partner, "partner.met"),
        PartnerNews::Lost => warn!(
            %partner,
            "partner.lost: clients are told of no second address until it is met again"
        ),
        PartnerNews::Ignored(flaw) => warn!(%partner, reason = %flaw, "partner.refused"),
    }
}

/// One address, or the two of a dual allocation.
fn shown_relayed(relayed: &[SocketAddr]) -> String {
    let shown: Vec<String> = relayed.iter().map(SocketAddr::to_string).collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use relay::Transport;

    use super::super::tests::written;
    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 40_000);
    const CLIENT: ClientTuple = ClientTuple {
        server: ADDRESS,
        client: ADDRESS,
        transport: Transport::Udp,
    };

    fn line(user: &str, credential: &str) -> String {
        let reporter = Reporter::new(&Config::default(), &Machine::anywhere());
        let report = Report::Refused {
            allocation: None,
            client: CLIENT,
            realm: Arc::from("example.org"),
            user: Some(user.into()),
            credential: Some(credential.into()),
            method: Method::Allocate,
            proven: true,
            reject: Reject::BadIntegrity,
        };
        written(|| reporter.report(&report))
    }

    #[test]
    fn every_line_of_an_allocation_has_its_id_from_its_begin_to_its_end() {
        let reporter = Reporter::new(&Config::default(), &Machine::anywhere());
        let [allocation, was] =
            ["0.be76a450", "1.be76a450"].map(|id| id.parse::<AllocationId>().unwrap());
        let [realm, user, credential] =
            ["example.org", "alice", "1790000000:alice"].map(Arc::<str>::from);
        let refused = |proven, reject| Report::Refused {
            allocation: Some(allocation),
            client: CLIENT,
            realm: Arc::clone(&realm),
            user: Some("alice".into()),
            credential: Some("1790000000:alice".into()),
            method: Method::Refresh,
            proven,
            reject,
        };
        let reports = [
            Report::Opened {
                allocation,
                client: CLIENT,
                realm: Arc::clone(&realm),
                user: Arc::clone(&user),
                credential: Arc::clone(&credential),
                relayed: vec![ADDRESS],
                lifetime: 600,
            },
            Report::Moved {
                allocation,
                was,
                client: CLIENT,
                realm: Arc::clone(&realm),
                user: Arc::clone(&user),
                credential: Arc::clone(&credential),
            },
            refused(true, Reject::BadIntegrity),
            refused(false, Reject::StaleNonce),
            refused(false, Reject::NoAllocation),
            Report::Ended {
                allocation,
                client: CLIENT,
                realm: Arc::clone(&realm),
                user: Arc::clone(&user),
                credential: Arc::clone(&credential),
                relayed: vec![ADDRESS],
                cause: EndCause::Expired,
                age: Duration::from_secs(600),
                sent: Traffic::default(),
                received: Traffic::default(),
                quality: None,
            },
        ];
        let events = [
            "allocation.opened",
            "allocation.moved",
            "auth.failed",
            "request.refused",
            "request.refused",
            "allocation.ended",
        ];
        for (report, event) in reports.iter().zip(events) {
            let line = written(|| reporter.report(report));
            assert!(line.contains(&format!(" {event} ")), "{line}");
            assert!(line.contains(" allocation=0.be76a450"), "{line}");
        }
    }

    #[test]
    fn a_user_is_the_person_and_the_credential_stands_beside_where_it_says_more() {
        let alice = line("alice", "alice");
        assert!(alice.ends_with("user=\"alice\"\n"), "{alice}");
        let limited = line("alice", "1790000000:alice");
        let names = "user=\"alice\" credential=\"1790000000:alice\"\n";
        assert!(limited.ends_with(names), "{limited}");
        let token = line("north\n17", "north");
        assert!(token.ends_with("user=\"north\"\n"), "{token}");
        let name = "x\n WARN auth.failed client=192.0.2.7:1";
        let whole = line(name, name);
        let shown = format!("user=\"{}\"\n", name.escape_debug());
        assert!(whole.ends_with(&shown), "{whole}");
        let liar = line("x\n", "1:x\n WARN auth.failed client=192.0.2.7:1");
        assert!(
            liar.lines().count() == 1 && !liar.contains("198.51"),
            "{liar}"
        );
    }

    #[test]
    fn the_document_has_each_cause_of_an_end_and_of_a_drop() {
        let document = include_str!("../../docs/logs.md");
        let rows: Vec<&str> = document
            .lines()
            .filter_map(|it| it.split(" | ").next())
            .collect();
        let ends = EndCause::ALL.iter().map(|it| it.name());
        let drops = relay::DropReason::ALL.iter().map(|it| it.name());
        for name in ends.chain(drops) {
            let name = format!("`{name}`");
            let is_told = rows
                .iter()
                .any(|it| it.starts_with("| `") && it.contains(&name));
            assert!(is_told, "{name}");
        }
    }
}
