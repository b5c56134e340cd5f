//! `hairpin top`: the running server, live, in a terminal.

mod draw;
mod header;
mod link;
mod screen;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use ::admin::live::{By, Sort, Wanted};
use clap::{Args, ValueEnum};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyEventKind};
use ratatui::layout::Rect;

use super::{Asking, server};
use crate::cli::{Failure, print};
use link::{Link, Told};
use screen::{Look, Screen, Wish};

/// Watch the running server: throughput, limits, refusals and users.
///
/// The sessions that carry the most come first; --by lists users, networks of clients or peers
/// in their place. Keys: arrows choose, Enter shows one with all its details, e ends it (after
/// a question), / filters, s sorts, Tab changes the kind of rows, space pauses, ? helps, q
/// quits. Rates are counted over two seconds; the server measures only while somebody watches.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct Top {
    /// The kind of rows to list.
    #[arg(long, value_enum, default_value_t)]
    by: Kind,

    /// The order of rows.
    #[arg(long, value_enum, default_value_t)]
    sort: Order,

    /// Only sessions with this text in their id, user, realm or addresses.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,

    /// The most rows to list (default: 100; 20 with --once or --json).
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    /// Print one screen, and end.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    asking: Asking,
}

/// A kind of rows.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Kind {
    /// Sessions.
    #[default]
    Sessions,
    /// Users of a realm.
    Users,
    /// Networks of clients: an IPv4 /24, an IPv6 /48.
    Clients,
    /// Addresses of peers; a session with several counts for each.
    Peers,
}

/// An order of rows.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Order {
    /// The most data in a second, both ways.
    #[default]
    Rate,
    /// The most data to peers in a second.
    Sent,
    /// The most data from peers in a second.
    Received,
    /// The most data until now.
    Bytes,
    /// The oldest.
    Age,
}

impl Top {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let is_once = self.once || self.asking.json;
        let usual = if is_once { LISTED_ONCE } else { LISTED };
        let wanted = Wanted {
            by: match self.by {
                Kind::Sessions => By::Sessions,
                Kind::Users => By::Users,
                Kind::Clients => By::Clients,
                Kind::Peers => By::Peers,
            },
            sort: match self.sort {
                Order::Rate => Sort::Rate,
                Order::Sent => Sort::Sent,
                Order::Received => Sort::Received,
                Order::Bytes => Sort::Bytes,
                Order::Age => Sort::Age,
            },
            filter: self.filter,
            limit: self.limit.unwrap_or(usual),
        };
        let is_terminal = io::stdout().is_terminal();
        if is_once {
            once(&self.asking, wanted, is_terminal)?;
        } else if is_terminal {
            live(self.asking, wanted)?;
        } else {
            return Err(Failure::Usage(NO_TERMINAL));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints one look.
fn once(asking: &Asking, wanted: Wanted, is_terminal: bool) -> Result<(), Failure> {
    let mut seen = link::first(asking, &wanted)?;
    if asking.json {
        // The last hour is long, and is at the API.
        seen.points.clear();
        let text = serde_json::to_string_pretty(&seen).map_err(server::Fault::from)?;
        return print(&(text + "\n"));
    }
    let size = ratatui::crossterm::terminal::size();
    let width = size
        .ok()
        .filter(|_| is_terminal)
        .map_or(WIDTH, |(width, _)| width);
    let rows = seen.top.top.len().max(1);
    let mut screen = Screen::new(wanted, Look::plain());
    screen.see(seen);
    let height = header::HEIGHT + 1 + u16::try_from(rows).unwrap_or(u16::MAX / 2);
    let mut buffer = Buffer::empty(Rect::new(0, 0, width.max(1), height));
    draw::Once(&screen).render(buffer.area, &mut buffer);
    print(&draw::text(&buffer))
}

/// Watches until a key ends it.
fn live(asking: Asking, wanted: Wanted) -> Result<(), Failure> {
    // Where no server is found there is nothing to watch; one that goes away later comes back.
    let first = link::first(&asking, &wanted)?;
    let mut screen = Screen::new(wanted.clone(), Look::of_terminal());
    screen.see(first);
    let mut link = Link::begin(asking);
    link.watch(wanted);
    let terminal = ratatui::try_init().map_err(Failure::Output)?;
    let ended = turn(terminal, &mut screen, &mut link);
    ratatui::restore();
    ended.map_err(Failure::Output)
}

fn turn(
    mut terminal: ratatui::DefaultTerminal,
    screen: &mut Screen,
    link: &mut Link,
) -> io::Result<()> {
    loop {
        terminal.draw(|frame| frame.render_widget(&*screen, frame.area()))?;
        let wish = match link.next(TURN) {
            Ok(Told::Event(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                screen.press(key)
            }
            // The next drawing sees a new size.
            Ok(Told::Event(_)) => None,
            Ok(Told::Seen(seen)) => screen.see(*seen),
            Ok(Told::Lost(why)) => screen.lose(why),
            Ok(Told::Details(id, text)) => screen.show(&id, text),
            Ok(Told::Done(sentence)) => screen.note(sentence),
            Ok(Told::Terminate) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => screen.pass(TURN),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        match wish {
            None => {}
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Watch(wanted)) => link.watch(wanted),
            Some(Wish::Details(id)) => link.details(id),
            Some(Wish::End(end)) => link.end(end),
        }
    }
}

/// How many are listed.
const LISTED: usize = 100;
const LISTED_ONCE: usize = 20;
/// The columns of a screen that is printed where there is no terminal.
const WIDTH: u16 = 120;
/// How long nothing happens before the screen is drawn anew.
const TURN: Duration = Duration::from_millis(250);
const NO_TERMINAL: &str = "standard output is no terminal. `hairpin sessions --json` lists sessions for programs, \
     `hairpin top --once` prints one screen, and `hairpin top --json` has it as JSON";
const AFTER_HELP: &str = "\
Examples:
  hairpin top
  hairpin top --by users
  hairpin top --filter 198.51.100. --sort bytes
  hairpin top --once
  hairpin top --json --limit 5

Exit codes: 0 quit or printed, 1 no server answers, 2 standard output is no terminal.";
