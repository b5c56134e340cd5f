//! Messages of clients, read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message of a client.
#[derive(Clone, Debug)]
pub enum Message {
    /// Enters a room.
    Join(Join),
    /// Takes up a place again.
    Resume(String),
    /// Carries `data` to one member.
    Signal {
        /// The id of the member.
        to: String,
        /// JSON, as it was written.
        data: Box<RawValue>,
    },
    /// A text to one member, or to all others.
    Text {
        /// The id of the member.
        to: Option<String>,
        /// The words.
        text: String,
    },
    /// Asks for a fresh credential.
    Ice,
    /// Asks for a sign of life.
    Ping,
    /// Only says what was received.
    Ack,
    /// Leaves the room.
    Leave,
}

/// A wish to enter a room: as whom, and by which right.
#[derive(Clone, Default)]
pub struct Join {
    /// The name of the room.
    pub room: String,
    /// The name that the other members see; may be empty.
    pub name: String,
    /// The room's secret.
    pub secret: Option<String>,
    /// A token.
    pub token: Option<String>,
}

/// The secret and the token are left out.
impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join")
            .field("room", &self.room)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A message, and what stands beside any.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The message.
    pub message: Message,
    /// The `seq` of the last message that the client has received.
    pub ack: Option<u64>,
}

/// A text is not a message; the sentence says why, and holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    ack: Option<u64>,
    room: Option<String>,
    name: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    session: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    text: Option<String>,
}

impl Message {
    /// Reads a text. Keys that are not known are left for later versions.
    pub fn decode(text: &str) -> Result<Decoded, Malformed> {
        let fields: Fields<'_> = read_object(text.as_bytes()).ok_or(Malformed(
            "not a JSON object with a `type`, or a key of another type than it should be",
        ))?;
        let message = match &*fields.kind {
            "join" => Self::Join(Join {
                room: room(fields.room)?,
                name: name(fields.name.unwrap_or_default())?,
                secret: fields.secret,
                token: fields.token,
            }),
            "resume" => Self::Resume(fields.session.ok_or(Malformed("`session` is missing"))?),
            "signal" => {
                let data = fields.data.ok_or(Malformed("`data` is missing or null"))?;
                if is_deep(data.get()) {
                    return Err(Malformed("`data` is nested too deeply"));
                }
                Self::Signal {
                    to: fields.to.ok_or(Malformed("`to` is missing"))?,
                    data: data.to_owned(),
                }
            }
            "text" => Self::Text {
                to: fields.to,
                text: fields.text.ok_or(Malformed("`text` is missing"))?,
            },
            "ice" => Self::Ice,
            "ping" => Self::Ping,
            "ack" => Self::Ack,
            "leave" => Self::Leave,
            _ => return Err(Malformed("a `type` that this server does not know")),
        };
        Ok(Decoded {
            message,
            ack: fields.ack,
        })
    }
}

/// Reads JSON that is an object. For a struct serde takes a list of its values as well.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok())?
}

fn room(room: Option<String>) -> Result<String, Malformed> {
    let room = room.ok_or(Malformed("`room` is missing"))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if room.is_empty() || room.len() > LONGEST_ROOM || !room.bytes().all(is_plain) {
        return Err(Malformed(
            "`room` must be 1 to 64 letters a-z, A-Z, digits and -_.~",
        ));
    }
    Ok(room)
}

fn name(name: String) -> Result<String, Malformed> {
    if name.chars().count() > LONGEST_NAME || !(name.is_empty() || is_seen(&name)) {
        return Err(Malformed(
            "`name` must have at most 64 characters, all of which can be seen",
        ));
    }
    Ok(name)
}

/// Whether something is shown, and everything has its part in it: a name may not pass for none or for
/// another's. Joiners and variation selectors are parts of emoji and of words, but not by themselves.
fn is_seen(name: &str) -> bool {
    let mut before = Shape::Blank;
    let mut shown = false;
    for letter in name.chars() {
        let shape = Shape::of(letter);
        let is_well = match shape {
            Shape::Visible => true,
            Shape::Blank => before != Shape::Joiner,
            Shape::Joiner => matches!(before, Shape::Visible | Shape::Selector),
            Shape::Selector => before == Shape::Visible,
            Shape::Hidden => false,
        };
        if !is_well {
            return false;
        }
        shown |= shape == Shape::Visible;
        before = shape;
    }
    shown && before != Shape::Joiner
}

/// How a character is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Visible,
    /// Only its width is seen.
    Blank,
    /// Joins the characters around it, or keeps them apart.
    Joiner,
    /// Chooses a form of the one before.
    Selector,
    /// Has no shape, or changes how others are shown.
    Hidden,
}

impl Shape {
    fn of(letter: char) -> Self {
        match letter {
            '\u{200c}' | '\u{200d}' => Self::Joiner,
            '\u{fe00}'..='\u{fe0f}' => Self::Selector,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' => Self::Hidden,
            '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' => Self::Hidden,
            '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' => Self::Hidden,
            '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => Self::Hidden,
            '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' => Self::Hidden,
            '\u{e0000}'..='\u{e0fff}' => Self::Hidden,
            _ if letter.is_control() => Self::Hidden,
            _ if letter.is_whitespace() => Self::Blank,
            _ => Self::Visible,
        }
    }
}

/// Whether a parser that calls itself for each level, as some browsers' does, could run out of stack.
fn is_deep(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

const LONGEST_ROOM: usize = 64;

/// In characters.
const LONGEST_NAME: usize = 64;

/// A description or a candidate needs three levels.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> &'static str {
        Message::decode(text).unwrap_err().0
    }

    #[test]
    fn data_comes_through_as_it_was_written() {
        let text =
            r#"{"type":"signal","to":"m2","data":{ "a" : [1e5, "\ud83d\ude00", null] },"ack":7}"#;
        let decoded = Message::decode(text).unwrap();
        assert_eq!(decoded.ack, Some(7));
        let Message::Signal { to, data } = decoded.message else {
            panic!("{decoded:?}");
        };
        assert_eq!(to, "m2");
        assert_eq!(data.get(), r#"{ "a" : [1e5, "\ud83d\ude00", null] }"#);
    }

    #[test]
    fn what_is_no_message_is_told_by_a_sentence_without_its_text() {
        for text in [
            "",
            "[]",
            r#"["ping",null,null,null,null,null,null,null,null,null]"#,
            "null",
            "{}",
            "{\"type\":1}",
            "{\"type\":\"join\"",
            "\u{0}",
        ] {
            assert!(flaw(text).starts_with("not a JSON object"), "{text}");
        }
        assert_eq!(
            flaw(r#"{"type":"fly"}"#),
            "a `type` that this server does not know"
        );
        assert_eq!(flaw(r#"{"type":"join","name":"Al"}"#), "`room` is missing");
        assert_eq!(
            flaw(r#"{"type":"signal","to":"m1","data":null}"#),
            "`data` is missing or null"
        );
        assert_eq!(flaw(r#"{"type":"text","to":"m1"}"#), "`text` is missing");
        assert!(flaw(r#"{"type":"ack","type":"ack"}"#).starts_with("not a JSON"));
        assert!(flaw(r#"{"type":"ack","ack":-1}"#).starts_with("not a JSON"));
    }

    #[test]
    fn names_that_hide_something_are_refused() {
        let join = |room: &str, name: &str| {
            let text = serde_json::json!({"type": "join", "room": room, "name": name});
            Message::decode(&text.to_string())
        };
        for (room, name) in [
            ("blue-fox", "Alice"),
            ("a", ""),
            ("A.b_~9", "Zoë 👩‍👩‍👧 \u{5d0}"),
            ("a", "👁\u{fe0f}\u{200d}🗨\u{fe0f} 1\u{fe0f}\u{20e3}"),
            ("a", "\u{645}\u{6cc}\u{200c}\u{62e}"),
            ("a", "\u{5c71}\u{3000}\u{7530}"),
        ] {
            assert!(join(room, name).is_ok(), "{room} {name}");
        }
        let long = "a".repeat(65);
        for (room, name) in [
            ("", "a"),
            ("a b", "a"),
            ("../x", "a"),
            ("ä", "a"),
            (&*long, "a"),
            ("a", &*long),
            ("a", "x\u{202e}y"),
            ("a", "x\ny"),
            ("a", "x\u{200b}"),
            ("a", " "),
            ("a", "\u{a0}"),
            ("a", "\u{200d}"),
            ("a", "\u{fe0f}"),
            ("a", "x\u{200d}"),
            ("a", "\u{200d}x"),
            ("a", "x\u{200c}\u{200d}y"),
            ("a", "x \u{200d}y"),
            ("a", "x\u{200d} y"),
            ("a", "x\u{fe0f}\u{fe0f}"),
            ("a", "x\u{34f}"),
            ("a", "\u{2800}"),
            ("a", "\u{3164}"),
            ("a", "\u{ffa0}"),
        ] {
            assert!(join(room, name).is_err(), "{room} {name:?}");
        }
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_are_none() {
        let nested = |depth: usize| {
            let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            Message::decode(&format!(r#"{{"type":"signal","to":"m1","data":{data}}}"#))
        };
        assert!(nested(DEEPEST).is_ok());
        assert_eq!(
            nested(DEEPEST + 1).unwrap_err().0,
            "`data` is nested too deeply"
        );
        assert!(nested(30_000).is_err());
        let text = format!(
            r#"{{"type":"signal","to":"m1","data":"\"{}\\"}}"#,
            "[".repeat(100)
        );
        assert!(Message::decode(&text).is_ok());
    }
}
