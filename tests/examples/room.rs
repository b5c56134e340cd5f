//! A room of browsers behind NATs, in which one member forwards: the scene of the SFU and the MCU.

use std::{
    thread,
    time::{Duration, Instant},
};

use lab::{
    board::Board,
    browser::{Browser, Window},
    internet::{Home, Internet, WEB, server_host, server_v4},
    machine::{Machine, filter},
    nat::Nat,
    program::Program,
    server::Server,
    setup::Setup,
};
use serde_json::{Value, json};

/// The room, its members, and the program that forwards between them.
pub(crate) struct Room<'a> {
    internet: &'a Internet,
    board: Board,
    members: Vec<Member>,
    homes: u8,
    // Fields are dropped in this order: the program must be gone before its host.
    _forwarder: Program,
    _host: Machine,
    through: &'static str,
}

/// A browser that shows `tests/pages/room.html`.
struct Member {
    name: &'static str,
    browser: Window,
    _home: Home,
}

impl<'a> Room<'a> {
    /// Opens it for a forwarder, which is named `through`. It runs on a host of its own, which only Hairpin reaches.
    pub(crate) fn open(
        internet: &'a Internet,
        through: &'static str,
        program: &str,
        arguments: &[&str],
    ) -> Self {
        let host = server_host(FORWARDER);
        let only_hairpin = format!(
            "table ip forwarder {{\n\
               chain input {{\n\
                 type filter hook input priority filter;\n\
                 ip saddr != {} drop\n\
               }}\n\
             }}\n",
            server_v4(HAIRPIN)
        );
        filter(host.command("nft"), &only_hairpin);
        let mut forwarder = host.command(program);
        forwarder
            .args(arguments)
            .args(["--signal", &signaling(), "--room", ROOM])
            .env("HAIRPIN_ROOM_SECRET", SECRET);
        let mut forwarder = Program::start(forwarder);
        forwarder.wait_for_words(&format!("in room {ROOM}"));
        Self {
            internet,
            board: Board::serve((server_v4(WEB), 80), include_str!("../pages/room.html")),
            members: Vec::new(),
            homes: 0,
            _forwarder: forwarder,
            _host: host,
            through,
        }
    }

    /// Lets a member in from a home of its own. It sends a picture of this colour, or it only watches.
    pub(crate) fn enter(&mut self, name: &'static str, nat: Nat, colour: Option<&str>) {
        let through = self.through;
        let plan = json!({
            "url": signaling(),
            "room": ROOM,
            "secret": SECRET,
            "through": through,
            "colour": colour,
        });
        self.board.pin(name, plan);
        self.homes += 1;
        let home = self.internet.home(self.homes, nat);
        let at = |program: &str| home.host.command(program);
        let browser = Browser::Chromium.open_at(at, &format!("{}#{name}", self.board.url()));
        self.members.push(Member {
            name,
            browser,
            _home: home,
        });
    }

    /// Lets a member say that it leaves.
    pub(crate) fn leave(&mut self, name: &str) {
        self.board.pin(name, json!({ "leaves": true }));
        self.wait_until(name, |sees| sees["state"] == "closed");
    }

    /// Takes a member away without a word: the browser and the whole home.
    pub(crate) fn lose(&mut self, name: &str) {
        self.members.retain(|member| member.name != name);
    }

    /// Waits until what a member sees and hears is so, and returns all of it.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + CALL;
        loop {
            for member in &mut self.members {
                if let Some(status) = member.browser.ended() {
                    panic!("the browser of {} ended with {status}", member.name);
                }
            }
            let sees = self.board.read(&format!("{name}-sees")).unwrap_or_default();
            if is_so(&sees) {
                return sees;
            }
            assert!(
                Instant::now() < deadline,
                "after {CALL:?} {name} sees {sees}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether all four quarters of a stream have this colour, more or less, and the picture moves.
pub(crate) fn shows(sees: &Value, stream: &str, colours: [[u8; 3]; 4]) -> bool {
    let stream = &sees["streams"][stream];
    let moves = stream["pictures"].as_u64() >= Some(5);
    let quarters = stream["quarters"].as_array();
    let is_near = |(quarter, colour): (&Value, [u8; 3])| {
        let channels = quarter.as_array().into_iter().flatten().zip(colour);
        channels.into_iter().all(|(is, wanted)| {
            let is = is.as_u64().expect("a byte");
            is.abs_diff(wanted.into()) <= 48
        })
    };
    moves && quarters.is_some_and(|quarters| quarters.iter().zip(colours).all(is_near))
}

/// Whether somebody is heard.
pub(crate) fn hears(sees: &Value) -> bool {
    let loudness = sees["loudness"].as_array().into_iter().flatten();
    loudness.filter_map(Value::as_f64).any(|it| it > 0.0)
}

/// Asserts that a member's connection goes from the relay to the host of the forwarder, and that nothing went wrong.
#[track_caller]
pub(crate) fn assert_relayed(sees: &Value) {
    assert_eq!(sees["way"], json!(["relay", "host"]), "{sees}");
    assert_eq!(sees["problems"], json!([]), "{sees}");
}

/// The address of the WebSocket.
fn signaling() -> String {
    format!("ws://{}:8080/signal", server_v4(HAIRPIN))
}

/// Hairpin with the configuration of the examples, for the pages of the lab.
#[track_caller]
pub(crate) fn serve() -> Server {
    let example = include_str!("../../examples/sfu/turnserver.toml");
    let origins = format!("http.origins = ['http://{}']", server_v4(WEB));
    Server::start(Setup::at(&[], &[]).with(example).with(&origins))
}

/// The name of the room.
const ROOM: &str = "lounge";
/// The secret that its members know.
const SECRET: &str = "all who may enter know this";
/// The last byte of Hairpin's address.
const HAIRPIN: u8 = 1;
/// The last byte of the address of the SFU or the MCU.
pub(crate) const FORWARDER: u8 = 12;

pub(crate) const RED: [u8; 3] = [255, 0, 0];
pub(crate) const LIME: [u8; 3] = [0, 255, 0];
pub(crate) const BLUE: [u8; 3] = [0, 0, 255];

/// Browsers need seconds to start, and three at once on a slow machine half a minute.
const CALL: Duration = Duration::from_secs(100);
/// As long as a few of those.
pub(crate) const LIFETIME: Duration = Duration::from_secs(240);
