//! `[signal]`: the rooms in which browsers find each other.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use admin::metrics;
use serde_json::json;
use signal::{Access, Ice, Limits, Mint, Options, Secrets, Signaling, TokenKeys};
use tracing::info;

use super::minting::Minting;
use crate::config::{Config, Secret};

/// The rooms, if the configuration has any: the pages for trying need them.
pub(super) fn begin(config: &Config, minting: &Arc<Minting>) -> Option<Signaling> {
    let is_wanted = config.signal.enabled || config.demo;
    is_wanted.then(|| Signaling::new(options(config), mint(Arc::clone(minting))))
}

/// Has the rooms follow a configuration.
pub(super) fn follow(signaling: Option<&Signaling>, config: &Config) {
    if let Some(signaling) = signaling {
        signaling.follow(options(config));
    }
}

/// Ends the rooms.
pub(in crate::serve) async fn end(signaling: Option<&Signaling>) {
    let Some(signaling) = signaling else {
        return;
    };
    signaling.end().await;
    for (what, count) in signaling.counters().events() {
        if count > 0 {
            info!(what, count, "server.signaling");
        }
    }
}

/// The counters of the rooms, all of them zero where there are none.
pub(in crate::serve) fn counted(signaling: Option<&Signaling>) -> metrics::Signaling {
    let counters = signaling.map(Signaling::counters).unwrap_or_default();
    metrics::Signaling {
        rooms: counters.rooms,
        members: counters.members,
        queued: counters.queued,
        events: counters.events().to_vec(),
    }
}

fn options(config: &Config) -> Options {
    let signal = &config.signal;
    let bytes = |secrets: &[Secret]| -> Vec<Vec<u8>> {
        let bytes = secrets.iter().map(|secret| secret.expose().as_bytes());
        bytes.map(<[u8]>::to_vec).collect()
    };
    let (secrets, tokens) = (bytes(&signal.secrets), bytes(&signal.token_secrets));
    let access = if !tokens.is_empty() {
        Access::Tokens(TokenKeys::new(tokens.iter().map(Vec::as_slice)))
    } else if !secrets.is_empty() {
        Access::Secret(Secrets::new(secrets.iter().map(Vec::as_slice)))
    } else {
        // The review has it that `open` is written, or that these are the rooms of pages for trying.
        Access::Open
    };
    let bytes = u32::try_from(signal.limits.message).ok();
    Options {
        access,
        limits: Limits {
            connections: config.http.connections,
            bytes: bytes.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX),
            ..signal.limits.clone()
        },
        origins: config.http.origins.clone(),
    }
}

/// This server with a credential of the member's own. Without a secret there is none.
fn mint(minting: Arc<Minting>) -> Mint {
    Arc::new(move |user| {
        let server = minting.ice_server(user, LIFETIME);
        let servers: Vec<_> = server.into_iter().collect();
        Ice {
            servers: json!(servers),
            lifetime: LIFETIME,
        }
    })
}

/// How long a credential is good; clients ask for the next one before.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
