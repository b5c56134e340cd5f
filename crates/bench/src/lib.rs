//! The load generator: what a STUN or TURN server costs per packet, and how many it passes on.
//!
//! It speaks to any server over UDP, TCP or TLS, as many clients and as the peers they talk to. A [`Plan`] says what is
//! sent; [`run`] sends it from plain threads and returns [`Measured`]. Nothing here knows Hairpin.
//!
//! - **Lanes.** A lane is a sequence of packets in one direction: from a client through the server to its peer, back, or
//!   from client to client. Every packet says lane, number and time, and is checked when it comes in, byte for byte.
//! - **Time.** At a given rate a packet is timed from when it was *to be* sent, so that a server which stands still for
//!   a moment is not spared the packets of that moment.
//! - **Cost.** With the id of the server's process its processor time is read from the kernel's accounts, before and after.
//! - **Doubt.** [`Measured::remarks`] says when the generator or something else on the machine, and not the server, was
//!   the limit.

mod account;
mod batch;
mod carrier;
mod cycles;
mod data;
mod end;
mod fault;
mod lane;
#[cfg(test)]
mod lies;
mod measured;
mod memory;
mod pace;
mod packet;
mod plan;
mod ramp;
mod session;
mod tally;
mod tls;
mod trial;
mod worker;

pub use client::Credentials;
pub use fault::Fault;
pub use measured::{Cost, Latency, Measured, Packets, Remark, Step};
pub use plan::{Mode, Plan, Rate, Transport};
pub use tls::Trust;

/// The counts so far, for a line that shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Packets sent, requests asked, or allocations opened.
    pub sent: u64,
    /// How many of those have arrived.
    pub received: u64,
}

/// Carries a plan out, and calls `told` about twice a second.
///
/// # Errors
/// [`Fault`], if the server refuses what is needed or the host lacks it.
pub fn run(plan: &Plan, told: &mut dyn FnMut(Progress)) -> Result<Measured, Fault> {
    plan.check()?;
    match plan.mode {
        Mode::Allocate | Mode::Connect => cycles::run(plan, told),
        Mode::Idle => memory::run(plan, told),
        Mode::Up | Mode::Down | Mode::Both | Mode::Relay | Mode::Binding => match plan.rate {
            Rate::Ramp => ramp::run(plan, told),
            Rate::Max | Rate::Even(_) => data::run(plan, told),
        },
    }
}
