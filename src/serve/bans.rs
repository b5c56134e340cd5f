//! Bans that end, as lines: when their time is over, or when the operator lifts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::Ban;
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::control::Control;

/// Takes away the bans that are over. Never returns.
pub(super) async fn expire(control: Arc<Control>, addresses: bool) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for ban in control.running.bans().expire(Instant::now()) {
            say_ended(&ban, "expired", addresses);
        }
    }
}

/// Says that a ban is over.
pub(super) fn say_ended(ban: &Ban, cause: &str, addresses: bool) {
    info!(
        prefix = addresses.then(|| tracing::field::display(ban.prefix)),
        cause, "client.unbanned"
    );
}

const LOOK: Duration = Duration::from_secs(1);
