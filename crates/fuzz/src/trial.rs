//! A trial of the simulator, chosen by bytes: the server does as the reference model says.

use sim::Choices;
use sim::trial;

pub(crate) fn run(bytes: &[u8]) {
    if let Err(difference) = trial::run(&mut Choices::bytes(bytes), STEPS) {
        panic!("{difference}");
    }
}

/// More than a difference needs, fewer than a fuzzer would waste.
const STEPS: usize = 200;
