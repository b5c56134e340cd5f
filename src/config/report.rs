//! How remarks about a configuration file are shown: the sentence, the file,
//! line and column, the offending text underlined, and what to write instead.

use std::borrow::Cow;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::fault::{Finding, Remark};
use super::mask::mask;

/// Everything there is to say about a configuration file and the files of users that it names.
///
/// `Display` is plain, the alternate form (`{:#}`) has colours. Secrets in the
/// files are hidden in both: a report ends up in journals and bug reports.
pub(crate) struct Report(Vec<Page>);

/// Everything there is to say about one file, and the file.
struct Page {
    path: String,
    text: String,
    findings: Vec<Finding>,
}

/// A finding as one line of a log.
pub(crate) struct Line {
    /// Whether it refuses the file.
    pub(crate) is_fault: bool,
    pub(crate) sentence: String,
    /// File, line and column.
    pub(crate) place: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

impl Report {
    /// `hidden` names the parts of the text that must not be shown.
    pub(super) fn new(
        path: String,
        text: &str,
        hidden: &[std::ops::Range<usize>],
        mut findings: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| finding.at.start);
        let text = mask(text, hidden);
        Self(vec![Page {
            path,
            text,
            findings,
        }])
    }

    /// The report of what has no file.
    pub(super) const fn empty() -> Self {
        Self(Vec::new())
    }

    /// What is said about other files follows.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|page| page.findings.is_empty())
    }

    /// The findings, for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        self.findings().map(|(page, finding)| page.line(finding))
    }

    fn findings(&self) -> impl Iterator<Item = (&Page, &Finding)> {
        let pages = self.0.iter();
        pages.flat_map(|page| page.findings.iter().map(move |finding| (page, finding)))
    }
}

impl Page {
    fn line(&self, finding: &Finding) -> Line {
        let before = self.text.get(..finding.at.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
        let (is_fault, sentence, help) = words(&finding.remark);
        Line {
            is_fault,
            sentence,
            place: format!("{}:{line}:{column}", self.path),
            help: help.map(Cow::into_owned),
        }
    }

    fn render(&self, finding: &Finding, renderer: &Renderer) -> String {
        let (is_fault, sentence, help) = words(&finding.remark);
        let level = if is_fault {
            Level::ERROR
        } else {
            Level::WARNING
        };
        let offending = AnnotationKind::Primary.span(finding.at.clone());
        let mut snippet = Snippet::source(&self.text)
            .path(&self.path)
            .annotation(offending);
        if let Some((at, words)) = &finding.see {
            snippet = snippet.annotation(AnnotationKind::Context.span(at.clone()).label(*words));
        }
        let mut group = Group::with_title(level.primary_title(sentence)).element(snippet);
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

/// Whether it is a fault, its sentence, and what to write instead.
fn words(remark: &Remark) -> (bool, String, Option<Cow<'static, str>>) {
    match remark {
        Remark::Fault(fault) => (true, fault.to_string(), fault.help()),
        Remark::Caution(caution) => (false, caution.to_string(), Some(caution.help())),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = if f.alternate() {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        for (index, (page, finding)) in self.findings().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", page.render(finding, &renderer))?;
        }
        Ok(())
    }
}

/// Names what was said, without the file's text.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0.iter().map(|page| (&page.path, &page.findings));
        f.debug_map().entries(said).finish()
    }
}
