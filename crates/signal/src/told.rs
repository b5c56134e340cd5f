//! Messages of the server, written. Their bodies have no `seq` and no `received`: these are added when
//! a message is sent, so that one body can wait for many members.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::Refusal;

/// A message of the server.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Told<'a> {
    #[serde(rename_all = "camelCase")]
    Joined {
        id: String,
        room: &'a str,
        session: String,
        resume_within: u64,
        members: Vec<Other<'a>>,
        ice_servers: &'a serde_json::Value,
        ice_lifetime: u64,
    },
    Resumed,
    Member {
        member: Other<'a>,
    },
    Away {
        id: String,
    },
    Back {
        id: String,
    },
    Left {
        id: String,
        cause: &'static str,
    },
    Signal {
        from: String,
        data: &'a RawValue,
    },
    Text {
        from: String,
        text: &'a str,
        all: bool,
    },
    #[serde(rename_all = "camelCase")]
    Ice {
        ice_servers: &'a serde_json::Value,
        ice_lifetime: u64,
    },
    Ack,
    Pong,
    Error {
        code: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<u64>,
    },
}

/// Another member, as one member sees it.
#[derive(Serialize)]
pub(crate) struct Other<'a> {
    pub(crate) id: String,
    pub(crate) name: &'a str,
    /// Whether the member that is told gives way when both offer at once.
    pub(crate) polite: bool,
    pub(crate) away: bool,
}

impl Told<'_> {
    /// The message without the braces around it.
    pub(crate) fn body(&self) -> Arc<str> {
        let json = serde_json::to_string(self).expect("these values are JSON");
        json.strip_prefix('{')
            .and_then(|json| json.strip_suffix('}'))
            .expect("an object")
            .into()
    }

    /// The message that a client hears before its connection ends.
    pub(crate) fn refusal(refusal: Refusal) -> Option<String> {
        let told = Told::Error {
            code: refusal.code()?,
            message: refusal.sentence(),
            to: None,
            retry: refusal.retry(),
        };
        Some(format!("{{{}}}", told.body()))
    }
}

/// A message of a session as it is sent.
pub(crate) fn numbered(body: &str, seq: u64, received: u64) -> String {
    format!(r#"{{"seq":{seq},"received":{received},{body}}}"#)
}

/// A message that is not kept for a resumption.
pub(crate) fn passing(told: &Told<'_>, received: u64) -> String {
    format!(r#"{{"received":{received},{}}}"#, told.body())
}

/// The id of a member within its room.
pub(crate) fn id(number: u32) -> String {
    format!("m{number}")
}

/// The number in an id, if it is written as [`id`] writes it.
pub(crate) fn number(id: &str) -> Option<u32> {
    let number: u32 = id.strip_prefix('m')?.parse().ok()?;
    (self::id(number) == id).then_some(number)
}
