//! The relay core's reports, as lines.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay::{AllocationId, ClientTuple, EndCause, Method, PartnerNews, Reject, Report, Traffic};
use tracing::field::{DisplayValue, display};
use tracing::{info, warn};

use super::front::Front;
use super::refusals::Refusals;
use crate::config::{Config, Machine};

/// Writes the reports of the relay core.
pub(crate) struct Reporter {
    /// Whether lines have client addresses.
    addresses: bool,
    refusals: Refusals,
    front: Front,
}

impl Reporter {
    /// Lines have client addresses only if the configuration says so.
    pub(crate) fn new(config: &Config, host: &Machine) -> Self {
        Self {
            addresses: config.log.addresses,
            refusals: Refusals::default(),
            front: Front::of(config, host),
        }
    }

    /// Logs one report.
    pub(crate) fn report(&self, report: Report) {
        match report {
            Report::Opened {
                allocation,
                client,
                realm,
                user,
                relayed,
                lifetime,
            } => {
                info!(
                    %allocation,
                    transport = client.transport.name(),
                    client = self.shown(client.client),
                    realm = &*realm,
                    user = &*user,
                    relayed = shown_relayed(&relayed),
                    lifetime,
                    "allocation.opened"
                );
                self.front.opened(client.client.ip(), self.addresses);
            }
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
            } => self.ended(
                allocation,
                client,
                [&realm, &user],
                &relayed,
                (cause, age),
                [sent, received],
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
                reject,
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
        [sent, received]: [Traffic; 2],
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
            "allocation.ended"
        );
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
                    silent = (silent > 0).then_some(silent),
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
