//! The findings for people: the verdict, then server by server, the worst first.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use probe::Uri;
use probe::doctor::{Code, Examination, Examined, Finding, Severity};

use super::count;

pub(super) fn text(examination: &Examination, findings: &[Finding]) -> String {
    let of = |severity| count(findings, severity);
    let mut text = String::new();
    // The bounds of a run on this host are said first, and once.
    let with = |code| findings.iter().filter(move |it| it.code == code);
    let own = Code::OnServersHost;
    if with(own).next().is_some() {
        let _ = writeln!(text, "{} {}\n", own.meaning(), own.remedy());
    }
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let [bad, poor] =
        [(errors, "error"), (warnings, "warning")].map(|(number, what)| match number {
            1 => format!("1 {what}"),
            several => format!("{several} {what}s"),
        });
    let verdict = match (errors, warnings, of(Severity::NotTested)) {
        (0, 0, _) if of(Severity::Ok) == 0 => "Nothing could be tested.".to_owned(),
        (0, 0, 0) => "Everything that was tested works.".to_owned(),
        (0, 0, 1) => "Everything that was tested works; 1 point was not tested.".to_owned(),
        (0, 0, several) => {
            format!("Everything that was tested works; {several} points were not tested.")
        }
        (0, _, _) => format!("It works, with {poor}."),
        (_, 0, _) => format!("It does not work: {bad}."),
        (_, _, _) => format!("It does not work: {bad} and {poor}."),
    };
    let worst = findings.iter().map(|finding| finding.code.severity()).max();
    let style = style(worst.unwrap_or(Severity::NotTested)).bold();
    let _ = writeln!(text, "{style}{verdict}{style:#}");
    for works in with(Code::Works) {
        line(&mut text, works.code, &works.sentence);
    }
    // Two listeners may be behind one URI.
    let mut said: Vec<&Uri> = Vec::new();
    for Examined { uri, .. } in &examination.servers {
        if !said.contains(&uri) {
            section(&mut text, &uri.to_string(), findings, Some(uri));
            said.push(uri);
        }
    }
    section(&mut text, "This host", findings, None);
    text
}

fn section(text: &mut String, heading: &str, findings: &[Finding], of: Option<&Uri>) {
    let is_said = |code| matches!(code, Code::Works | Code::OnServersHost);
    let findings = findings.iter().filter(|it| it.uri.as_ref() == of);
    let mut findings: Vec<_> = findings.filter(|it| !is_said(it.code)).collect();
    if findings.is_empty() {
        return;
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.code.severity()));
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}{heading}{bold:#}");
    for Finding { code, sentence, .. } in findings {
        line(text, *code, code.meaning());
        let _ = writeln!(text, "                   {sentence}");
        if !code.remedy().is_empty() {
            let _ = writeln!(text, "                   -> {}", code.remedy());
        }
    }
}

fn line(text: &mut String, code: Code, words: &str) {
    let severity = code.severity();
    let style = style(severity);
    let _ = writeln!(text, "  {style}{severity:<10}{style:#} {code}  {words}");
}

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Ok => AnsiColor::Green,
        Severity::Note => return Style::new(),
        Severity::NotTested => AnsiColor::Cyan,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Error => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_tested_nothing_is_said_to_work() {
        let examination = Examination {
            servers: Vec::new(),
            login: None,
            realm: None,
            bind: probe::Bind::default(),
            families: probe::Families { v4: true, v6: true },
            roots: None,
        };
        let finding = |code| Finding {
            code,
            uri: None,
            sentence: String::new(),
        };
        let untried = finding(Code::ListenerUntried);
        let said = text(&examination, std::slice::from_ref(&untried));
        assert!(said.contains("Nothing could be tested."), "{said}");
        let nowhere = finding(Code::NoAddressForListener);
        let said = text(&examination, std::slice::from_ref(&nowhere));
        assert!(said.contains("Nothing could be tested."), "{said}");
        let said = text(&examination, &[finding(Code::Works), nowhere]);
        assert!(said.contains("Everything that was tested works."), "{said}");
        let said = text(&examination, &[finding(Code::Works), untried]);
        assert!(
            said.contains("Everything that was tested works; 1 point"),
            "{said}"
        );
    }
}
