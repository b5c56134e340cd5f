//! The server as it is watched, for `hairpin top` and the dashboard.

use std::sync::Arc;

use admin::live::Live;

use super::control::Control;
use super::metrics::sample;

pub(super) fn begin(control: &Arc<Control>) -> Arc<Live> {
    let sampled = Arc::clone(control);
    let running = Arc::clone(&control.running);
    Arc::new(Live::new(running, Arc::new(move || sample(&sampled))))
}

/// Keeps the history, and looks at the sessions while somebody does.
pub(super) async fn keep(live: Arc<Live>) {
    live.keep().await;
}
