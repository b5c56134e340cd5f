//! The server as its operator sees it: metrics, and an API to look into it and to steer it. They read what
//! shards publish and what they share, and ask shards by commands; no shard waits for them.

pub mod api;
pub mod bearer;
mod guard;
pub mod live;
pub mod metrics;
pub mod quality;

pub use guard::guarded;
