//! Fuzz targets: plain functions that take bytes and panic if a promise does not hold.
//!
//! The test run replays the corpus of each target, and some thousand mutations of it that are the
//! same every time. `README.md` says how to look for more.

mod channel_data;
mod deframer;
mod input;
mod message;
mod relay_session;
mod trial;

/// A target and the name of its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The directory below `corpus/`.
    pub name: &'static str,
    /// Panics if a promise does not hold for these bytes.
    pub run: fn(&[u8]),
}

/// A STUN message read, checked and written again.
pub const MESSAGE: Target = Target {
    name: "message",
    run: message::run,
};

/// ChannelData read and written again.
pub const CHANNEL_DATA: Target = Target {
    name: "channel_data",
    run: channel_data::run,
};

/// A byte stream cut into frames, however it arrives.
pub const DEFRAMER: Target = Target {
    name: "deframer",
    run: deframer::run,
};

/// A program of steps for a server and all its clients and peers.
pub const RELAY_SESSION: Target = Target {
    name: "relay_session",
    run: relay_session::run,
};

/// Steps of a server and all its clients and peers, compared with the reference model.
pub const TRIAL: Target = Target {
    name: "trial",
    run: trial::run,
};

/// All targets.
pub const TARGETS: [Target; 5] = [MESSAGE, CHANNEL_DATA, DEFRAMER, RELAY_SESSION, TRIAL];
