//! How much of everything there may be.

use std::num::NonZeroU32;
use std::time::Duration;

/// Bounds. With the default ones, what waits for members takes 64 MiB at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at a time; those that one [`relay::SourcePrefix`] opened are an eighth of them at most.
    pub rooms: usize,
    /// Members of a room.
    pub members: usize,
    /// Connections at a time, joined or not.
    pub connections: usize,
    /// Connections, and members, of one [`relay::SourcePrefix`].
    pub per_prefix: usize,
    /// The longest message of a client, in bytes.
    pub message: usize,
    /// Messages of a member in a second; a client that sends more is read more slowly.
    pub messages: NonZeroU32,
    /// Bytes of a member in a second, likewise.
    pub bytes: NonZeroU32,
    /// How many seconds' worth of both may come at once.
    pub burst: NonZeroU32,
    /// Bytes that wait for all members together; for those of one [`relay::SourcePrefix`] an eighth.
    pub queued: usize,
    /// How long a member whose connection broke keeps its place.
    pub resume: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 1000,
            members: 8,
            connections: 10_000,
            per_prefix: 256,
            message: 64 * 1024,
            messages: NonZeroU32::new(50).expect("not zero"),
            bytes: NonZeroU32::new(64 * 1024).expect("not zero"),
            burst: NonZeroU32::new(6).expect("not zero"),
            queued: 64 * 1024 * 1024,
            resume: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Bytes of one member that may wait for another: two messages of the greatest size, so that a long
    /// offer finds room beside what came before it.
    pub(crate) const fn share(&self) -> usize {
        2 * self.message
    }

    /// Rooms that one network may have opened. So few that an office would be kept out are no share.
    pub(crate) fn rooms_of_one(&self) -> usize {
        (self.rooms / 8).max(LEAST_ROOMS)
    }

    /// Bytes that may wait for a member for long: what a client that seldom acknowledges has in a quiet
    /// room.
    pub(crate) const fn little(&self) -> usize {
        self.message / 4
    }

    /// Bytes that are kept for a client that does not read them yet: the longest message of the server,
    /// and some answers to pings. Beyond it answers are left out, and a message ends the connection.
    pub(crate) const fn longest_told(&self) -> usize {
        let welcome = ICE + self.members * OTHER;
        let longest = if self.message > welcome {
            self.message
        } else {
            welcome
        };
        longest + BESIDE
    }

    /// Bytes that may wait for the members of one network.
    pub(crate) const fn queued_of_one(&self) -> usize {
        self.queued / 8
    }
}

/// Rooms that each network may open, if there may be so many.
const LEAST_ROOMS: usize = 16;

/// Bytes of another member in `joined`: a name of 64 characters of 4 bytes, and its keys.
const OTHER: usize = 384;

/// Bytes of `joined` beside the other members: more `iceServers` than any server has.
const ICE: usize = 32 * 1024;

/// Bytes beside what a member wrote, and 29 answers to pings.
const BESIDE: usize = 4 * 1024;
