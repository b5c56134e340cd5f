//! The control side: tasks beside the shards, on a runtime of their own. It owns signals and files.
//! No shard waits for it; what it wants of them goes by commands and by state that they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::admin::api::configuration::Configuration;
use ::admin::quality::Qualities;
use arc_swap::ArcSwap;
use net::Running;
use relay::Rules;
use relay::policy::Policy;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::access::{self, Access, Door};
use super::acme::{self, Orders};
use super::admin::{self, Wishes};
use super::bans;
use super::certificates::{self, Shown};
use super::ending::{self, Ending};
use super::http::{Browsers, Minting, signaling};
use super::metrics::{self, Reloads};
use super::reload::{self, Reload};
use super::signals::Signals;
use super::tickets::{self, Tickets};
use super::usage::Usage;
use super::{Fault, held_back, live, log_level, systemd};
use crate::config::Config;
use crate::log::Writer;

/// The parts of the server that every task may use.
pub(super) struct Control {
    pub(super) running: Arc<Running>,
    pub(super) log: Writer,
    pub(super) shown: Arc<Shown>,
    pub(super) tickets: Arc<Tickets>,
    pub(super) orders: Orders,
    pub(super) qualities: Arc<Qualities>,
    pub(super) reloads: Reloads,
    pub(super) minting: Arc<Minting>,
    pub(super) browsers: Browsers,
    pub(super) usage: Arc<Usage>,
    /// `[stop] drain`, in milliseconds.
    pub(super) stop_drain: AtomicU64,
    pub(super) access: Arc<Access>,
    /// The policy that the shards follow.
    pub(super) policy: ArcSwap<Policy>,
    /// The configuration in force, without its secrets.
    pub(super) configuration: ArcSwap<Configuration>,
}

impl Control {
    /// How long a server that is to stop waits for its last allocation.
    pub(super) fn stop_drain(&self) -> Duration {
        Duration::from_millis(self.stop_drain.load(Ordering::Relaxed))
    }

    /// Has the end of the server follow a configuration.
    pub(super) fn follow_stop(&self, config: &Config) {
        let patience = config.stop_drain.as_millis();
        let patience = u64::try_from(patience).unwrap_or(u64::MAX);
        self.stop_drain.store(patience, Ordering::Relaxed);
    }

    /// Has the shards follow other rules.
    pub(super) async fn adopt(&self, rules: Rules) {
        self.policy.store(Arc::new(rules.policy.clone()));
        for shard in self.running.reload(rules).await {
            warn!(
                shard,
                "shard.behind: a shard stands still: it follows the new rules when it goes on"
            );
        }
    }
}

/// Serves until a task ends the server, and stops it. `finding` finds out external addresses, `source` says
/// where the configuration comes from.
///
/// # Errors
/// If metrics or the operator cannot be listened for, or a task failed, which only a fault in this program can bring
/// about.
pub(super) async fn run(
    control: Control,
    signals: Signals,
    reload: Reload,
    finding: impl Future<Output = ()> + Send + 'static,
    source: String,
) -> Result<(), Fault> {
    let control = Arc::new(control);
    control.reloads.now();
    control.usage.follow(&reload.config, &control.running);
    control.follow_stop(&reload.config);
    let scraped = metrics::begin(&control, &reload.config)?;
    let Signals {
        terminate,
        interrupt,
        drain,
        reload: hangup,
        idle,
    } = signals;
    // A feature of the control side is one task here. The first that returns ends the server.
    let mut tasks = JoinSet::new();
    let (
        wishing,
        Wishes {
            drain: drains,
            deadline,
            reload: asked,
        },
    ) = admin::wishes();
    let ending = Ending::new(Arc::clone(&control), terminate, interrupt, drain, deadline);
    let config = reload.config.clone();
    tasks.spawn(bans::expire(Arc::clone(&control), config.log.addresses));
    let live = live::begin(&control);
    let routes = admin::routes(&control, &config, source, wishing, Arc::clone(&live));
    let administered = admin::begin(&control, &config, routes.clone())?;
    tasks.spawn(admin::serve(config, routes));
    tasks.spawn(access::say_refusals(administered, Door::Admin));
    tasks.spawn(access::say_refusals(scraped, Door::Metrics));
    tasks.spawn(log_level::fall_back(Arc::clone(&control)));
    tasks.spawn(live::keep(live));
    tasks.spawn(ending.wait(drains));
    tasks.spawn(reload::follow(Arc::clone(&control), reload, hangup, asked));
    tasks.spawn(finding);
    tasks.spawn(tell_of_failures(Arc::clone(&control)));
    tasks.spawn(keep_watchdog(Arc::clone(&control)));
    tasks.spawn(certificates::watch(Arc::clone(&control.shown)));
    tasks.spawn(acme::keep(Arc::clone(&control)));
    tasks.spawn(tickets::rotate(Arc::clone(&control.tickets)));
    tasks.spawn(held_back::say(Arc::clone(&control)));
    for signal in idle {
        tasks.spawn(signal.say());
    }
    let ended = tasks.join_next().await;
    tasks.shutdown().await;

    systemd::stopping();
    signaling::end(control.browsers.signaling.as_ref()).await;
    control.browsers.say_what_was_done();
    ending::say_what_was_done(&control.running);
    control.usage.end().await;
    control.orders.say_what_was_done();
    let lines = control.log.lost_lines();
    if lines > 0 {
        warn!(
            lines,
            "log.lost: lines of this log were lost: its reader is too slow"
        );
    }
    match ended {
        Some(Err(error)) => Err(Fault::Control(error.into())),
        Some(Ok(())) | None => Ok(()),
    }
}

async fn tell_of_failures(control: Arc<Control>) {
    loop {
        let failed = control.running.failed().await;
        error!(
            shard = failed.shard,
            error = %failed.source,
            "shard.failed: it starts again, and its clients must allocate again"
        );
    }
}

/// Tells systemd that clients are served, and then that the shards turn.
async fn keep_watchdog(control: Arc<Control>) {
    let mut watchdog = systemd::ready();
    loop {
        watchdog.due().await;
        if control.running.is_turning() {
            watchdog.notify();
        } else {
            error!("shard.stuck: a shard stands still; systemd will restart the service");
        }
    }
}
