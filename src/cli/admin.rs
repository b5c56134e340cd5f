//! The subcommands that speak to the running server: by its socket, to its API.

mod bans;
mod config;
mod end;
mod log_level;
mod quality;
mod server;
mod sessions;
mod status;
mod steer;
mod story;
mod top;
mod trace;
mod usage;
mod way;

pub(super) use ::admin::api;

pub(super) use bans::Bans;
pub(super) use config::ShowConfig;
pub(super) use end::End;
pub(super) use log_level::ShowLogLevel;
pub(super) use server::Asking;
pub(crate) use server::Fault;
pub(super) use sessions::{Session, Sessions};
pub(super) use status::Status;
pub(super) use steer::{Difference, Drain, Reload, against_running};
pub(super) use top::Top;
pub(super) use trace::Trace;
pub(super) use usage::Usage;

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// Bits in a second for people.
fn bits(rate: f64) -> String {
    scaled(rate, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// A number in the unit that fits, with a digit behind the point in all but the first.
fn scaled(mut value: f64, units: &[&'static str]) -> String {
    let mut at = 0;
    while value >= 1000.0 && at + 1 < units.len() {
        value /= 1000.0;
        at += 1;
    }
    format!("{value:.*} {}", usize::from(at > 0), units[at])
}

/// A number of seconds for people, to two units.
fn span(seconds: u64) -> String {
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_spans_are_told_in_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (2_000_000, "2.0 MB"),
            (3_400_000_000_000_000, "3400.0 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (rate, text) in [(0.0, "0 bit/s"), (64_000.0, "64.0 kbit/s")] {
            assert_eq!(bits(rate), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_720, "1 h 2 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
