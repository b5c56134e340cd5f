//! Doors for the fuzz targets: parts of this crate that take what strangers send, without the sockets
//! around them. Nothing else uses this module, and nothing in it is a promise.

mod datagrams;
mod session;
mod streams;

use std::fmt;
use std::sync::Arc;

use crate::tls::Tls;
use crate::{Fault, StreamLimits, TlsOptions};

pub use datagrams::{Datagrams, HALF_OPEN, HALF_OPEN_OF_PREFIX};
pub use session::TlsSession;
pub use streams::{FirstBytes, MOST};

/// The offer to clients over TLS and DTLS.
pub struct Offered(Arc<Tls>);

impl Offered {
    /// # Errors
    /// [`Fault::Tls`], [`Fault::Dtls`].
    pub fn new(tls: TlsOptions, streams: StreamLimits) -> Result<Self, Fault> {
        Ok(Self(Arc::new(Tls::new(tls, streams)?)))
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered").finish_non_exhaustive()
    }
}
