//! Steps: a heading and a verdict for each, a table of all at the end.

use std::cell::LazyCell;
use std::time::{Duration, Instant};

use crate::background::Background;
use crate::failure::Failure;
use crate::load::{Load, Watch};

/// The steps that ran, in their order.
pub(crate) struct Steps {
    done: Vec<Step>,
    /// Begins with the first step: nothing runs beside a benchmark.
    watch: LazyCell<Watch>,
}

struct Step {
    name: &'static str,
    /// Why it failed, if it did.
    failure: Option<Failure>,
    took: Duration,
    load: Option<Load>,
}

impl Steps {
    /// None ran.
    pub(crate) fn begin() -> Self {
        Self {
            done: Vec::new(),
            watch: LazyCell::new(Watch::begin),
        }
    }

    /// Runs one step. Its failure is printed here; the error only names the step.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.run_since(Instant::now(), name, step)
    }

    /// Waits for one that has been running beside others.
    pub(crate) fn join(
        &mut self,
        name: &'static str,
        background: Background,
    ) -> Result<(), Failure> {
        self.run_since(background.started(), name, || background.join())
    }

    fn run_since(
        &mut self,
        started: Instant,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        eprintln!("\n── {name} ──");
        let watch = LazyCell::force(&self.watch);
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        let load = watch.worst_since(started);
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
            load,
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

    /// Prints the steps that ran, their outcome, how long they took and how busy the machine was, and once more what failed
    /// tests said: their own step may have ended thousands of lines above.
    pub(crate) fn sum_up(&self) {
        eprintln!();
        for step in &self.done {
            let verdict = if step.failure.is_some() {
                "FAILED"
            } else {
                "passed"
            };
            let took = seconds(step.took);
            let line = format!("{verdict}  {took:>8}  {:<24}  {}", step.name, step.load());
            eprintln!("{}", line.trim_end());
        }
        let total = self.done.iter().map(|step| step.took).sum();
        eprintln!("        {:>8}  in all", seconds(total));
        for step in &self.done {
            if let Some(failure @ Failure::Tests { .. }) = &step.failure {
                let told = format!("\n{}: {failure}\n{}", step.name, step.load());
                eprintln!("{}", told.trim_end());
            }
        }
    }
}

impl Step {
    /// How busy the machine was, if that is known.
    fn load(&self) -> String {
        self.load.as_ref().map(Load::to_string).unwrap_or_default()
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
        let mut steps = Steps::begin();
        steps.run("good", || Ok(())).unwrap();
        steps
            .run("bad", || Err(Failure::Findings(vec!["no".into()])))
            .unwrap_err();
        steps.run("good again", || Ok(())).unwrap();
        assert_eq!(steps.all_passed().unwrap_err().to_string(), "failed: bad");
    }

    #[test]
    fn a_run_without_a_failed_step_passes() {
        let mut steps = Steps::begin();
        steps.run("good", || Ok(())).unwrap();
        assert!(steps.all_passed().is_ok());
    }
}
