//! The relay core's reports, as lines.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay::{AllocationId, ClientTuple, EndCause, Method, PartnerNews, Reject, Report, Traffic};
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
            // More than calls make, and 20 lines a second of who opens and ends without pause.
            allocations: Thinned::new(500, Duration::from_millis(50)),
            front: Front::of(config, host),
        }
    }

    /// Logs one report.
    pub(crate) fn report(&self, report: Report) {
        if let Report::Opened { client, .. } = &report {
            self.front.opened(client.client.ip(), self.addresses);
        }
        let Some(silent) = self.may_log(&report) else {
            return;
        };
        match report {
            Report::Opened {
                allocation,
                client,
                realm,
                user,
                relayed,
                lifetime,
                ..
            } => info!(
                %allocation,
                transport = client.transport.name(),
                client = self.shown(client.client),
                realm = &*realm,
                user = &*user,
                relayed = shown_relayed(&relayed),
                lifetime,
                silent = some(silent),
                "allocation.opened"
            ),
            Report::Ended {
                allocation,
                client,
                realm,
                user,
                relayed,
                cause,
                age,
                sent,
                received,
                ..
            } => self.ended(
                allocation,
                client,
                [&realm, &user],
                &relayed,
                (cause, age),
                ([sent, received], silent),
            ),
            Report::Moved {
                allocation,
                was,
                client,
                realm,
                user,
            } => info!(
                %allocation,
                was = (was != allocation).then(|| display(was)),
                transport = client.transport.name(),
                client = self.shown(client.client),
                realm = &*realm,
                user = &*user,
                "allocation.moved"
            ),
            Report::Partner { partner, news } => partner_news(partner, news),
            Report::Refused {
                client,
                realm,
                user,
                method,
                proven,
                reject,
            } if proven => self.failed(client, (&realm, user.as_deref()), method, &reject),
            Report::Refused {
                client,
                realm,
                user,
                method,
                reject,
                ..
            } => self.refused(client, (&realm, user.as_deref()), method, &reject),
        }
    }

    fn ended(
        &self,
        allocation: AllocationId,
        client: ClientTuple,
        [realm, user]: [&str; 2],
        relayed: &[SocketAddr],
        (cause, age): (EndCause, Duration),
        ([sent, received], silent): ([Traffic; 2], u64),
    ) {
        info!(
            %allocation,
            cause = cause.name(),
            transport = client.transport.name(),
            client = self.shown(client.client),
            realm,
            user,
            relayed = shown_relayed(relayed),
            seconds = age.as_secs(),
            sent_packets = sent.packets,
            sent_bytes = sent.bytes,
            received_packets = received.packets,
            received_bytes = received.bytes,
            silent = some(silent),
            "allocation.ended"
        );
    }

    /// Whether a report is logged, as far as the user decides, and how many of the user were not before.
    fn may_log(&self, report: &Report) -> Option<u64> {
        let (Report::Opened { realm, account, .. } | Report::Ended { realm, account, .. }) = report
        else {
            return Some(0);
        };
        // A person may have a new name with another expiry each second.
        let name = format!("{realm} {account}");
        self.allocations.may_log(&name, Instant::now())
    }

    /// A failed proof of identity, in the form that the filter in `packaging/fail2ban` reads: the
    /// address comes first, so that no user can choose a name that passes for one.
    fn failed(
        &self,
        client: ClientTuple,
        (realm, user): (&str, Option<&str>),
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
                user,
                silent = some(silent),
                "auth.failed"
            );
        }
    }

    fn refused(
        &self,
        client: ClientTuple,
        (realm, user): (&str, Option<&str>),
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
                    user,
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

/// A number that is shown unless it is 0.
fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// Whether a refusal is the server at work as it is meant, which asks nobody to do anything:
/// clients try every peer and family that they know of, and come back after their time.
const fn is_usual(reject: &Reject) -> bool {
    matches!(
        reject,
        Reject::PeerDenied { .. }
            | Reject::Expired { .. }
            | Reject::UnsupportedFamily
            | Reject::NoAllocation
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
