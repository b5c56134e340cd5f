//! Shards: sockets around the relay core
