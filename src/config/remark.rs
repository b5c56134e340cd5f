//! Remarks about a configuration file, and how they are shown: the sentence, the file, line and
//! column, the offending text underlined, and what to write instead.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::mask::mask;

/// One remark about a configuration file. Its sentence stands where the mistake is found: nothing
/// is done with it but to show it.
#[derive(Debug)]
pub(super) struct Remark {
    /// Faults refuse the file; cautions are about what works and may not be meant.
    pub(super) is_fault: bool,
    /// The offending text, in bytes from the start of the file.
    pub(super) at: Range<usize>,
    pub(super) sentence: String,
    pub(super) help: Option<String>,
    /// Another place that explains this one, and what it says.
    pub(super) see: Option<(Range<usize>, &'static str)>,
}

impl Remark {
    /// The server cannot run with the text at `at`.
    pub(super) fn fault(at: Range<usize>, sentence: impl Into<String>) -> Self {
        Self {
            is_fault: true,
            at,
            sentence: sentence.into(),
            help: None,
            see: None,
        }
    }

    /// It can, but the operator may not have meant it.
    pub(super) fn caution(at: Range<usize>, sentence: impl Into<String>) -> Self {
        Self {
            is_fault: false,
            ..Self::fault(at, sentence)
        }
    }

    /// The same about all of the file.
    pub(super) fn overall(sentence: impl Into<String>) -> Self {
        Self::caution(NOWHERE, sentence)
    }

    /// The same about a place.
    pub(super) fn at(self, at: Range<usize>) -> Self {
        Self { at, ..self }
    }

    /// The correction.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// The place that explains this one, if there is one.
    pub(super) fn see(self, at: impl Into<Option<Range<usize>>>, words: &'static str) -> Self {
        Self {
            see: at.into().map(|at| (at, words)),
            ..self
        }
    }
}

/// Everything there is to say about a configuration file, the files of users that it names, and the
/// environment beside it.
///
/// `Display` is plain, the alternate form (`{:#}`) has colours. Secrets are hidden in both: remarks
/// end up in journals and bug reports.
#[derive(Default)]
pub(crate) struct Remarks(Vec<Page>);

/// Everything there is to say about one text.
struct Page {
    /// Empty if there is no file.
    path: String,
    text: String,
    remarks: Vec<Remark>,
}

/// A remark as one line of a log.
pub(crate) struct Line<'r> {
    pub(crate) is_fault: bool,
    pub(crate) sentence: &'r str,
    /// File, line and column, as far as there are any.
    pub(crate) place: Option<String>,
    /// The correction.
    pub(crate) help: Option<&'r str>,
}

impl Remarks {
    /// `hidden` names the parts of the text that must not be shown.
    pub(super) fn new(
        path: String,
        text: &str,
        hidden: &[Range<usize>],
        mut remarks: Vec<Remark>,
    ) -> Self {
        remarks.sort_by_key(|remark| remark.at.start);
        if remarks.len() > MOST {
            remarks.sort_by_key(|remark| !remark.is_fault);
            let left_out = remarks.split_off(MOST);
            let sentence = format!("{} more remarks on this file are left out", left_out.len());
            remarks.extend(left_out.into_iter().next().map(|first| Remark {
                is_fault: first.is_fault,
                ..Remark::caution(first.at, sentence)
            }));
        }
        let text = mask(text, hidden);
        Self(vec![Page {
            path,
            text,
            remarks,
        }])
    }

    /// Those about other files follow.
    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Whether any of them refuses its file.
    pub(super) fn are_faults(&self) -> bool {
        self.all().any(|(_, remark)| remark.is_fault)
    }

    /// The remarks, for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.all().map(|(page, remark)| Line {
            is_fault: remark.is_fault,
            sentence: &remark.sentence,
            place: page.place(&remark.at),
            help: remark.help.as_deref(),
        })
    }

    fn all(&self) -> impl Iterator<Item = (&Page, &Remark)> {
        let pages = self.0.iter();
        pages.flat_map(|page| page.remarks.iter().map(move |remark| (page, remark)))
    }
}

impl Page {
    fn place(&self, at: &Range<usize>) -> Option<String> {
        let path = (!self.path.is_empty()).then(|| self.path.clone());
        let Some(before) = self.text.get(..at.start) else {
            return path;
        };
        let (line, column) = before
            .rsplit_once('\n')
            .map_or((1, before), |(lines, last)| {
                (lines.matches('\n').count() + 2, last)
            });
        path.map(|path| format!("{path}:{line}:{}", column.chars().count() + 1))
    }

    fn render(&self, remark: &Remark, renderer: &Renderer) -> String {
        let level = if remark.is_fault {
            Level::ERROR
        } else {
            Level::WARNING
        };
        let mut group = Group::with_title(level.primary_title(&remark.sentence));
        if remark.at != NOWHERE {
            let offending = AnnotationKind::Primary.span(remark.at.clone());
            let mut snippet = Snippet::source(&self.text)
                .path(&self.path)
                .annotation(offending);
            if let Some((at, words)) = &remark.see {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(at.clone()).label(*words));
            }
            group = group.element(snippet);
        } else if !self.path.is_empty() {
            group = group.element(Origin::path(&self.path));
        }
        if let Some(help) = &remark.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = if f.alternate() {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        for (index, (page, remark)) in self.all().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", page.render(remark, &renderer))?;
        }
        Ok(())
    }
}

/// Names what was said, without the texts.
impl fmt::Debug for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0.iter().map(|page| (&page.path, &page.remarks));
        f.debug_map().entries(said).finish()
    }
}

/// The place of what is true of all of a text.
pub(super) const NOWHERE: Range<usize> = usize::MAX..usize::MAX;
/// Remarks on one file. A file of users may give reason to as many as it has users; nobody reads
/// them all, and each is a line of the log at every reload.
const MOST: usize = 100;
