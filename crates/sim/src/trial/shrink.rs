//! Runs, and the report of one that fails.

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use super::scene::Scene;
use super::step::Step;
use super::{Coverage, Trial};
use crate::choices::Choices;

/// A difference between server and model, in a scene and after so many steps.
pub struct Difference {
    scene: Scene,
    /// The fewest steps found that show it.
    steps: Vec<Step>,
    /// The events in these steps, and at the end the difference.
    trace: Vec<String>,
}

/// Makes so many steps, or fewer if the choices end before.
///
/// # Errors
/// The first [`Difference`], made short.
pub fn run(choices: &mut Choices<'_>, steps: usize) -> Result<Coverage, Box<Difference>> {
    let scene = Scene::choose(choices);
    let mut made = Vec::new();
    let outcome = guarded(|| {
        let mut trial = Trial::new(scene.clone());
        while made.len() < steps && !choices.is_over() {
            let step = trial.choose(choices);
            made.push(step.clone());
            trial.step(&step)?;
        }
        trial.finish()?;
        Ok(trial.coverage)
    });
    outcome.map_err(|_| Box::new(Difference::shortened(scene, made)))
}

impl Difference {
    fn shortened(scene: Scene, mut steps: Vec<Step>) -> Self {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        steps = shortest(steps, |fewer| replay(&scene, fewer).is_err());
        let trace = replay(&scene, &steps).err();
        panic::set_hook(hook);
        let trace = trace.unwrap_or_else(|| vec!["it does not fail again".to_owned()]);
        Self {
            scene,
            steps,
            trace,
        }
    }
}

/// Removes the steps that are not needed to fail: first halves, then quarters, at last single ones.
fn shortest(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let before = steps.len();
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at + size));
            if fails(&fewer) {
                steps = fewer;
            } else {
                at += size;
            }
        }
        // A step that was needed before may not be needed now.
        if steps.len() == before {
            size /= 2;
        }
    }
    steps
}

/// Repeats steps; if they fail, returns how.
fn replay(scene: &Scene, steps: &[Step]) -> Result<(), Vec<String>> {
    let mut trial = Trial::new(scene.clone());
    trial.trace = Some(Vec::new());
    let outcome = guarded(|| {
        steps.iter().try_for_each(|step| trial.step(step))?;
        trial.finish()
    });
    outcome.map_err(|why| {
        let mut trace = trial.trace.take().unwrap_or_default();
        trace.push(why);
        trace
    })
}

/// A panic, of the server or of the world that checks its books, counts as a difference too.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| Err(spoken(&*cause)))
}

fn spoken(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref().copied());
    format!("panic: {}", text.unwrap_or("without words"))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.scene)?;
        writeln!(f, "after {} steps:", self.steps.len())?;
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use std::time::Duration;

    /// Makes a run with a server that gives longer lifetimes than the model allows.
    fn difference_to_a_stricter_model() -> Result<(), String> {
        let mut choices = Choices::seeded(1);
        let scene = Scene::choose(&mut choices);
        let mut terms = scene.terms();
        terms.max_lifetime = 600;
        let mut trial = Trial::new(scene);
        trial.model = Model::new(terms, trial.now());
        (0..1000).try_for_each(|_| {
            let step = trial.choose(&mut choices);
            // The model would be given the server's rules.
            if matches!(step, Step::Rules(_)) {
                return Ok(());
            }
            trial.step(&step)
        })
    }

    #[test]
    fn a_server_that_does_otherwise_is_found_out() {
        let difference = difference_to_a_stricter_model().expect_err("a longer lifetime");
        assert!(difference.contains("expected ["), "{difference}");
    }

    #[test]
    fn of_many_steps_those_are_left_without_which_nothing_fails() {
        let steps = (0..100).map(|second| Step::Wait(Duration::from_secs(second)));
        let fails = |steps: &[Step]| {
            let has = |second| {
                let mut all = steps.iter();
                all.any(|step| matches!(step, Step::Wait(it) if it.as_secs() == second))
            };
            has(17) && has(71)
        };
        let left = shortest(steps.collect(), fails);
        assert_eq!(format!("{left:?}"), "[Wait(17s), Wait(71s)]");
    }
}
