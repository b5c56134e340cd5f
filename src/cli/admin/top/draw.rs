//! The screen as it is drawn: a header, the list, a line of keys, and what stands over them.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget, Wrap};

use super::screen::{Look, Mode, Screen};
use super::{header, table};

impl Widget for &Screen {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        // A low terminal shows the list rather than all of the header.
        let above = header::HEIGHT.min((area.height / 3).max(1));
        let parts = Layout::vertical([
            Constraint::Length(above),
            Constraint::Min(0),
            Constraint::Length(1),
        ]);
        let [top, list, foot] = parts.areas(area);
        header::draw(self, top, buffer);
        table::draw(self, list, buffer);
        header::fitted(footer(self), foot.width).render(foot, buffer);
        match &self.mode {
            Mode::Details(id, text) => {
                let text = if text.is_empty() { "asking …" } else { text };
                over(&format!(" {id} "), text, area, buffer);
            }
            Mode::Help => over(" keys ", HELP, area, buffer),
            Mode::List | Mode::Filter | Mode::Question(..) => {}
        }
    }
}

/// The screen without keys, to be printed.
pub(super) struct Once<'s>(pub(super) &'s Screen);

impl Once<'_> {
    pub(super) fn render(&self, area: Rect, buffer: &mut Buffer) {
        let parts = Layout::vertical([Constraint::Length(header::HEIGHT), Constraint::Min(0)]);
        let [top, list] = parts.areas(area);
        header::draw(self.0, top, buffer);
        table::draw(self.0, list, buffer);
    }
}

/// The drawing as text.
pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let rows = buffer.content.chunks(width);
    let rows = rows.map(|row| {
        let row: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", row.trim_end())
    });
    rows.collect()
}

impl Look {
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn poor(self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.has_colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

fn footer(screen: &Screen) -> Line<'_> {
    let look = screen.look;
    match (&screen.mode, &screen.notice) {
        (Mode::Question(question, _), _) => Line::styled(question.as_str(), look.bad()),
        (Mode::Filter, _) => Line::from(vec![
            Span::styled("filter: ", look.strong()),
            Span::raw(screen.wanted.filter.escape_debug().to_string()),
            Span::raw("▏"),
            Span::styled("  Enter: keep it, Esc: without", look.quiet()),
        ]),
        (Mode::List | Mode::Details(..) | Mode::Help, Some(notice)) => {
            Line::styled(notice.escape_debug().to_string(), look.strong())
        }
        (Mode::List | Mode::Details(..) | Mode::Help, None) => {
            let mut spans = Vec::new();
            if !screen.wanted.filter.is_empty() {
                let filter = screen.wanted.filter.escape_debug();
                spans.push(Span::styled(format!("filter: {filter}  "), look.poor()));
            }
            for (key, meaning) in KEYS {
                spans.push(Span::styled(*key, look.strong()));
                spans.push(Span::raw(format!(" {meaning}  ")));
            }
            Line::from(spans)
        }
    }
}

/// A box over the screen.
fn over(title: &str, text: &str, area: Rect, buffer: &mut Buffer) {
    let lines = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
    let widest = text.lines().map(|line| line.chars().count()).max();
    let wanted = u16::try_from(widest.unwrap_or(0)).unwrap_or(u16::MAX);
    let width = wanted.saturating_add(4).clamp(24, 100).min(area.width);
    let height = lines.saturating_add(2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(place, buffer);
    let block = Block::bordered().title(title.to_owned());
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false }).block(block);
    paragraph.render(place, buffer);
}

const KEYS: &[(&str, &str)] = &[
    ("q", "quit"),
    ("?", "help"),
    ("/", "filter"),
    ("Enter", "details"),
    ("e", "end"),
    ("s", "sort"),
    ("Tab", "list"),
    ("space", "pause"),
];
const HELP: &str = "\
arrows, j k, PgUp PgDn   choose a row
Enter   all about a session; the sessions of one
e       end it, after a question
/       filter by what is typed
s       sort by another column
Tab     list sessions, users, client networks, peers
1 2 3 4 one of these
space   pause, and go on
q       quit

Rates are those of two seconds. ! marks what is bad:
a leg with loss, delay or jitter beyond [quality],
a limit that is nearly reached.
Any key goes back.";
