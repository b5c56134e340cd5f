//! The findings for scripts.

use probe::doctor::{Finding, Severity};
use serde_json::{Value, json};

use super::count;

pub(super) fn text(findings: &[Finding]) -> String {
    let list = findings.iter().map(|finding| {
        json!({
            "code": finding.code.as_str(),
            "severity": finding.code.severity().to_string(),
            "server": finding.uri.as_ref().map(ToString::to_string),
            "sentence": finding.sentence,
            "meaning": finding.code.meaning(),
            "remedy": finding.code.remedy(),
        })
    });
    let value = json!({
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
        "findings": list.collect::<Value>(),
    });
    let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
    text + "\n"
}
