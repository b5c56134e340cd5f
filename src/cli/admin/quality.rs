//! The quality of a session's legs, for people.

use super::api::{Leg, Quality, Stream};
use super::bits;

/// Both legs in as few words as a table has room for: the client's and the peer's.
pub(super) fn columns(quality: Option<&Quality>) -> [String; 2] {
    let Some(Quality { client, peer }) = quality else {
        return ["-".to_owned(), "-".to_owned()];
    };
    [client, peer].map(|leg| {
        let measures = [
            measure(leg, "round-trip", leg.round_trip_ms, |it| {
                format!("{it:.0}ms")
            }),
            measure(leg, "loss", leg.loss, |it| format!("{:.1}%", it * 100.0)),
            measure(leg, "jitter", leg.jitter_ms, |it| format!("~{it:.0}ms")),
        ];
        let known: Vec<String> = measures.into_iter().flatten().collect();
        if known.is_empty() {
            "-".to_owned()
        } else {
            known.join(" ")
        }
    })
}

/// Whether anything is known of a leg.
pub(super) fn is_measured(quality: Option<&Quality>) -> bool {
    columns(quality).iter().any(|leg| leg != "-")
}

/// A measure, with a mark if it is bad.
fn measure(
    leg: &Leg,
    name: &str,
    value: Option<f64>,
    text: impl FnOnce(f64) -> String,
) -> Option<String> {
    let mark = if leg.bad_measures.iter().any(|it| it == name) {
        "!"
    } else {
        ""
    };
    value.map(|value| text(value) + mark)
}

/// All that is known of both legs and their streams, as rows with a name each.
pub(super) fn rows(
    quality: Option<&Quality>,
    streams: &[Stream],
) -> impl Iterator<Item = (&'static str, String)> {
    let legs = quality.into_iter().flat_map(|quality| {
        let legs = [("client leg", &quality.client), ("peer leg", &quality.peer)];
        legs.map(|(name, leg)| (name, sentence(leg)))
    });
    let streams = streams.iter().map(|stream| ("stream", of_stream(stream)));
    legs.chain(streams)
}

fn sentence(leg: &Leg) -> String {
    let measures = [
        measure(leg, "round-trip", leg.round_trip_ms, |it| {
            format!("round trip {it:.1} ms")
        }),
        measure(leg, "loss", leg.loss, |it| {
            format!("loss {:.2} %", it * 100.0)
        }),
        measure(leg, "jitter", leg.jitter_ms, |it| {
            format!("jitter {it:.1} ms")
        }),
        Some(format!("{} in", bits(leg.bitrate as f64))),
        (leg.expected > 0).then(|| {
            let Leg {
                lost,
                expected,
                reordered,
                ..
            } = leg;
            format!("{lost} of {expected} packets lost, {reordered} late")
        }),
    ];
    let known: Vec<String> = measures.into_iter().flatten().collect();
    let verdict = if leg.bad { "BAD: " } else { "" };
    format!("{verdict}{}", known.join(", "))
}

fn of_stream(stream: &Stream) -> String {
    let Stream {
        leg,
        ssrc,
        expected,
        lost,
        reordered,
        ..
    } = stream;
    let clock = stream.clock.map(|hertz| format!(", {hertz} Hz"));
    let jitter = stream.jitter_ms.map(|it| format!(", jitter {it:.1} ms"));
    format!(
        "{ssrc:#010x} of the {leg}{}: {lost} of {expected} packets lost, {reordered} late{}",
        clock.unwrap_or_default(),
        jitter.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_told_by_what_was_measured_and_what_is_bad() {
        let quality: Quality = serde_json::from_value(serde_json::json!({
            "client": leg(&serde_json::json!({
                "round_trip_ms": 61.4, "loss": 0.021, "jitter_ms": 4.2, "bitrate": 1_250_000,
                "bad": true, "bad_measures": ["loss"], "expected": 5000, "lost": 100,
            })),
            "peer": leg(&serde_json::json!({})),
        }))
        .unwrap();
        assert_eq!(columns(Some(&quality)), ["61ms 2.1%! ~4ms", "-"]);
        assert_eq!(columns(None), ["-", "-"]);
        let rows: Vec<_> = rows(Some(&quality), &[]).collect();
        let client = "BAD: round trip 61.4 ms, loss 2.10 %!, jitter 4.2 ms, 1.2 Mbit/s in, \
                      100 of 5000 packets lost, 0 late";
        assert_eq!(rows[0], ("client leg", client.to_owned()));
        assert_eq!(rows[1], ("peer leg", "0 bit/s in".to_owned()));
    }

    /// A leg of which only this is known.
    fn leg(known: &serde_json::Value) -> serde_json::Value {
        let mut leg = serde_json::json!({
            "bitrate": 0, "bad": false, "expected": 0, "lost": 0, "reordered": 0, "streams": 0,
            "contents": { "stun": 0, "dtls": 0, "quic": 0, "rtp": 0, "rtcp": 0, "turn": 0, "other": 0 },
        });
        let known = known.as_object().unwrap().clone();
        leg.as_object_mut().unwrap().extend(known);
        leg
    }
}
