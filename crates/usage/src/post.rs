//! Posts: batches of events, signed as Standard Webhooks has it, and the pauses between tries.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::event::{Event, time};

/// Events that are posted together, under one id at each try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The events, each as a line.
    pub lines: Vec<String>,
    /// How many events before these are lost, and nobody was told.
    pub dropped: u64,
    pub(crate) from: Source,
}

/// Where the events of a batch are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// On disk, from this number on so many.
    Disk { first: u64, count: u64 },
    /// In memory, likewise.
    Memory { first: u64, count: u64 },
}

/// The body of a request: the events that are lost come first.
pub fn body(now: Duration, dropped: Option<&Event>, lines: &[String]) -> String {
    let dropped = dropped.and_then(|event| serde_json::to_string(event).ok());
    let events: Vec<&str> = dropped.iter().chain(lines).map(String::as_str).collect();
    let (time, events) = (time(now), events.join(","));
    format!(r#"{{"type":"usage.batch","timestamp":"{time}","data":{{"events":[{events}]}}}}"#)
}

/// The key that posts are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// It is not base64.
    NotBase64,
    /// It stands for fewer than 16 bytes.
    Short,
}

impl SigningKey {
    /// The key in a text: base64, behind `whsec_` or alone.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(text: &str) -> Result<Self, NoKey> {
        let text = text.strip_prefix("whsec_").unwrap_or(text);
        let bytes = STANDARD.decode(text).map_err(|_| NoKey::NotBase64)?;
        if bytes.len() < LEAST_KEY {
            return Err(NoKey::Short);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature` for a post of this id, at this time since the Unix epoch.
    pub fn sign(&self, id: &str, now: Duration, body: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(format!("{id}.{}.", now.as_secs()).as_bytes());
        signed.update(body);
        format!("v1,{}", STANDARD.encode(signed.sign()))
    }
}

/// The key is left out.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// How long is waited after each failure: twice as long each time, up to five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The pause after one more failure. `chance` is any number: pauses differ by a fifth by it, so that servers
    /// that failed together do not come back together.
    pub fn after_failure(&mut self, chance: u32) -> Duration {
        let doubled = 1000_u64 << self.failures.min(9);
        self.failures = self.failures.saturating_add(1);
        let most = LONGEST.min(doubled);
        let spread = most / 5;
        Duration::from_millis(most - spread + u64::from(chance) % (spread + 1))
    }

    /// It works again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// In bytes. The specification wants 24 of a sender that makes them, and receivers take any.
const LEAST_KEY: usize = 16;
/// In milliseconds.
const LONGEST: u64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn a_post_is_signed_as_the_libraries_of_the_specification_do() {
        let key = SigningKey::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Duration::from_secs(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_is_base64_and_long_enough() {
        SigningKey::read("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        for (text, flaw) in [
            ("whsec_!", NoKey::NotBase64),
            ("", NoKey::Short),
            ("whsec_MfKQ9r8GKYqr", NoKey::Short),
        ] {
            assert_eq!(SigningKey::read(text).unwrap_err(), flaw, "{text}");
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_begin_anew() {
        let mut pauses = Pauses::default();
        let most: Vec<u64> = (0..12)
            .map(|_| pauses.after_failure(u32::MAX).as_secs())
            .collect();
        assert!(most.is_sorted(), "{most:?}");
        assert!((240..=300).contains(&most[11]), "{most:?}");
        pauses.reset();
        let first = pauses.after_failure(7).as_millis();
        assert!((800..=1000).contains(&first), "{first}");
    }

    #[test]
    fn the_document_shows_a_batch_as_it_is_posted() {
        let document = include_str!("../../../docs/usage.md");
        let shown = document
            .lines()
            .find(|line| line.starts_with("{\"type\":\"usage.batch\""))
            .unwrap();
        let batch: serde_json::Value = serde_json::from_str(shown).unwrap();
        let timestamp = humantime::parse_rfc3339(batch["timestamp"].as_str().unwrap()).unwrap();
        let now = timestamp.duration_since(std::time::UNIX_EPOCH).unwrap();
        let [event] = batch["data"]["events"].as_array().unwrap().as_slice() else {
            panic!("one event in {shown}");
        };
        let event: Event = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(body(now, Some(&event), &[]), shown);
    }

    #[test]
    fn a_body_is_json_whatever_it_has() {
        for lines in [vec![], vec!["{\"a\":1}".to_owned(), "{\"b\":2}".to_owned()]] {
            let body = body(Duration::from_secs(1), None, &lines);
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                value["data"]["events"].as_array().unwrap().len(),
                lines.len()
            );
            assert_eq!(value["timestamp"], "1970-01-01T00:00:01.000Z");
        }
    }
}
