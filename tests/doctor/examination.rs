//! The doctor's report, as a script reads it.

use std::process::Command;
use std::time::{Duration, Instant};

use lab::{
    program::{Program, here},
    server::{PASSWORD, USER, hairpin_by},
};
use serde_json::Value;

/// The doctor's report, and its exit code.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) exit: Option<i32>,
    /// All its output.
    pub(crate) text: String,
    json: Value,
}

/// Examines with `hairpin doctor … --json`, which must end soon and with readable JSON.
#[track_caller]
pub(crate) fn examine(arguments: &[&str]) -> Examination {
    examine_by(here, arguments)
}

/// The same as the lab's user.
#[track_caller]
pub(crate) fn examine_as_user(uri: &str, more: &[&str]) -> Examination {
    let login = [uri, "--user", USER, "--password", PASSWORD];
    examine(&[&login[..], more].concat())
}

/// The output for people, not on a terminal.
#[track_caller]
pub(crate) fn read(arguments: &[&str]) -> String {
    let mut doctor = hairpin_by(here);
    doctor.arg("doctor").args(arguments);
    Program::run(doctor, PROMISE + STARTING).output
}

/// The same on another host.
#[track_caller]
pub(crate) fn examine_by(how: impl FnOnce(&str) -> Command, arguments: &[&str]) -> Examination {
    let mut hairpin = hairpin_by(how);
    hairpin.arg("doctor").args(arguments).arg("--json");
    let begun = Instant::now();
    let ended = Program::run(hairpin, PROMISE + STARTING);
    let took = begun.elapsed();
    let text = ended.output;
    assert!(!text.contains("panicked"), "the doctor panicked:\n{text}");
    assert!(took < PROMISE + STARTING, "took {took:?}:\n{text}");
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON:\n{text}"));
    Examination {
        exit: ended.status.code(),
        text,
        json,
    }
}

impl Examination {
    /// The codes found of a severity, in order.
    pub(crate) fn codes(&self, severity: &str) -> Vec<&str> {
        let of = self.findings().iter();
        of.filter(|finding| finding["severity"] == severity)
            .map(|finding| finding["code"].as_str().expect("a code"))
            .collect()
    }

    /// The sentence of a finding with this code, if there is one.
    pub(crate) fn sentence(&self, code: &str) -> Option<&str> {
        let mut of = self.findings().iter();
        of.find(|finding| finding["code"] == code)
            .map(|finding| finding["sentence"].as_str().expect("a sentence"))
    }

    /// Asserts that a finding with this code has these words.
    #[track_caller]
    pub(crate) fn assert_says(&self, code: &str, words: &str) {
        let sentence = self.sentence(code);
        assert!(
            sentence.is_some_and(|it| it.contains(words)),
            "{code}: {words}?\n{self}"
        );
    }

    /// Asserts that there are no errors but these, at least one, and that the exit code agrees.
    #[track_caller]
    pub(crate) fn assert_errors(&self, expected: &[&str]) {
        assert_eq!(self.codes("error"), expected, "{self}");
        assert_eq!(self.exit, Some(1), "{self}");
        for finding in self.findings() {
            let is_said = |key: &str| finding[key].as_str().is_some_and(|text| text.len() > 9);
            assert!(is_said("sentence") && is_said("meaning"), "{finding}");
            assert!(
                finding["severity"] != "error" || is_said("remedy"),
                "{finding}"
            );
        }
    }

    /// Asserts that nothing is wrong.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(self.codes("error").is_empty(), "{self}");
        assert!(self.codes("warning").is_empty(), "{self}");
        assert_eq!(self.exit, Some(0), "{self}");
        assert_eq!(self.json["errors"], 0, "{self}");
    }

    /// Asserts that there are these findings, among any others.
    #[track_caller]
    pub(crate) fn assert_has(&self, codes: &[&str]) {
        for code in codes {
            assert!(self.sentence(code).is_some(), "no {code}:\n{self}");
        }
    }

    fn findings(&self) -> &[Value] {
        let findings = self.json["findings"].as_array();
        findings.expect("a list of findings")
    }
}

impl std::fmt::Display for Examination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in self.findings() {
            let [code, severity, sentence] =
                ["code", "severity", "sentence"].map(|key| finding[key].as_str().unwrap_or("?"));
            writeln!(f, "{code} {severity}: {sentence}")?;
        }
        write!(f, "exit code {:?}", self.exit)
    }
}

/// The longest time that a run may take.
const PROMISE: Duration = Duration::from_secs(15);

/// The time that a debug build on a busy machine takes to start and to end.
const STARTING: Duration = Duration::from_secs(2);
