//! DATA. RFC 8656 §18.4.

/// DATA: the payload of a Send or Data indication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

opaque!(Data = 0x0013);
