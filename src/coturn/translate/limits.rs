//! Quotas, bandwidth and lifetimes.

use super::super::draft::Value;
use super::super::lines::Line;
use super::{Translation, from};

impl Translation<'_> {
    pub(super) fn limits(&mut self) {
        self.max_lifetime();
        self.quotas();
        self.bandwidth();
        self.capacity();
        if let Some(line) = self
            .file
            .last(&["mobility"])
            .filter(|line| matches!(line.flag(), Ok(true)))
        {
            let table = self.draft.table("[allocation]");
            table.set("mobility", Value::Plain("true".to_owned()), from([line]));
            self.mapped(line, "[allocation] mobility");
        }
        if !self.file.is_on("no-tcp-relay") {
            self.account.differ("TCP is not relayed (RFC 6062): no browser asks for it; [allocation] tcp = true does");
        }
        if !self.file.has("user-quota") {
            self.account.differ("one user may hold a quarter of the ports: [allocation] per-user is another number, 0 for no limit");
        }
    }

    /// A quota that is never reached is no limit: each allocation takes a port, and coturn has no word
    /// against more than there are.
    fn quotas(&mut self) {
        let (first, last) = self.port_range().unwrap_or((49152, 65535));
        let ports = u64::from(last - first) + 1;
        let total = self.file.number("total-quota").filter(|it| *it > 0);
        let most = total.map_or(ports, |total| total.min(ports));
        if let Some(line) = self.file.last(&["user-quota"]) {
            let number = line.as_number();
            let mut comments = from([line]);
            if number > most {
                comments.push(format!(
                    "All users together may have {most}, so no limit per user is needed."
                ));
            }
            let written = if number > most { 0 } else { number };
            let table = self.draft.table("[allocation]");
            table.set("per-user", Value::Plain(written.to_string()), comments);
            self.mapped(line, "[allocation] per-user");
        }
        let Some(line) = self.file.last(&["total-quota"]) else {
            return;
        };
        match total {
            None => self.needless(line, "there is no limit but the ports"),
            Some(total) if total > ports => {
                let comment = format!(
                    "An allocation takes a port, and there are {ports}: the ports are the limit."
                );
                let comments = from([line]).into_iter().chain([comment]).collect();
                self.draft.table("[allocation]").remark(comments);
                self.needless(
                    line,
                    &format!("an allocation takes a port, and there are {ports}"),
                );
            }
            Some(total) => {
                let table = self.draft.table("[allocation]");
                table.set("total", Value::Plain(total.to_string()), from([line]));
                self.mapped(line, "[allocation] total");
            }
        }
    }

    fn bandwidth(&mut self) {
        let Some(line) = self.file.last(&["max-bps"]) else {
            return;
        };
        if line.as_number() == 0 {
            self.needless(line, "there is no limit");
            return;
        }
        let rate = Value::Text(format!("{}B/s", line.as_number()));
        let mut comments = from([line]);
        comments.push("Bytes a second, each way, as coturn counts them: not bits.".to_owned());
        let table = self.draft.table("[allocation]");
        table.set("bandwidth", rate, comments);
        self.mapped(line, "[allocation] bandwidth");
    }

    fn capacity(&mut self) {
        let line = self.file.last(&["bps-capacity"]);
        if let Some(line) = line.filter(|line| line.as_number() == 0) {
            self.needless(line, "there is no limit for all allocations together");
        }
    }

    fn max_lifetime(&mut self) {
        let Some(line) = self.file.last(&["max-allocate-lifetime"]) else {
            return;
        };
        let seconds = number_or(line, 3600);
        if seconds == 3600 {
            self.needless(line, "the longest lifetime is an hour");
            return;
        }
        let granted = seconds.clamp(TEN_MINUTES, MONTH);
        let table = self.draft.table("[allocation]");
        table.set(
            "max-lifetime",
            Value::Text(format!("{granted}s")),
            from([line]),
        );
        self.mapped(line, "[allocation] max-lifetime");
        if granted != seconds {
            let what = format!(
                "{granted} seconds are used: with less than ten minutes some clients lose their calls, and with more than 30 days unused ports stay taken"
            );
            self.ask(line, &what);
        }
    }

    /// `[auth] nonce-lifetime`, which stands among the keys of authentication.
    pub(super) fn nonce_lifetime(&mut self) {
        let Some(line) = self.file.last(&["stale-nonce"]) else {
            return;
        };
        let seconds = number_or(line, 600);
        let lifetime = if seconds == 0 {
            HOUR
        } else {
            seconds.min(HOUR)
        };
        let mut comments = from([line]);
        if lifetime != seconds {
            comments.push(
                "An hour is the most; allocations outlive the nonce that they were made with."
                    .to_owned(),
            );
        }
        let table = self.draft.table("[auth]");
        table.set(
            "nonce-lifetime",
            Value::Text(format!("{lifetime}s")),
            comments,
        );
        self.mapped(line, "[auth] nonce-lifetime");
    }
}

/// The number of an option that may stand without a value.
fn number_or(line: &Line, default: u64) -> u64 {
    if line.value.is_empty() {
        default
    } else {
        line.as_number()
    }
}

const TEN_MINUTES: u64 = 600;
const HOUR: u64 = 3600;
const MONTH: u64 = 30 * 24 * HOUR;
