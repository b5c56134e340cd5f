//! The configuration in force, as it is noted for everybody who asks: the API, `hairpin status`, `hairpin config`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ::admin::api;
use ::admin::api::configuration::Configuration;

use super::control::Control;
use super::difference::Difference;
use crate::config::{self, Change, keeping};

/// Notes the configuration in force, for everybody who asks for it; returns the values that changed.
pub(super) fn note_adopted(
    control: &Control,
    source: String,
    values: config::Values,
    difference: &Difference,
) -> Vec<api::Changed> {
    let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let needs_restart = keys(&difference.fixed);
    let changed = changed_values(control, &values, difference);
    let values = keeping(
        values,
        &control.configuration.load().values,
        &needs_restart,
        &keys(&difference.live),
    );
    control.configuration.store(Arc::new(Configuration {
        source,
        needs_restart,
        refused: None,
        values,
    }));
    changed
}

/// Notes that the file has faults, for `hairpin status`, unless that was so before.
pub(super) fn note_refused(control: &Control) {
    let known = control.configuration.load();
    if known.refused.is_none() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        control.configuration.store(Arc::new(Configuration {
            refused: Some(now.unwrap_or_default().as_secs()),
            ..(**known).clone()
        }));
    }
}

/// The values that differ from those in force.
pub(super) fn changed_values(
    control: &Control,
    new: &config::Values,
    Difference { live, fixed }: &Difference,
) -> Vec<api::Changed> {
    let old = &control.configuration.load().values;
    let names = live.iter().chain(fixed).copied();
    let changed = config::changes(old, new, names).into_iter();
    let changed = changed.map(|Change { key, from, to }| api::Changed { key, from, to });
    changed.collect()
}
