//! The programs of `examples/`, run as their own documentation says, against the built server.

mod library;
mod mcu;
mod quic;
mod room;
mod sfu;
