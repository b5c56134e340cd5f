//! `[tcp]`: what bounds TCP clients.

use std::time::Duration;

use net::StreamLimits;
use relay::Limits;

use super::Judge;
use crate::config::caution::Caution;
use crate::config::file::{Number, TcpTable};

impl Judge<'_> {
    pub(super) fn tcp(&mut self, table: &TcpTable) -> Option<StreamLimits> {
        let defaults = StreamLimits::default();
        let possible = Duration::from_secs(1)..=Duration::from_secs(3600);
        let first_frame = self.duration(
            "[tcp] first-frame",
            table.first_frame.as_ref(),
            possible.clone(),
            defaults.first_frame,
        );
        let idle = self.duration("[tcp] idle", table.idle.as_ref(), possible, defaults.idle);
        // No more than a day: strangers are many, and the connections few.
        let stranger_lifetime = self.duration(
            "[tcp] stranger-lifetime",
            table.stranger_lifetime.as_ref(),
            Duration::from_secs(1)..=Duration::from_secs(24 * 3600),
            defaults.stranger_lifetime,
        );
        self.caution_short(table, [first_frame, idle], stranger_lifetime);
        let connections = self.count(
            "[tcp] connections",
            table.connections.as_ref(),
            1..=1_000_000,
            defaults.connections,
        );
        let per_prefix = self.count(
            "[tcp] per-prefix",
            table.per_prefix.as_ref(),
            1..=1_000_000,
            defaults.per_prefix,
        );
        // The largest frame must fit; a second of video at 1 Gbit/s is as much as makes sense.
        let send_queue = self.count(
            "[tcp] send-queue",
            table.send_queue.as_ref(),
            128 * 1024..=128 * 1024 * 1024,
            defaults.send_queue,
        );
        Some(StreamLimits {
            connections: connections?,
            per_prefix: per_prefix?,
            first_frame: first_frame?,
            idle: idle?,
            stranger_lifetime: stranger_lifetime?,
            send_queue: send_queue?,
        })
    }

    /// Says which bounds a shorter lifetime of strangers keeps from ever being reached.
    fn caution_short(
        &mut self,
        table: &TcpTable,
        [first_frame, idle]: [Option<Duration>; 2],
        lifetime: Option<Duration>,
    ) {
        let (Some(written), Some(lifetime)) = (&table.stranger_lifetime, lifetime) else {
            return;
        };
        for (other, bound) in [("first-frame", first_frame), ("idle", idle)] {
            if let Some(bound) = bound.filter(|bound| lifetime < *bound) {
                self.say(Caution::ShortStranger { other, bound }, written.span());
            }
        }
    }

    /// The longest Data indication to a client over TCP.
    pub(super) fn data_indication(&mut self, table: &TcpTable) -> Option<usize> {
        self.count(
            "[tcp] data-indication",
            table.data_indication.as_ref(),
            // A packet that every IPv6 link carries must fit; libnice and pion have no room for more
            // than 65,535 bytes.
            1280..=65535,
            Limits::default().stream_indication,
        )
    }

    fn count(
        &mut self,
        key: &'static str,
        written: Option<&Number>,
        possible: std::ops::RangeInclusive<u32>,
        default: usize,
    ) -> Option<usize> {
        let default = u32::try_from(default).unwrap_or(u32::MAX);
        let count = self.number(key, written, possible, default)?;
        usize::try_from(count).ok()
    }
}
