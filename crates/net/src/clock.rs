//! The one place where the time is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use relay::Now;

/// This instant. Read once per batch, not once per packet.
pub(crate) fn now() -> Now {
    // A clock before 1970 counts as 1970, when no time-limited credential has expired.
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        mono: Instant::now(),
        unix,
    }
}
