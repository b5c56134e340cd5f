//! The lines above the list: the server as a whole.

use ::admin::live::{Count, Limit, Point, Rate};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Sparkline, Widget};

use super::super::{bits, bytes, span};
use super::screen::{ORDERS, Screen, word};

/// How many lines there are.
pub(super) const HEIGHT: u16 = 6;

/// Draws as many of them as there is room for: the first are the most important.
pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let is_wide = area.width >= WIDE;
    let lines = [
        state(screen),
        throughput(screen, area.width < NARROW),
        limits(screen),
        failures(screen, "refused", &[&screen.moment.refused]),
        failures(
            screen,
            "dropped",
            &[&screen.moment.dropped, &screen.moment.lost],
        ),
        health(screen),
    ];
    for (at, (line, row)) in lines.into_iter().zip(area.rows()).enumerate() {
        if is_wide && at == 1 {
            let parts = [Constraint::Length(LEFT), Constraint::Min(0)];
            let [left, right] = Layout::horizontal(parts).spacing(1).areas(row);
            fitted(line, left.width).render(left, buffer);
            history(screen, right, buffer);
        } else {
            fitted(line, row.width).render(row, buffer);
        }
    }
}

/// A line that is too long ends after a word, and says that there is more.
pub(super) fn fitted(line: Line<'_>, width: u16) -> Line<'_> {
    let width = usize::from(width);
    if line.width() <= width {
        return line;
    }
    let (mut spans, mut taken) = (Vec::new(), 0);
    'all: for span in line.spans {
        let mut end = 0;
        for word in span.content.split_inclusive(' ') {
            let own = Span::raw(word.trim_end()).width();
            if taken + own + 1 > width {
                spans.push(Span::styled(span.content[..end].to_owned(), span.style));
                break 'all;
            }
            taken += Span::raw(word).width();
            end += word.len();
        }
        spans.push(span);
    }
    while let Some(Span { content, style }) = spans.pop() {
        if !content.trim_end().is_empty() {
            spans.push(Span::styled(content.trim_end().to_owned(), style));
            break;
        }
    }
    spans.push(Span::raw("…"));
    Line::from(spans)
}

fn state(screen: &Screen) -> Line<'static> {
    let (look, moment) = (screen.look, &screen.moment);
    let silence = screen.silence.as_secs();
    let state = if let Some(why) = &screen.lost {
        Span::styled(format!("NO ANSWER: {}", why.escape_debug()), look.bad())
    } else if silence >= SILENT {
        Span::styled(format!("NO NEWS for {silence} s"), look.bad())
    } else if screen.is_paused {
        Span::styled("PAUSED", look.poor())
    } else if moment.draining {
        Span::styled("DRAINING", look.poor())
    } else {
        Span::styled("live", look.good())
    };
    Line::from(vec![
        Span::styled(format!("{} sessions", moment.sessions), look.strong()),
        Span::raw("  "),
        state,
        Span::raw(format!(
            "  {}/s opened, {}/s ended",
            often(moment.opened),
            often(moment.ended)
        )),
        Span::styled(
            format!("  sorted by {}", word(&screen.wanted.sort, &ORDERS)),
            look.quiet(),
        ),
    ])
}

fn throughput(screen: &Screen, is_narrow: bool) -> Line<'static> {
    let moment = &screen.moment;
    let way = |rate: &Rate| {
        if is_narrow {
            bits(rate.bits)
        } else {
            format!("{}, {:.0} packets/s", bits(rate.bits), rate.packets)
        }
    };
    let from = if is_narrow {
        "  from "
    } else {
        "  from peers "
    };
    Line::from(vec![
        Span::raw("to peers "),
        Span::styled(way(&moment.sent), screen.look.strong()),
        Span::raw(from),
        Span::styled(way(&moment.received), screen.look.strong()),
    ])
}

/// The throughput until now at the right of a wide terminal: both ways together, a bar for each point, and before
/// them how long that is.
fn history(screen: &Screen, row: Rect, buffer: &mut Buffer) {
    let label = |points: &[Point]| {
        let [first, last] = [points.first(), points.last()].map(|it| it.map_or(0, |it| it.time));
        format!("both, last {} ", span(last.saturating_sub(first)))
    };
    let points = &screen.points;
    let latest = |width: u16| &points[points.len().saturating_sub(usize::from(width))..];
    // The label of all that would fit without one is the longest.
    let guess = u16::try_from(label(latest(row.width)).len()).unwrap_or(u16::MAX);
    let shown = latest(row.width.saturating_sub(guess));
    if shown.len() < 2 {
        return;
    }
    let label = label(shown);
    let width = u16::try_from(label.len()).unwrap_or(u16::MAX);
    let [before, graph] =
        Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(row);
    Line::styled(label, screen.look.quiet()).render(before, buffer);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of bits is not negative, and the height of a bar needs no fraction"
    )]
    let heights = shown
        .iter()
        .map(|point| (point.sent + point.received) as u64);
    let heights: Vec<u64> = heights.collect();
    Sparkline::default().data(heights).render(graph, buffer);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a part of a limit needs no more digits than a floating point number has"
)]
fn limits(screen: &Screen) -> Line<'static> {
    let mut spans = Vec::new();
    for Limit { name, used, most } in &screen.moment.limits {
        spans.extend(part(screen, name, *used as f64 / *most as f64));
    }
    for shard in &screen.moment.shards {
        spans.extend(part(screen, &shard.name, shard.busy));
    }
    spans.push(Span::raw(format!("memory {}", bytes(screen.moment.memory))));
    Line::from(spans)
}

/// A part of a whole, with a mark if it is nearly all of it.
fn part(screen: &Screen, name: &str, part: f64) -> [Span<'static>; 2] {
    let (mark, style) = if part >= 0.9 {
        ("!", screen.look.bad())
    } else if part >= 0.7 {
        ("!", screen.look.poor())
    } else {
        ("", screen.look.strong())
    };
    let percent = format!("{:.0} %{mark}", part * 100.0);
    [
        Span::raw(format!("{} ", name.escape_debug())),
        Span::styled(format!("{percent}  "), style),
    ]
}

/// How often, and why: the causes that come now with the rate of each, then the others with their count since the
/// start of the server.
fn failures(screen: &Screen, name: &'static str, kinds: &[&Vec<Count>]) -> Line<'static> {
    let mut counts: Vec<&Count> = kinds.iter().flat_map(|counts| counts.iter()).collect();
    counts.sort_by(|one, other| {
        let by_rate = other.rate.total_cmp(&one.rate);
        by_rate.then(other.total.cmp(&one.total))
    });
    // Not `sum`, which makes -0 of nothing.
    let sum = counts.iter().fold(0.0, |sum, count| sum + count.rate);
    let style = if sum > 0.0 {
        screen.look.poor()
    } else {
        screen.look.quiet()
    };
    let mut spans = vec![Span::styled(format!("{name} {}/s", often(sum)), style)];
    let (now, before): (Vec<&Count>, _) = counts.into_iter().partition(|it| it.rate > 0.0);
    let listed = |counts: Vec<&Count>, number: fn(&Count) -> String| {
        let texts = counts.into_iter().map(|it| {
            let code = it.code.map(|code| format!(" ({code})"));
            let cause = it.cause.escape_debug();
            format!("{cause}{} {}", code.unwrap_or_default(), number(it))
        });
        texts.collect::<Vec<_>>().join(", ")
    };
    if !now.is_empty() {
        let now = listed(now, |it| format!("{}/s", often(it.rate)));
        spans.push(Span::raw(format!(": {now}")));
    }
    if !before.is_empty() {
        let before = listed(before, |it| it.total.to_string());
        let words = format!("; since the start {before}");
        spans.push(Span::styled(words, screen.look.quiet()));
    }
    Line::from(spans)
}

/// The quality of calls, and the certificate that ends first.
fn health(screen: &Screen) -> Line<'static> {
    let look = screen.look;
    let mut spans = match screen.moment.quality {
        // No leg is measured yet, or [quality] is off.
        None => vec![Span::styled("quality not measured  ", look.quiet())],
        Some(quality) => {
            let leg = |count, whose| match count {
                0 => Span::styled(format!("{whose} good  "), look.good()),
                _ => Span::styled(format!("{whose} {count} bad!  "), look.bad()),
            };
            vec![
                Span::raw(format!("quality of {}: ", quality.measured)),
                leg(quality.bad_clients, "client legs"),
                leg(quality.bad_peers, "peer legs"),
            ]
        }
    };
    if let Some(first) = screen.moment.certificates.first() {
        let style = match first.days {
            ..7 => look.bad(),
            7..21 => look.poor(),
            21.. => look.good(),
        };
        let name = first.name.escape_debug();
        let ends = match first.days {
            ..0 => "has ended!".to_owned(),
            days => format!("{days} days left"),
        };
        spans.push(Span::styled(format!("{name} {ends}"), style));
    }
    Line::from(spans)
}

/// How often in a second.
fn often(rate: f64) -> String {
    if rate == 0.0 || rate >= 10.0 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

/// A terminal of so many columns has room for the history.
const WIDE: u16 = 100;
/// Where it begins.
const LEFT: u16 = 80;
/// A terminal of fewer columns has no room for packets beside bits.
const NARROW: u16 = 74;
/// Seconds after which looks should have come.
const SILENT: u64 = 6;
