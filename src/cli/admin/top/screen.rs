//! The screen as a value: what was seen, what is chosen, and what a key does.

use std::env;
use std::time::Duration;

use ::admin::live::{By, Moment, Point, Sort, Talker, Wanted};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::api;
use super::super::api::live::Seen;

/// The screen.
pub(super) struct Screen {
    pub(super) wanted: Wanted,
    pub(super) look: Look,
    pub(super) moment: Moment,
    /// The last hour.
    pub(super) points: Vec<Point>,
    pub(super) rows: Vec<Talker>,
    /// How many there are, also beyond the rows.
    pub(super) talkers: usize,
    pub(super) silent_shards: Vec<usize>,
    pub(super) mode: Mode,
    pub(super) is_paused: bool,
    /// Why the server does not answer.
    pub(super) lost: Option<String>,
    /// How long ago the server was seen.
    pub(super) silence: Duration,
    /// The last that was done, in words.
    pub(super) notice: Option<String>,
    /// The name of the row that is chosen, which stays so wherever it moves.
    chosen: Option<String>,
    /// Where that row was last.
    place: usize,
    /// A filter that is being typed, and how long ago its last letter was.
    typed: Option<Duration>,
}

/// The purpose of keys at the moment.
pub(super) enum Mode {
    /// The list.
    List,
    /// The filter, which is typed.
    Filter,
    /// A question, and what ends if the answer is yes.
    Question(String, Box<api::End>),
    /// All about the session of this id.
    Details(String, String),
    /// The keys.
    Help,
}

/// The wish behind a key.
#[derive(Debug)]
pub(super) enum Wish {
    Quit,
    Watch(Wanted),
    Details(String),
    End(api::End),
}

/// How things look: whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) has_colours: bool,
}

impl Look {
    /// With colours, unless <https://no-color.org> says otherwise.
    pub(super) fn of_terminal() -> Self {
        let is_set = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        Self {
            has_colours: !is_set,
        }
    }

    /// Without colours.
    pub(super) const fn plain() -> Self {
        Self { has_colours: false }
    }
}

impl Screen {
    pub(super) fn new(wanted: Wanted, look: Look) -> Self {
        Self {
            wanted,
            look,
            moment: Moment::default(),
            points: Vec::new(),
            rows: Vec::new(),
            talkers: 0,
            silent_shards: Vec::new(),
            mode: Mode::List,
            is_paused: false,
            lost: None,
            silence: Duration::ZERO,
            notice: None,
            chosen: None,
            place: 0,
            typed: None,
        }
    }

    /// The server was looked at.
    pub(super) fn see(&mut self, seen: Seen) -> Option<Wish> {
        self.lost = None;
        self.silence = Duration::ZERO;
        if self.is_paused {
            return None;
        }
        let Seen {
            moment,
            top,
            points,
        } = seen;
        let last = self.points.last().map_or(0, |point| point.time);
        self.points
            .extend(points.into_iter().filter(|it| it.time > last));
        let surplus = self.points.len().saturating_sub(POINTS);
        self.points.drain(..surplus);
        self.moment = moment;
        self.talkers = top.talkers;
        self.silent_shards = top.silent_shards;
        self.rows = top.top;
        self.narrow();
        self.find_chosen();
        match &self.mode {
            Mode::Details(id, _) => Some(Wish::Details(id.clone())),
            Mode::List | Mode::Filter | Mode::Question(..) | Mode::Help => None,
        }
    }

    /// The server does not answer.
    pub(super) fn lose(&mut self, why: String) -> Option<Wish> {
        self.lost = Some(why);
        None
    }

    /// All about a session came.
    pub(super) fn show(&mut self, id: &str, text: String) -> Option<Wish> {
        if let Mode::Details(shown, old) = &mut self.mode
            && shown == id
        {
            *old = text;
        }
        None
    }

    /// Something was done.
    pub(super) fn note(&mut self, sentence: String) -> Option<Wish> {
        self.notice = Some(sentence);
        None
    }

    /// So much time passed.
    pub(super) fn pass(&mut self, time: Duration) -> Option<Wish> {
        self.silence += time;
        let typed = self.typed.as_mut()?;
        *typed += time;
        if *typed < TYPING {
            return None;
        }
        self.typed = None;
        Some(Wish::Watch(self.wanted.clone()))
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control {
            return (key.code == KeyCode::Char('c')).then_some(Wish::Quit);
        }
        self.notice = None;
        match &mut self.mode {
            Mode::List => self.press_in_list(key.code),
            Mode::Filter => self.type_filter(key.code),
            Mode::Question(_, end) => {
                let end = (key.code == KeyCode::Char('y')).then(|| std::mem::take(&mut **end));
                self.mode = Mode::List;
                end.map(Wish::End)
            }
            // This one, whatever is chosen in the list by now.
            Mode::Details(id, _) if key.code == KeyCode::Char('e') => {
                let end = api::End {
                    id: Some(id.clone()),
                    ..api::End::default()
                };
                self.mode = ask(&format!("session {id}"), end);
                None
            }
            Mode::Details(..) | Mode::Help => {
                self.mode = Mode::List;
                None
            }
        }
    }

    /// The place of the row that is chosen.
    pub(super) const fn place(&self) -> usize {
        self.place
    }

    fn press_in_list(&mut self, key: KeyCode) -> Option<Wish> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "most keys of a keyboard do nothing"
        )]
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wish::Quit),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('/' | 'f') => self.mode = Mode::Filter,
            KeyCode::Char('e') => return self.question(),
            KeyCode::Char('s') => return self.sort(),
            KeyCode::Tab => return self.list(after(self.wanted.by, &KINDS, 1)),
            KeyCode::BackTab => return self.list(after(self.wanted.by, &KINDS, KINDS.len() - 1)),
            KeyCode::Char(digit @ '1'..='4') => {
                let at = digit as usize - '1' as usize;
                return self.list(KINDS[at].0);
            }
            KeyCode::Enter => return self.enter(),
            KeyCode::Up | KeyCode::Char('k') => self.choose(self.place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(self.place + 1),
            KeyCode::PageUp => self.choose(self.place.saturating_sub(PAGE)),
            KeyCode::PageDown => self.choose(self.place + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.choose(0),
            KeyCode::End | KeyCode::Char('G') => self.choose(usize::MAX),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, key: KeyCode) -> Option<Wish> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "most keys of a keyboard do nothing"
        )]
        match key {
            KeyCode::Char(letter) => {
                self.wanted.filter.push(letter);
                self.narrow();
                self.find_chosen();
            }
            KeyCode::Backspace => drop(self.wanted.filter.pop()),
            KeyCode::Enter => {
                self.mode = Mode::List;
                self.typed = None;
                return Some(self.want());
            }
            KeyCode::Esc => {
                self.mode = Mode::List;
                self.wanted.filter.clear();
                self.typed = None;
                return Some(self.want());
            }
            _ => return None,
        }
        self.typed = Some(Duration::ZERO);
        None
    }

    /// While the filter is typed it acts at once on the sessions that are here. Of users, networks and peers only the
    /// server knows the sessions.
    fn narrow(&mut self) {
        let Self {
            wanted,
            rows,
            talkers,
            mode: Mode::Filter,
            ..
        } = self
        else {
            return;
        };
        let all = rows.len();
        rows.retain(|talker| (talker.session.as_ref()).is_none_or(|it| wanted.applies(it)));
        *talkers = talkers.saturating_sub(all - rows.len());
    }

    /// Shows all about a session; of others, the sessions.
    fn enter(&mut self) -> Option<Wish> {
        self.choose(self.place);
        let talker = self.rows.get(self.place)?;
        match self.wanted.by {
            By::Sessions => {
                let id = talker.name.clone();
                self.mode = Mode::Details(id.clone(), String::new());
                Some(Wish::Details(id))
            }
            By::Users | By::Clients | By::Peers => {
                self.wanted.filter = filter_of(self.wanted.by, &talker.name);
                self.list(By::Sessions)
            }
        }
    }

    /// Asks whether the chosen ones shall end.
    fn question(&mut self) -> Option<Wish> {
        let talker = self.rows.get(self.place)?;
        let name = talker.name.escape_debug().to_string();
        let mut end = api::End::default();
        let whose = match self.wanted.by {
            By::Sessions => {
                end.id = Some(talker.name.clone());
                let user = talker.session.as_ref().map(|it| it.user.escape_debug());
                match user {
                    Some(user) => format!("session {name} of {user}"),
                    None => format!("session {name}"),
                }
            }
            By::Users => {
                end.user = Some(talker.name.clone());
                end.realm.clone_from(&talker.realm);
                format!("{} of the user {name}", sessions(talker.sessions))
            }
            By::Clients => {
                end.client = Some(talker.name.clone());
                format!("{} of clients in {name}", sessions(talker.sessions))
            }
            By::Peers => {
                end.peer = talker.name.parse().ok();
                format!("{} that may send to {name}", sessions(talker.sessions))
            }
        };
        self.mode = ask(&whose, end);
        None
    }

    fn sort(&mut self) -> Option<Wish> {
        self.wanted.sort = after(self.wanted.sort, &ORDERS, 1);
        Some(self.want())
    }

    fn list(&mut self, by: By) -> Option<Wish> {
        self.wanted.by = by;
        self.rows.clear();
        self.place = 0;
        self.chosen = None;
        Some(self.want())
    }

    /// A new wish must be seen, also while the screen is paused.
    fn want(&mut self) -> Wish {
        self.is_paused = false;
        Wish::Watch(self.wanted.clone())
    }

    fn choose(&mut self, place: usize) {
        self.place = place.min(self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(self.place).map(|talker| talker.name.clone());
    }

    /// The row that was chosen may be elsewhere by now. If it is gone, or none was, the place stays.
    fn find_chosen(&mut self) {
        let chosen = self.chosen.as_ref();
        let place = chosen.and_then(|chosen| self.rows.iter().position(|it| it.name == *chosen));
        self.place = place
            .unwrap_or(self.place)
            .min(self.rows.len().saturating_sub(1));
    }
}

/// The text that finds the sessions of one: that of a network is what its addresses begin with.
fn filter_of(by: By, name: &str) -> String {
    let prefix = name
        .strip_suffix("0/24")
        .or_else(|| name.strip_suffix(":/48"));
    match by {
        By::Clients => prefix.unwrap_or(name).to_owned(),
        By::Sessions | By::Users | By::Peers => name.to_owned(),
    }
}

fn ask(whose: &str, end: api::End) -> Mode {
    let question = format!("End {whose}? y: yes, any other key: no");
    Mode::Question(question, Box::new(end))
}

fn sessions(count: usize) -> String {
    match count {
        1 => "the session".to_owned(),
        count => format!("all {count} sessions"),
    }
}

/// The one that stands so many places after this one, in a circle.
fn after<T: PartialEq + Copy>(this: T, all: &[(T, &str)], places: usize) -> T {
    let at = all
        .iter()
        .position(|(it, _)| *it == this)
        .unwrap_or_default();
    all[(at + places) % all.len()].0
}

/// The word for one of these.
pub(super) fn word<T: PartialEq>(this: &T, all: &[(T, &'static str)]) -> &'static str {
    let found = all.iter().find(|(it, _)| it == this);
    found.map_or("", |(_, word)| word)
}

/// The kinds of rows, in the order of the keys 1 to 4.
pub(super) const KINDS: [(By, &str); 4] = [
    (By::Sessions, "sessions"),
    (By::Users, "users"),
    (By::Clients, "client networks"),
    (By::Peers, "peers"),
];
/// The orders of rows, in the order of the key s.
pub(super) const ORDERS: [(Sort, &str); 5] = [
    (Sort::Rate, "rate"),
    (Sort::Sent, "rate to peers"),
    (Sort::Received, "rate from peers"),
    (Sort::Bytes, "data until now"),
    (Sort::Age, "age"),
];
/// Points of an hour.
const POINTS: usize = 720;
/// Rows that a page key passes.
const PAGE: usize = 10;
/// How long nothing is typed before the filter is asked for.
const TYPING: Duration = Duration::from_millis(200);
