//! A member of a room, and a connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use relay::SourcePrefix;

use super::outbox::Outbox;
use super::{ConnectionId, MemberId};
use crate::Refusal;
use crate::pace::{Pace, Paces};

/// A member, whether its connection lives or not.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) room: Arc<str>,
    /// The number in its id.
    pub(super) number: u32,
    pub(super) name: String,
    /// The name in its credentials.
    pub(super) user: String,
    /// The half of the session that nobody else knows.
    pub(super) secret: [u8; 16],
    pub(super) prefix: SourcePrefix,
    pub(super) place: Place,
    pub(super) outbox: Outbox,
    /// How many messages were taken from it.
    pub(super) received: u64,
    /// How many it was told of.
    pub(super) told: u64,
    pub(super) paces: Paces,
    pub(super) returns: Pace,
    pub(super) since: Instant,
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Here(ConnectionId),
    /// Until then it may come back.
    Away(Instant),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) visitor: IpAddr,
    pub(super) prefix: SourcePrefix,
    pub(super) state: State,
    /// When something last came.
    pub(super) heard: Instant,
    /// The deadline that its timer has.
    pub(super) deadline: Instant,
    /// A ping is to be sent.
    pub(super) ping: bool,
    /// A pong message is to be sent.
    pub(super) pong: bool,
    /// `resumed` is to be sent.
    pub(super) resumed: bool,
    /// For what comes while it has no member.
    pub(super) paces: Paces,
    /// A frame was taken to be written, and no other one was asked for since.
    pub(super) writing: bool,
    /// When that was noticed.
    pub(super) stuck: Option<Instant>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing came yet.
    New,
    In(MemberId),
    /// It is to be told why it ends.
    Ending(Refusal),
    /// The close frame is to be sent.
    Closing(Refusal),
    /// Everything was said.
    Closed,
}
