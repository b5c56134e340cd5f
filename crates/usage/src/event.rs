//! Events: what becomes of allocations, as the operator's systems are told it. docs/usage.md shows each.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Names it for ever: an event that comes twice has the same id.
    pub id: String,
    /// When it happened, in UTC.
    pub time: String,
    /// All the rest.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Kind {
    /// An allocation was granted.
    #[serde(rename = "usage.started")]
    Started(Whose),
    /// Data has passed since the event before.
    #[serde(rename = "usage.updated")]
    Updated {
        /// The allocation.
        #[serde(flatten)]
        whose: Whose,
        /// How long it has lived, in seconds.
        seconds: u64,
        /// Data from the client to peers, since the start.
        sent: Traffic,
        /// Data from peers to the client, since the start.
        received: Traffic,
    },
    /// An allocation is gone.
    #[serde(rename = "usage.ended")]
    Ended {
        /// The allocation.
        #[serde(flatten)]
        whose: Whose,
        /// How long it lived, in seconds.
        seconds: u64,
        /// Data from the client to peers, in all.
        sent: Traffic,
        /// Data from peers to the client, in all.
        received: Traffic,
        /// Why it ended, as in the log; or `killed` or `unseen`, where nobody was there to tell.
        cause: String,
        /// Whether it carried no call: at most [`crate::UNUSED`] bytes, both ways together.
        unused: bool,
    },
    /// A user or a realm has reached a cap.
    #[serde(rename = "usage.capped")]
    Capped {
        /// The realm.
        realm: String,
        /// The user; a cap of the realm as a whole has none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        user: Option<String>,
        /// The month, in UTC.
        month: String,
        /// The bytes that have passed in it, both ways together.
        bytes: u64,
        /// The cap, in bytes.
        cap: u64,
        /// The consequence: `warn`, `throttle` or `refuse`.
        then: String,
    },
    /// Events before this one are lost.
    #[serde(rename = "usage.dropped")]
    Dropped {
        /// How many.
        events: u64,
    },
}

/// An allocation, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The run of the server. Ids of allocations are good within one.
    pub run: String,
    /// The id that the allocation had when it started, as the log has it.
    pub allocation: String,
    /// The realm that the user belongs to.
    pub realm: String,
    /// The person: the name without realm and expiry.
    pub user: String,
    /// The USERNAME without the realm.
    pub credential: String,
    /// The transport between client and server.
    pub transport: String,
    /// The client's address, if the operator wants it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<SocketAddr>,
}

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of data, without headers.
    pub bytes: u64,
}

/// A time since the Unix epoch, in UTC, as events have it.
pub fn time(now: Duration) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The objects in blocks of JSON lines.
    fn shown() -> Vec<Event> {
        let document = include_str!("../../../docs/usage.md");
        let mut events = Vec::new();
        for block in document.split("```jsonl\n").skip(1) {
            let end = block.find("```").unwrap();
            for line in block[..end].lines() {
                let event: Event = serde_json::from_str(line).unwrap();
                assert_eq!(serde_json::to_string(&event).unwrap(), line);
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn the_document_shows_each_kind_of_event_as_it_is_written() {
        let mut kinds: Vec<&str> = shown()
            .iter()
            .map(|event| match event.kind {
                Kind::Started(_) => "started",
                Kind::Updated { .. } => "updated",
                Kind::Ended { .. } => "ended",
                Kind::Capped { .. } => "capped",
                Kind::Dropped { .. } => "dropped",
            })
            .collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["capped", "dropped", "ended", "started", "updated"]);
    }

    #[test]
    fn a_client_address_is_left_out_unless_there_is_one() {
        let mut whose = Whose {
            run: "5f1d".to_owned(),
            allocation: "0.be76a450".to_owned(),
            realm: "example.org".to_owned(),
            user: "al\"ice\n".to_owned(),
            credential: "1790000000:alice".to_owned(),
            transport: "udp".to_owned(),
            client: None,
        };
        let text = serde_json::to_string(&whose).unwrap();
        assert!(!text.contains("client"), "{text}");
        // A line stays one line, whatever a name is made of.
        assert!(!text.contains('\n'), "{text}");
        whose.client = Some("198.51.100.2:40000".parse().unwrap());
        let text = serde_json::to_string(&whose).unwrap();
        assert!(text.contains("\"client\":\"198.51.100.2:40000\""), "{text}");
    }
}
