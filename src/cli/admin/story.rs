//! Control events in words, for `hairpin session` and `hairpin trace`.

use std::fmt::Write;

use super::api::{Failed, Happened, What};

/// A story, a line for each event.
pub(super) fn lines(story: &[Happened]) -> String {
    let mut text = String::new();
    for Happened { at, what } in story {
        let _ = writeln!(text, "{}  {}", clock(*at), words(what));
    }
    text
}

/// A client that was refused, and how.
pub(super) fn failed(failed: &Failed) -> String {
    let user = match &failed.user {
        Some(user) => format!(" as {}", user.escape_debug()),
        None => String::new(),
    };
    let standing = match failed.standing.as_str() {
        "signed" => "with the password of that user",
        "seen" => "without proof of who it is",
        _ => "or somebody who forges that address",
    };
    format!(
        "no session: {} {}{user}, {standing}\n{}",
        failed.client,
        failed.transport,
        lines(&failed.story)
    )
}

/// An event in words.
pub(super) fn words(what: &What) -> String {
    let text = |value: &Option<String>| value.as_deref().unwrap_or("?").escape_debug().to_string();
    let [method, cause, peer] = [&what.method, &what.cause, &what.peer].map(text);
    let mut words = match what.event.as_str() {
        "granted" => granted(what, &method),
        "refused" => {
            let code = what.code.unwrap_or_default();
            let about = what.peer.as_ref().map(|_| format!(" for {peer}"));
            format!(
                "{method}{} refused: {code} {cause}",
                about.unwrap_or_default()
            )
        }
        "unanswered" => format!("{method} not answered: {cause}"),
        "permission-over" => format!("permission for {peer} over: {cause}"),
        "channel-over" => {
            let channel = what.channel.unwrap_or_default();
            format!("channel {channel:#06x} to {peer} over: {cause}")
        }
        "icmp" => {
            let [kind, code] = what.icmp.unwrap_or_default();
            format!("told of an ICMP error about {peer}: type {kind}, code {code}")
        }
        "moved" => match what.moved_to {
            Some(to) => format!("moved to {to}"),
            None => "moved".to_owned(),
        },
        "away" => "its connection ended, and the session waits for its ticket".to_owned(),
        "peer-connected" => format!("{peer} connected"),
        "family-over" => format!("IPv{} over: {cause}", what.family.unwrap_or_default()),
        "ended" => format!("ended: {cause}"),
        other => other.escape_debug().to_string(),
    };
    if let Some(times) = what.times {
        let _ = write!(words, " ({times} times)");
    }
    words
}

fn granted(what: &What, method: &str) -> String {
    let mut words = format!("{method} granted");
    if let Some(channel) = what.channel {
        let _ = write!(words, ": channel {channel:#06x}");
    }
    if let Some(peer) = &what.peer {
        let before = if what.channel.is_some() { " to" } else { ":" };
        let _ = write!(words, "{before} {}", peer.escape_debug());
    }
    if what.more_peers > 0 {
        let _ = write!(words, " and {} more", what.more_peers);
    }
    match what.lifetime {
        Some(0) => words += ", and the session is over",
        Some(lifetime) => {
            let _ = write!(words, ", for {lifetime} s");
        }
        None => {}
    }
    words
}

/// The time of a day, UTC, to the millisecond.
pub(super) fn clock(at: f64) -> String {
    let millis = (at * 1000.0).round().max(0.0) as u64;
    let [hours, minutes, seconds] =
        [3_600_000, 60_000, 1000].map(|unit| millis % 86_400_000 / unit);
    let (minutes, seconds) = (minutes % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", millis % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_sentence_for_people() {
        let of = |event: &str| What {
            event: event.to_owned(),
            method: Some("ChannelBind".to_owned()),
            peer: Some("192.0.2.1:4000".to_owned()),
            ..What::default()
        };
        let bound = What {
            channel: Some(0x4000),
            ..of("granted")
        };
        assert_eq!(
            words(&bound),
            "ChannelBind granted: channel 0x4000 to 192.0.2.1:4000"
        );
        let refused = What {
            code: Some(403),
            cause: Some("peer-denied".to_owned()),
            times: Some(3),
            ..of("refused")
        };
        assert_eq!(
            words(&refused),
            "ChannelBind for 192.0.2.1:4000 refused: 403 peer-denied (3 times)"
        );
        assert_eq!(words(&of("\u{1b}[2J")), "\\u{1b}[2J");
    }

    #[test]
    fn a_time_is_one_of_the_day() {
        assert_eq!(clock(0.0), "00:00:00.000");
        assert_eq!(clock(1_790_000_000.5), "14:13:20.500");
    }
}
