//! Why a connection ends, or a message has no effect: one list for the client, the log and the manual.

use std::time::Duration;

/// Why the server ends a connection. The member, if there is one, leaves its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A message that `docs/signaling.md` does not know, and what is wrong with it.
    BadMessage(&'static str),
    /// The first message was no `join` and no `resume`, or none came.
    NotJoined,
    /// No right to enter, and why.
    Forbidden(&'static str),
    /// A join token that is none, and why, which only the log says.
    BadToken(&'static str),
    /// There is nothing to resume.
    UnknownSession,
    /// The room has as many members as are allowed.
    RoomFull,
    /// There are as many rooms or members as are allowed, or the network has as many.
    TooMany,
    /// The network comes too often, or guesses.
    TooOften(Duration),
    /// A message above the limit.
    TooLarge,
    /// The member has taken so little that not even news of its room can be kept for it.
    TooSlow,
    /// A binary frame.
    Binary,
    /// A text that is not UTF-8.
    NotUtf8,
    /// Bytes that are no WebSocket.
    Protocol,
    /// Another connection has resumed the session.
    Resumed,
    /// Nothing came for long: the client is to resume.
    NotHeard,
    /// The client left.
    Left,
    /// The server ends.
    Ending,
}

impl Refusal {
    /// The code in an `error` message, unless the close code says all.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::BadMessage(_) => Some("bad-message"),
            Self::NotJoined => Some("not-joined"),
            Self::Forbidden(_) | Self::BadToken(_) => Some("forbidden"),
            Self::UnknownSession => Some("unknown-session"),
            Self::RoomFull => Some("room-full"),
            Self::TooMany | Self::TooOften(_) => Some("too-many"),
            Self::TooLarge => Some("too-large"),
            Self::TooSlow => Some("too-slow"),
            Self::Binary
            | Self::NotUtf8
            | Self::Protocol
            | Self::Resumed
            | Self::NotHeard
            | Self::Left
            | Self::Ending => None,
        }
    }

    /// The close code. RFC 6455 §7.4.
    pub const fn close(self) -> u16 {
        match self {
            Self::Left => 1000,
            Self::Ending => 1001,
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::BadMessage(_) | Self::NotJoined | Self::TooSlow => 1008,
            Self::TooLarge => 1009,
            Self::TooMany | Self::TooOften(_) => 1013,
            Self::Resumed => 4001,
            Self::NotHeard => 4002,
            Self::Forbidden(_) | Self::BadToken(_) => 4003,
            Self::UnknownSession => 4004,
            Self::RoomFull => 4008,
        }
    }

    /// For people. At most 123 bytes, as it is the reason in a close frame too.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BadMessage(sentence) | Self::Forbidden(sentence) => sentence,
            Self::BadToken(_) => "the token is not valid",
            Self::NotJoined => "the first message must be `join` or `resume`, within 10 seconds",
            Self::UnknownSession => "there is no such session any more: join again",
            Self::RoomFull => "the room is full",
            Self::TooMany => "the server has as many rooms or members as are allowed: try later",
            Self::TooOften(_) => "too many attempts from this network: try later",
            Self::TooLarge => "the message is longer than this server allows",
            Self::TooSlow => {
                "the messages of the server were neither read nor acknowledged in time"
            }
            Self::Binary => "only text frames are understood",
            Self::NotUtf8 => "the text is not UTF-8",
            Self::Protocol => "this is not WebSocket",
            Self::Resumed => "the session was resumed by another connection",
            Self::NotHeard => "a ping was not answered for 6 seconds: resume",
            Self::Left => "left",
            Self::Ending => "the server ends",
        }
    }

    /// For the log: what the client is told, and more where that helps only the operator.
    pub const fn reason(self) -> &'static str {
        if let Self::BadToken(reason) = self {
            return reason;
        }
        self.sentence()
    }

    /// After how many seconds another attempt is not too early.
    pub(crate) const fn retry(self) -> Option<u64> {
        match self {
            Self::TooOften(wait) => Some(wait.as_secs() + 1),
            Self::TooMany => Some(60),
            Self::BadMessage(_)
            | Self::NotJoined
            | Self::Forbidden(_)
            | Self::BadToken(_)
            | Self::UnknownSession
            | Self::RoomFull
            | Self::TooLarge
            | Self::TooSlow
            | Self::Binary
            | Self::NotUtf8
            | Self::Protocol
            | Self::Resumed
            | Self::NotHeard
            | Self::Left
            | Self::Ending => None,
        }
    }
}
