//! Steps: a heading and a verdict for each, a table of all at the end.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The steps that ran, in their order.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    /// Why it failed, if it did.
    failure: Option<Failure>,
    took: Duration,
}

impl Steps {
    /// Runs one step. Its failure is printed here; the error only names the step.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        eprintln!("\n── {name} ──");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        match &outcome {
            Ok(()) => eprintln!("   {name}: passed in {}", seconds(took)),
            Err(failure) => eprintln!("{failure}\n   {name}: FAILED after {}", seconds(took)),
        }
        let failure = outcome.err();
        let verdict = match failure {
            Some(_) => Err(Failure::Steps(vec![name])),
            None => Ok(()),
        };
        self.done.push(Step {
            name,
            failure,
            took,
        });
        verdict
    }

    /// Fails with the names of all steps that failed so far.
    pub(crate) fn all_passed(&self) -> Result<(), Failure> {
        let failed: Vec<_> = self
            .done
            .iter()
            .filter(|step| step.failure.is_some())
            .map(|step| step.name)
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Failure::Steps(failed))
        }
    }

    /// Prints the steps that ran, their outcome and how long they took, and once more what failed tests said: their own
    /// step may have ended thousands of lines above.
    pub(crate) fn sum_up(&self) {
        eprintln!();
        for step in &self.done {
            let verdict = if step.failure.is_some() {
                "FAILED"
            } else {
                "passed"
            };
            eprintln!("{verdict}  {:>8}  {}", seconds(step.took), step.name);
        }
        let total = self.done.iter().map(|step| step.took).sum();
        eprintln!("        {:>8}  in all", seconds(total));
        for step in &self.done {
            if let Some(failure @ Failure::Tests { .. }) = &step.failure {
                eprintln!("\n{}: {failure}", step.name);
            }
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_run_and_is_named() {
        let mut steps = Steps::default();
        steps.run("good", || Ok(())).unwrap();
        steps
            .run("bad", || Err(Failure::Findings(vec!["no".into()])))
            .unwrap_err();
        steps.run("good again", || Ok(())).unwrap();
        assert_eq!(steps.all_passed().unwrap_err().to_string(), "failed: bad");
    }

    #[test]
    fn a_run_without_a_failed_step_passes() {
        let mut steps = Steps::default();
        steps.run("good", || Ok(())).unwrap();
        assert!(steps.all_passed().is_ok());
    }
}
