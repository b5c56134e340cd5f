//! Fuzz targets: plain functions that take bytes and panic if a promise does not hold.
//!
//! The test run replays the corpus of each target, and some thousand mutations of it that are the
//! same every time. `README.md` says how to look for more.

mod channel_data;
mod deframer;
mod demultiplexer;
mod dtls_table;
mod input;
mod message;
mod offered;
mod proxy_header;
mod relay_session;
mod signaling;
mod tls_session;
mod trial;

/// A target and the name of its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The directory below `corpus/`.
    pub name: &'static str,
    /// Panics if a promise does not hold for these bytes.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident = $module:ident;)*) => {
        $($(#[$doc])* pub const $name: Target = Target {
            name: stringify!($module),
            run: $module::run,
        };)*

        /// All targets.
        pub const TARGETS: &[Target] = &[$($name),*];
    };
}

targets! {
    /// A STUN message read, checked and written again.
    MESSAGE = message;
    /// ChannelData read and written again.
    CHANNEL_DATA = channel_data;
    /// A byte stream cut into frames, however it arrives.
    DEFRAMER = deframer;
    /// The first bytes of a stream told apart, however they arrive.
    DEMULTIPLEXER = demultiplexer;
    /// The header by which a proxy says whose bytes follow.
    PROXY_HEADER = proxy_header;
    /// A program of steps for a server and all its clients and peers.
    RELAY_SESSION = relay_session;
    /// Steps of both ends of a TLS session, and of somebody who writes into the stream.
    TLS_SESSION = tls_session;
    /// Datagrams of DTLS clients and of those who forge them.
    DTLS_TABLE = dtls_table;
    /// Steps of a server and all its clients and peers, compared with the reference model.
    TRIAL = trial;
    /// Rooms, their members and connections, and what is said in them.
    SIGNALING = signaling;
}
