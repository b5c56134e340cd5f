//! The list: who uses the relay.

use ::admin::live::{By, Talker};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, StatefulWidget, Table, TableState};

use super::super::quality::columns;
use super::super::{bits, bytes, span};
use super::screen::{KINDS, Screen, word};

/// A column: its heading, its width, and from which width of the terminal on it is there.
struct Column {
    heading: &'static str,
    width: Constraint,
    from: u16,
    of: fn(&Talker) -> String,
    /// Whether it has numbers, which stand at its right edge.
    is_number: bool,
}

impl Column {
    const fn text(
        heading: &'static str,
        width: Constraint,
        from: u16,
        of: fn(&Talker) -> String,
    ) -> Self {
        Self {
            heading,
            width,
            from,
            of,
            is_number: false,
        }
    }

    const fn number(
        heading: &'static str,
        width: u16,
        from: u16,
        of: fn(&Talker) -> String,
    ) -> Self {
        Self {
            is_number: true,
            ..Self::text(heading, Constraint::Length(width), from, of)
        }
    }

    fn cell(&self, text: String) -> Cell<'static> {
        let line = Line::from(text);
        Cell::from(if self.is_number {
            line.right_aligned()
        } else {
            line
        })
    }
}

/// Draws the list around the row that is chosen.
pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let is_sessions = screen.wanted.by == By::Sessions;
    let columns: Vec<&Column> = if is_sessions { SESSIONS } else { SUMS }
        .iter()
        .filter(|column| column.from <= area.width)
        .collect();
    let heading = columns.iter().enumerate().map(|(at, column)| {
        column.cell(if at == 0 {
            first_heading(screen)
        } else {
            column.heading.to_owned()
        })
    });
    let rows = screen
        .rows
        .iter()
        .map(|talker| row(screen, talker, &columns));
    let mut state = TableState::new().with_selected(screen.place());
    let table = Table::new(rows, columns.iter().map(|column| column.width))
        .header(Row::new(heading).style(screen.look.strong()))
        .row_highlight_style(Modifier::REVERSED)
        .column_spacing(1);
    StatefulWidget::render(table, area, buffer, &mut state);
    if screen.rows.is_empty() && area.height > 1 {
        let words = if screen.wanted.filter.is_empty() {
            "nobody"
        } else {
            "nobody to whom the filter applies"
        };
        buffer.set_stringn(
            area.x,
            area.y + 1,
            words,
            usize::from(area.width),
            screen.look.quiet(),
        );
    }
}

/// How many rows there are, and of which kind: a narrow column cuts the kind and never the number.
fn first_heading(screen: &Screen) -> String {
    let kind = word(&screen.wanted.by, &KINDS).to_uppercase();
    let mut heading = format!("{} {kind}", screen.talkers);
    if !screen.silent_shards.is_empty() {
        heading += " (a shard does not answer)";
    }
    heading
}

fn row(screen: &Screen, talker: &Talker, columns: &[&Column]) -> Row<'static> {
    let cells = columns
        .iter()
        .map(|column| column.cell((column.of)(talker)));
    let row = Row::new(cells);
    let look = screen.look;
    if is_bad(talker) {
        row.style(look.poor())
    } else if talker.sent.bits + talker.received.bits > 0.0 {
        row
    } else {
        row.style(look.quiet())
    }
}

fn is_bad(talker: &Talker) -> bool {
    let session = talker.session.as_ref();
    let quality = session.and_then(|session| session.quality.as_ref());
    quality.is_some_and(|quality| quality.client.bad || quality.peer.bad)
}

/// Names are chosen by clients: what is no plain letter in them is escaped.
fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

fn session(talker: &Talker, of: fn(&super::super::api::Session) -> String) -> String {
    talker.session.as_ref().map(of).unwrap_or_default()
}

fn leg(talker: &Talker, at: usize) -> String {
    session_quality(talker)[at].clone()
}

fn session_quality(talker: &Talker) -> [String; 2] {
    let session = talker.session.as_ref();
    columns(session.and_then(|session| session.quality.as_ref()))
}

/// Which leg is bad, in as few letters as there is room for.
fn mark(talker: &Talker) -> String {
    let session = talker.session.as_ref();
    let quality = session.and_then(|session| session.quality.as_ref());
    match quality.map(|quality| (quality.client.bad, quality.peer.bad)) {
        None | Some((false, false)) => "",
        Some((true, false)) => "client!",
        Some((false, true)) => "peer!",
        Some((true, true)) => "both!",
    }
    .to_owned()
}

/// A narrow terminal has the first and the rates, a wide one all.
const SESSIONS: &[Column] = &[
    Column::text("USER", Constraint::Min(10), 0, |it| {
        session(it, |session| plain(&session.user))
    }),
    Column::text("REALM", Constraint::Max(18), 130, |it| {
        session(it, |session| plain(&session.realm))
    }),
    Column::text("VIA", Constraint::Length(4), 110, |it| {
        session(it, |session| session.transport.clone())
    }),
    Column::text("CLIENT", Constraint::Max(21), 80, |it| {
        session(it, |session| session.client.to_string())
    }),
    Column::number("TO PEERS", 12, 0, |it| bits(it.sent.bits)),
    Column::number("FROM PEERS", 12, 0, |it| bits(it.received.bits)),
    Column::text("BAD", Constraint::Length(7), 60, mark),
    Column::text("CLIENT LEG", Constraint::Length(17), 150, |it| leg(it, 0)),
    Column::text("PEER LEG", Constraint::Length(17), 150, |it| leg(it, 1)),
    Column::number("AGE", 11, 80, |it| span(it.age)),
    Column::text("ID", Constraint::Length(14), 96, |it| it.name.clone()),
];

const SUMS: &[Column] = &[
    Column::text("NAME", Constraint::Min(10), 0, |it| plain(&it.name)),
    Column::text("REALM", Constraint::Max(24), 80, |it| {
        it.realm.as_deref().map(plain).unwrap_or_default()
    }),
    Column::number("SESSIONS", 8, 60, |it| it.sessions.to_string()),
    Column::number("TO PEERS", 12, 0, |it| bits(it.sent.bits)),
    Column::number("FROM PEERS", 12, 0, |it| bits(it.received.bits)),
    Column::number("UNTIL NOW", 10, 70, |it| bytes(it.bytes)),
];
