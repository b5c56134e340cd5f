//! Allocations that are opened and held: what each takes of the server's memory.

use std::thread;
use std::time::Instant;

use crate::account::{Account, resident};
use crate::measured::{Cost, Generator, Measured, Packets, Remark};
use crate::session::Session;
use crate::{Fault, Plan, Progress};

/// Opens one allocation for each flow, holds them, and reads the memory before and after.
pub(crate) fn run(plan: &Plan, told: &mut dyn FnMut(Progress)) -> Result<Measured, Fault> {
    let mut before = None;
    let mut held = Vec::with_capacity(plan.flows);
    for count in 1..=plan.flows as u64 {
        let mut session = Session::open(plan)?;
        session.allocate(plan.server)?;
        held.push(session);
        if count == 1 {
            // The memory that the first one takes is not its own alone.
            before = plan.pid.map(resident).transpose()?;
        }
        if count.is_multiple_of(256) {
            told(Progress {
                sent: count,
                received: count,
            });
        }
    }
    let accounts = Account::read(plan.pid)?;
    let until = Instant::now() + plan.duration;
    while Instant::now() < until {
        thread::sleep((until - Instant::now()).min(std::time::Duration::from_millis(500)));
        let now = Instant::now();
        for session in &mut held {
            session
                .keep_alive(now)
                .map_err(Fault::host("keep an allocation alive"))?;
        }
    }
    let spending = Account::read(plan.pid)?.since(&accounts);
    let after = plan.pid.map(resident).transpose()?;
    let flows = plan.flows as u64;
    let cost = Cost::of(&spending, 0, after.unwrap_or(0)).map(|cost| Cost {
        per_allocation: before
            .zip(after)
            .filter(|_| flows > 1)
            .map(|(before, after)| after.saturating_sub(before) as f64 / (flows - 1) as f64),
        ..cost
    });
    Ok(Measured {
        seconds: spending.elapsed.as_secs_f64(),
        packets: Packets {
            sent: flows,
            received: flows,
            ..Packets::default()
        },
        latency: None,
        cost,
        remarks: Remark::of(&spending, Generator::new(plan, 1, false)),
    })
}
