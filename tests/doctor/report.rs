//! The doctor's report, as a script reads it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::coturn::hairpin;
use crate::lab::program::Program;
use crate::lab::server::{PASSWORD, USER};

/// The doctor's report, and its exit code.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: Option<i32>,
    /// All its output.
    pub(crate) text: String,
    json: Value,
}

/// Examines with `hairpin doctor … --json`, which must end soon and with readable JSON.
#[track_caller]
pub(crate) fn examine(arguments: &[&str]) -> Report {
    examine_with(Command::new(hairpin()), arguments)
}

/// The same as the user of the tests' servers.
#[track_caller]
pub(crate) fn examine_as_user(uri: &str, more: &[&str]) -> Report {
    let login = ["--user", USER, "--password", PASSWORD];
    examine(&[&[uri][..], &login, more].concat())
}

/// The output for people, not on a terminal.
#[track_caller]
pub(crate) fn read(arguments: &[&str]) -> String {
    let mut doctor = Command::new(hairpin());
    doctor
        .env_remove("HAIRPIN_CONFIG")
        .env_remove("CLICOLOR_FORCE");
    doctor.arg("doctor").args(arguments);
    Program::run(doctor, "util-linux", PROMISE + STARTING).output
}

/// The same, by a command that runs `hairpin` elsewhere.
#[track_caller]
pub(crate) fn examine_with(mut hairpin: Command, arguments: &[&str]) -> Report {
    hairpin.env_remove("HAIRPIN_CONFIG");
    hairpin.arg("doctor").args(arguments).arg("--json");
    let begun = Instant::now();
    let ended = Program::run(hairpin, "util-linux", PROMISE + STARTING);
    let took = begun.elapsed();
    let text = ended.output;
    assert!(!text.contains("panicked"), "the doctor panicked:\n{text}");
    assert!(took < PROMISE + STARTING, "took {took:?}:\n{text}");
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON:\n{text}"));
    Report {
        exit: ended.status.code(),
        text,
        json,
    }
}

impl Report {
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

impl std::fmt::Display for Report {
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
