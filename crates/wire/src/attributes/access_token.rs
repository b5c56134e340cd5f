//! ACCESS-TOKEN. RFC 7635 §6.2.

/// ACCESS-TOKEN: the token that an authorization server gave to the client. It is sealed for the
/// server, and opaque to everyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessToken<'a>(pub &'a [u8]);

opaque!(AccessToken = 0x001B);
