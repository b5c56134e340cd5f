//! The control side: tasks beside the shards, on a runtime of their own. It owns signals and files.
//! No shard waits for it; what it wants of them goes by commands and by state that they share.

use std::sync::Arc;

use net::Running;
use relay::Rules;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::acme::{self, Orders};
use super::admin::{self, Wishes};
use super::certificates::{self, Shown};
use super::ending::{self, Ending};
use super::http::{Browsers, Minting, signaling};
use super::metrics::{self, Reloads};
use super::reload::{self, Reload};
use super::signals::Signals;
use super::tickets::{self, Tickets};
use super::{Fault, held_back, systemd};
use crate::log::Writer;

/// The parts of the server that every task may use.
pub(super) struct Control {
    pub(super) running: Arc<Running>,
    pub(super) log: Writer,
    pub(super) shown: Arc<Shown>,
    pub(super) tickets: Arc<Tickets>,
    pub(super) orders: Orders,
    pub(super) reloads: Reloads,
    pub(super) minting: Arc<Minting>,
    pub(super) browsers: Browsers,
}

impl Control {
    /// Has the shards follow other rules.
    pub(super) async fn adopt(&self, rules: Rules) {
        for shard in self.running.reload(rules).await {
            warn!(
                shard,
                "a shard stands still: it follows the new rules when it goes on"
            );
        }
    }
}

/// Serves until a task ends the server, and stops it. `finding` finds out external addresses, `source` says
/// where the configuration comes from.
///
/// # Errors
/// If metrics cannot be listened for, or a task failed, which only a fault in this program can bring
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
    let _scraped = metrics::begin(&control, &reload.config)?;
    let Signals {
        terminate,
        interrupt,
        drain,
        reload: hangup,
        idle,
    } = signals;
    let ending = Ending {
        terminate,
        interrupt,
        drain,
    };
    // A feature of the control side is one task here. The first that returns ends the server.
    let mut tasks = JoinSet::new();
    let (
        wishing,
        Wishes {
            drain,
            reload: asked,
        },
    ) = admin::wishes();
    let config = reload.config.clone();
    tasks.spawn(admin::serve(Arc::clone(&control), config, source, wishing));
    tasks.spawn(ending::wait(Arc::clone(&control), ending, drain));
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
    control.orders.say_what_was_done();
    let lines = control.log.lost_lines();
    if lines > 0 {
        warn!(lines, "lines of this log were lost: its reader is too slow");
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
            "shard.failed: it begins anew, and its clients must allocate again"
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
            error!("a shard stands still; systemd will restart the service");
        }
    }
}
