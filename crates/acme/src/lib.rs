//! Certificates that come and renew by themselves: a client of ACME (RFC 8555).
//!
//! [`keep()`] asks an authority for one certificate with all the names that are wanted, proves by
//! TLS-ALPN-01 (RFC 8737) or HTTP-01 that this host has them, keeps account and certificate in the
//! state directory, and renews when the authority suggests it (RFC 9773) or when two thirds of the
//! lifetime have passed. It belongs to the control side: it sees no packet, binds no socket but that
//! of HTTP-01, and logs nothing. The consequences are drawn by the [`Duties`] that it is given.
//!
//! All names stand in one certificate because most clients that come by an address name nobody in
//! their hello, and are shown the first certificate that there is: it has to hold for all of them.

mod account;
mod certificate;
mod challenges;
mod failure;
mod http;
mod http_01;
mod keep;
mod keeper;
mod order;
mod schedule;
mod store;
#[cfg(test)]
mod tests;
mod wanted;

pub use certificate::{Certificate, Unfit};
pub use failure::Failure;
pub use http::is_directory;
pub use keep::{Duties, Event, held, is_held, keep};
pub use wanted::{ExternalAccount, Name, NoName, PRODUCTION, STAGING, Wanted};
