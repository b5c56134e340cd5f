//! Bytes to STUN and TURN messages and back
