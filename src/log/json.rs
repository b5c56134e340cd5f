//! A line of the log as a JSON object: the time, the level, the event's name, its sentence, then its fields.
//!
//! The formatter of tracing-subscriber has name and sentence in one member, which programs would have to cut
//! at the colon, although only the name is promised.

use std::fmt::{self, Debug};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::split;

/// Writes an event as one line.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        to.write_str("{\"timestamp\":")?;
        let mut members = Members(to, Ok(()));
        members.value(&time);
        members.put("level", event.metadata().level().as_str());
        event.record(&mut members);
        let Members(mut to, outcome) = members;
        outcome?;
        to.write_str("}\n")
    }
}

/// Writes members, each behind a comma.
struct Members<'w>(Writer<'w>, fmt::Result);

impl Members<'_> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.1.is_ok() {
            self.1 = write!(self.0, ",\"{name}\":");
        }
        self.value(value);
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        if self.1.is_ok() {
            let text = serde_json::to_string(value).map_err(|_| fmt::Error);
            self.1 = text.and_then(|text| self.0.write_str(&text));
        }
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() != "message" {
            return self.put(field.name(), &text);
        }
        let (name, sentence) = split(&text);
        if let Some(name) = name {
            self.put("event", name);
        }
        if !sentence.is_empty() {
            self.put("message", sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing::{info, warn};

    use super::super::tests::Lines;
    use super::*;

    fn written(said: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let out = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Line)
            .with_writer(move || out.clone());
        tracing::subscriber::with_default(log.finish(), said);
        let text = lines.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn a_line_has_its_event_its_sentence_and_its_fields_apart() {
        let name = "x\",\"event\":\"forged\"\n{}";
        let mut lines = written(|| {
            warn!(
                code = 401,
                loss = 0.5,
                open = true,
                user = name,
                none = None::<&str>,
                "cat.fed: it: ate"
            );
            info!("cat.fed");
            info!("a library speaks: so");
        });
        for line in &mut lines {
            let time = line.as_object_mut().unwrap().remove("timestamp");
            assert!(time.unwrap().as_str().unwrap().ends_with('Z'));
        }
        let expected = [
            json!({
                "level": "WARN", "event": "cat.fed", "message": "it: ate", "code": 401, "loss": 0.5, "open": true,
                "user": name,
            }),
            json!({ "level": "INFO", "event": "cat.fed" }),
            json!({ "level": "INFO", "message": "a library speaks: so" }),
        ];
        assert_eq!(lines, expected);
    }
}
