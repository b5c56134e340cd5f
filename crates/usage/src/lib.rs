//! The use of allocations: usage events, data caps, and the files that keep them.
//!
//! A [`Book`] has the allocations that there are and makes [`Event`]s of what it is told; its
//! [`Ledger`] counts for each user and realm what passed in a month, and says who is over a [`Cap`].
//! Events go to a file ([`Lines`]) and into a [`Spool`] on disk, from which they are posted in batches that
//! a [`SigningKey`] signs. A [`Journal`] keeps the book over a restart.
//!
//! Time is an argument throughout, and the network is the caller's. The files are opened here, and
//! each failure of theirs is a state that passes: the events wait in memory, within bounds.

mod book;
mod event;
mod journal;
mod ledger;
mod lines;
mod post;
mod spool;

pub use book::{Book, Progress};
pub use event::{Event, Kind, Traffic, Whose, time};
pub use journal::{Directory, Journal};
pub use ledger::{Cap, Count, Ledger, Over, Then, UNUSED};
pub use lines::Lines;
pub use post::{Batch, NoKey, Pauses, SigningKey, body};
pub use spool::{Backlog, Spool};
