//! The account of an import: what became of each line, what somebody has to decide, and where the two
//! servers differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::lines::{File, Line};
use super::shapes::Shape;
use crate::shown;

/// The outcome of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A key says the same.
    Mapped,
    /// It is so without a key.
    Default,
    /// Nothing takes its place.
    Dropped,
    /// It is not carried over, for it would open something.
    Unsafe,
    /// coturn does not know it, either.
    Unknown,
}

/// The outcome of one line, and why.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) words: String,
}

/// All that is said of an import.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// By the place of the line among those that hold something.
    verdicts: BTreeMap<usize, (Verdict, String)>,
    decisions: Vec<String>,
    /// The same, to find one that is there already.
    decided: BTreeSet<String>,
    differences: Vec<String>,
    pub(crate) shapes: Vec<Shape>,
}

impl Account {
    /// Says what became of a line. The first word on a line counts.
    pub(crate) fn settle(&mut self, line: &Line, outcome: Outcome, words: impl Into<String>) {
        let words = shown::text(&words.into());
        let shown = format!("line {:<4} {}", line.number, line.shown());
        self.verdicts
            .entry(line.index)
            .or_insert((Verdict { outcome, words }, shown));
    }

    /// Whether something was said of a line.
    pub(crate) fn knows(&self, line: &Line) -> bool {
        self.verdicts.contains_key(&line.index)
    }

    /// Asks somebody to decide.
    pub(crate) fn decide(&mut self, sentence: impl Into<String>) {
        let sentence = shown::text(&sentence.into());
        if self.decided.insert(sentence.clone()) {
            self.decisions.push(sentence);
        }
    }

    /// Tells of a difference that is on purpose.
    pub(crate) fn differ(&mut self, sentence: impl Into<String>) {
        self.differences.push(shown::text(&sentence.into()));
    }

    /// The questions that somebody has to decide.
    pub(crate) fn decisions(&self) -> &[String] {
        &self.decisions
    }

    /// The outcome of each line, in their order.
    #[cfg(test)]
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (Outcome, &str)> {
        let verdicts = self.verdicts.values();
        verdicts.map(|(verdict, _)| (verdict.outcome, verdict.words.as_str()))
    }

    /// The first lines of the configuration.
    pub(crate) fn heading(&self, name: &str) -> Vec<String> {
        let mut lines = vec![
            format!("Made by `hairpin import-coturn` of {name}. A comment names the line that a key comes from."),
            "docs/coming-from-coturn.md says what is different here, docs/configuration.md where every key is explained.".to_owned(),
        ];
        if !self.decisions.is_empty() {
            lines.extend([String::new(), "To decide:".to_owned()]);
            lines.extend(
                self.decisions
                    .iter()
                    .map(|sentence| format!("- {sentence}")),
            );
        }
        lines
    }

    /// The report, for people.
    pub(crate) fn report(&self, name: &str, file: &File) -> String {
        let mut text = String::new();
        let lines = file.lines.len();
        let plural = if lines == 1 { "" } else { "s" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}: {lines} line{plural} that coturn reads");
        for outcome in Outcome::ALL {
            self.section(&mut text, outcome);
        }
        list(&mut text, "different here, on purpose:", &self.differences);
        for shape in &self.shapes {
            list(&mut text, &shape.heading(), &shape.advice());
        }
        list(&mut text, "to decide:", &self.decisions);
        text
    }

    fn section(&self, text: &mut String, outcome: Outcome) {
        let of_it = self
            .verdicts
            .values()
            .filter(|(it, _)| it.outcome == outcome);
        let rows: Vec<_> = of_it.collect();
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{outcome} ({}):", rows.len());
        let widths = rows.iter().map(|(_, shown)| shown.chars().count());
        let width = widths.max().unwrap_or(0).min(WIDEST);
        for (Verdict { words, .. }, shown) in rows {
            if shown.chars().count() > width {
                let _ = writeln!(text, "  {shown}\n  {:width$}  {words}", "");
            } else {
                let _ = writeln!(text, "  {shown:width$}  {words}");
            }
        }
    }
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Mapped,
        Self::Default,
        Self::Dropped,
        Self::Unsafe,
        Self::Unknown,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapped => "mapped",
            Self::Default => "already the default, so no key is needed",
            Self::Dropped => "dropped",
            Self::Unsafe => "unsafe, and not carried over",
            Self::Unknown => "unknown to coturn as well",
        })
    }
}

fn list(text: &mut String, heading: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}");
    for item in items {
        let _ = writeln!(text, "  - {item}");
    }
}

/// Lines that are longer have their verdict below.
const WIDEST: usize = 56;
