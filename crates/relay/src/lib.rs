//! The TURN server as a value
