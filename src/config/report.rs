//! How remarks about a configuration file are shown: the sentence, the file,
//! line and column, the offending text underlined, and what to write instead.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::fault::{Finding, Remark};
use super::mask::mask;

/// Everything there is to say about one configuration file.
///
/// `Display` is plain, the alternate form (`{:#}`) has colours. Secrets in the
/// file are hidden in both: a report ends up in journals and bug reports.
pub(crate) struct Report {
    path: String,
    text: String,
    findings: Vec<Finding>,
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
        Self {
            path,
            text: mask(text, hidden),
            findings,
        }
    }

    /// The report of what has no file.
    pub(super) fn empty() -> Self {
        Self {
            path: String::new(),
            text: String::new(),
            findings: Vec::new(),
        }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    fn render(&self, finding: &Finding, renderer: &Renderer) -> String {
        let (level, sentence, help) = match &finding.remark {
            Remark::Fault(fault) => (Level::ERROR, fault.to_string(), fault.help()),
            Remark::Caution(caution) => (Level::WARNING, caution.to_string(), Some(caution.help())),
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = if f.alternate() {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", self.render(finding, &renderer))?;
        }
        Ok(())
    }
}

/// Names what was said, without the file's text.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("path", &self.path)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}
