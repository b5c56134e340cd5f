//! The findings for people: the verdict, then server by server, the worst first.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use probe::Uri;
use probe::doctor::{Examination, Finding, Severity};

pub(super) fn text(examination: &Examination, findings: &[Finding]) -> String {
    let of = |severity| {
        let of = findings
            .iter()
            .filter(|finding| finding.code.severity() == severity);
        of.count()
    };
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let worst = findings.iter().map(|finding| finding.code.severity()).max();
    let style = style(worst.unwrap_or(Severity::Note)).bold();
    let verdict = match (errors, warnings) {
        (0, 0) => "Everything that was examined works.".to_owned(),
        (0, warnings) => format!("It works, with {}.", counted(warnings, "warning")),
        (errors, 0) => format!("It does not work: {}.", counted(errors, "error")),
        (errors, warnings) => format!(
            "It does not work: {} and {}.",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    };
    let mut text = format!("{style}{verdict}{style:#}\n");
    for uri in &examination.servers {
        section(&mut text, &uri.to_string(), findings, Some(uri));
    }
    section(&mut text, "This host", findings, None);
    if examination.login.is_none() {
        text.push_str("\nWithout credentials only what strangers see was examined: see --help.\n");
    }
    text
}

fn section(text: &mut String, heading: &str, findings: &[Finding], of: Option<&Uri>) {
    let mut findings: Vec<_> = findings.iter().filter(|it| it.uri.as_ref() == of).collect();
    if findings.is_empty() {
        return;
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.code.severity()));
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}{heading}{bold:#}");
    for Finding { code, sentence, .. } in findings {
        let style = style(code.severity());
        let severity = code.severity();
        let _ = writeln!(
            text,
            "  {style}{severity:<7}{style:#} {code}  {}",
            code.meaning()
        );
        let _ = writeln!(text, "                {sentence}");
        if severity > Severity::Note {
            let _ = writeln!(text, "                -> {}", code.remedy());
        }
    }
}

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Note => AnsiColor::Green,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Error => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        several => format!("{several} {what}s"),
    }
}
