//! The server as its operator sees it. It reads what shards publish and what they share, and no shard
//! waits for it.

pub mod metrics;
