//! Reports of the rooms. No name of a member and no address is in them.

use std::sync::Arc;

/// An event, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A room has its first member.
    Opened {
        /// The room's number.
        room: u64,
        /// Its name.
        name: Arc<str>,
    },
    /// A member came.
    Joined {
        /// The room's number.
        room: u64,
        /// The member's id.
        member: String,
        /// The user of its credentials.
        user: String,
        /// How many members there are now.
        members: usize,
    },
    /// A member's connection broke.
    Away {
        /// The room's number.
        room: u64,
        /// The member's id.
        member: String,
    },
    /// A member took up its place.
    Resumed {
        /// The room's number.
        room: u64,
        /// The member's id.
        member: String,
    },
    /// A member is gone for good.
    Left {
        /// The room's number.
        room: u64,
        /// The member's id.
        member: String,
        /// The user of its credentials.
        user: String,
        /// `left`, `gone` or `ended`.
        cause: &'static str,
        /// How long it was a member.
        seconds: u64,
        /// How many messages it sent.
        messages: u64,
    },
    /// The server ended a connection.
    Refused {
        /// The code that the client was told.
        code: &'static str,
        /// Why, without anything that the client sent.
        reason: &'static str,
    },
}
