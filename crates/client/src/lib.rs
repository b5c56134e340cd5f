//! The STUN and TURN client as a value
