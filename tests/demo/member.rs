//! A member of a call: the page in a browser, and what is seen there.

use std::{
    mem, thread,
    time::{Duration, Instant},
};

use lab::{browser::Browser, driven::Driven, internet::Home, wait_for};
use serde_json::{Value, json};

use crate::origin;

/// Somebody in the room `blue-fox`.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    page: Driven,
}

/// The contents of another member's tile.
#[derive(Debug)]
struct Tile {
    name: String,
    state: String,
    /// Frames that were decoded, by getStats.
    frames: u64,
    /// The sum of all pixels of the picture that is seen.
    pixels: u64,
}

impl Member {
    /// Opens the page in a browser at home, and goes in.
    #[track_caller]
    pub(crate) fn join(name: &'static str, browser: Browser, home: &Home) -> Self {
        let mut member = Self::at_the_door(name, browser, home, None);
        member.enter();
        member
    }

    /// Opens the page. With `devices` the browser has a camera and a microphone.
    #[track_caller]
    pub(crate) fn at_the_door(
        name: &'static str,
        browser: Browser,
        home: &Home,
        devices: Option<&str>,
    ) -> Self {
        let mut page = Driven::open(browser, &home.host, devices);
        page.visit(&format!("{}/#room=blue-fox&name={name}", origin()));
        page.evaluate(KEEP_CONNECTIONS);
        Self { name, page }
    }

    #[track_caller]
    pub(crate) fn enter(&mut self) {
        self.click("#join");
        self.page
            .wait_until("!document.getElementById('call').hidden");
    }

    /// Loads the page again, and goes in again.
    #[track_caller]
    pub(crate) fn reload(&mut self) {
        self.page.reload();
        self.page.evaluate(KEEP_CONNECTIONS);
        self.enter();
    }

    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        self.page
            .evaluate(&format!("document.querySelector({selector:?}).click();"));
    }

    /// Waits until the moving pictures of these others are seen, and no other tile.
    #[track_caller]
    pub(crate) fn sees(&mut self, others: &[&str]) {
        self.sees_but_for(others, "");
    }

    /// The same, whatever the tile of one more member shows.
    #[track_caller]
    pub(crate) fn sees_but_for(&mut self, others: &[&str], absent: &str) {
        if let Err(seen) = self.try_to_see(others, absent) {
            panic!("{seen}\n{}", self.report());
        }
    }

    /// The same. What is seen in place of that is the error.
    pub(crate) fn try_to_see(&mut self, others: &[&str], absent: &str) -> Result<(), String> {
        let mut expected = others.to_vec();
        expected.sort_unstable();
        let (mut before, mut now) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + PICTURES;
        while !all_move(&before, &now, &expected) {
            if Instant::now() > deadline {
                let name = self.name;
                return Err(format!(
                    "{name} is to see {expected:?}, and sees {now:#?}; before, {before:#?}"
                ));
            }
            // The page counts frames once a second.
            thread::sleep(Duration::from_millis(1300));
            let mut tiles = self.tiles();
            tiles.retain(|tile| tile.name != absent);
            before = mem::replace(&mut now, tiles);
        }
        Ok(())
    }

    /// The browser's account of its connections: their ways and pictures.
    #[track_caller]
    pub(crate) fn report(&mut self) -> String {
        let connections = self.page.evaluate(REPORT);
        format!("{}'s connections: {connections:#}", self.name)
    }

    /// Says this to all.
    #[track_caller]
    pub(crate) fn say(&mut self, words: &str) {
        self.page.evaluate(&format!(
            "document.getElementById('words').value = {words:?}; \
             document.getElementById('say').requestSubmit();"
        ));
    }

    /// Waits until these words of others have come, and asserts that they came once and in this order.
    #[track_caller]
    pub(crate) fn has_heard(&mut self, from: &str, words: &[&str]) {
        let last = words.last().expect("words");
        let heard = format!(
            "[...document.querySelectorAll('#log li:not(.file)')] \
             .filter((item) => item.querySelector('.from')?.textContent === {from:?}) \
             .map((item) => item.querySelector('.text')?.textContent)"
        );
        self.page.wait_until(&format!("{heard}.includes({last:?})"));
        let heard = self.page.evaluate(&format!("return {heard};"));
        assert_eq!(heard, json!(words), "{} heard of {from}", self.name);
    }

    /// Sends all others a file of this size.
    #[track_caller]
    pub(crate) fn send_file(&mut self, bytes: usize) {
        self.page.evaluate(&format!(
            "const bytes = new Uint8Array({bytes}).map({BYTE}); \
             const files = new DataTransfer(); \
             files.items.add(new File([bytes], 'notes.bin')); \
             const input = document.getElementById('file'); \
             input.files = files.files; \
             input.dispatchEvent(new Event('change'));"
        ));
    }

    /// Takes the file that was offered.
    #[track_caller]
    pub(crate) fn accept_file(&mut self) {
        let button = "[...document.querySelectorAll('#log .file button')] \
                      .find((button) => button.textContent === 'Receive')";
        self.page.wait_until(button);
        self.page.evaluate(&format!(
            "const make = URL.createObjectURL; \
             URL.createObjectURL = (blob) => (window.received = blob, make.call(URL, blob)); \
             {button}.click();"
        ));
    }

    /// Waits until the file is there, and asserts that it is what was sent.
    #[track_caller]
    pub(crate) fn has_file(&mut self, bytes: usize) {
        self.page.wait_until("window.received");
        let is_whole = self.page.evaluate(&format!(
            "const byte = {BYTE}; \
             const bytes = new Uint8Array(await window.received.arrayBuffer()); \
             return bytes.length === {bytes} && bytes.every((it, place) => it === byte(0, place));"
        ));
        assert_eq!(is_whole, json!(true), "the file that {} has", self.name);
    }

    /// How the page says that the connection to the first other member goes.
    #[track_caller]
    pub(crate) fn way(&mut self) -> String {
        self.page.evaluate(
            "const tile = document.querySelector('.tile:not([data-member=own])'); \
             if (tile.querySelector('.numbers').hidden) tile.querySelector('.chip').click();",
        );
        let way = "document.querySelector('.numbers:not([hidden]) dd')?.textContent";
        self.page.wait_until(way);
        let way = self.page.evaluate(&format!("return {way};"));
        way.as_str().expect("words").to_owned()
    }

    /// Waits until the page says that the connection to the first other member goes this way.
    #[track_caller]
    pub(crate) fn goes(&mut self, way: &str) {
        wait_for(&format!("{} to go {way}", self.name), PICTURES, || {
            (self.way() == way).then_some(())
        });
    }

    /// Runs a script in the page when the clock shows this time, in milliseconds since 1970.
    #[track_caller]
    pub(crate) fn run_at(&mut self, milliseconds: u128, script: &str) {
        self.page.evaluate(&format!(
            "setTimeout(() => {{ {script} }}, {milliseconds} - Date.now());"
        ));
    }

    /// How often it gave its own connection up for an offer of the same number, which met its own.
    #[track_caller]
    pub(crate) fn gave_way(&mut self) -> u64 {
        let count = "return window.connections.length - window.numbers.size;";
        self.page.evaluate(count).as_u64().expect("a number")
    }

    /// How many connections the page has made.
    #[track_caller]
    pub(crate) fn connections(&mut self) -> u64 {
        let count = self.page.evaluate("return window.connections.length;");
        count.as_u64().expect("a number")
    }

    /// Waits until the other end of the newest connection has said what it got of the picture that this end sends.
    #[track_caller]
    pub(crate) fn is_told_of_its_picture(&mut self) {
        self.page.wait_until(
            "[...(await window.connections.at(-1).getStats()).values()] \
             .some(({ type, kind }) => type === 'remote-inbound-rtp' && kind === 'video')",
        );
    }

    #[track_caller]
    pub(crate) fn page(&mut self) -> &mut Driven {
        &mut self.page
    }

    #[track_caller]
    fn tiles(&mut self) -> Vec<Tile> {
        let tiles = self.page.evaluate(TILES);
        let mut tiles: Vec<Tile> = tiles
            .as_array()
            .expect("a list")
            .iter()
            .map(Tile::read)
            .collect();
        tiles.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        tiles
    }
}

fn all_move(before: &[Tile], now: &[Tile], expected: &[&str]) -> bool {
    let names = now.iter().map(|tile| tile.name.as_str());
    names.eq(expected.iter().copied())
        && before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .all(|(before, now)| now.moves_since(before))
}

impl Tile {
    fn read(tile: &Value) -> Self {
        let text = |key: &str| tile[key].as_str().expect("a text").to_owned();
        let number = |key: &str| tile[key].as_u64().expect("a number");
        Self {
            name: text("name"),
            state: text("state"),
            frames: number("frames"),
            pixels: number("pixels"),
        }
    }

    fn moves_since(&self, before: &Self) -> bool {
        self.state.contains("connected")
            && self.frames > before.frames
            && self.pixels != before.pixels
    }
}

/// The tiles of others: their frames, and the pixels that are seen.
const TILES: &str = "
    const canvas = new OffscreenCanvas(64, 36);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    return [...document.querySelectorAll('.tile:not([data-member=own])')].map((tile) => {
        const video = tile.querySelector('video');
        context.clearRect(0, 0, 64, 36);
        context.drawImage(video, 0, 0, 64, 36);
        const { data } = context.getImageData(0, 0, 64, 36);
        return {
            name: tile.querySelector('b').textContent,
            state: tile.className,
            frames: Number(tile.dataset.frames ?? 0),
            pixels: data.reduce((sum, byte, index) => sum + byte * (index % 97), 0),
        };
    });";

/// Keeps the connections that the page makes from now on, and the numbers of those that it signals about.
const KEEP_CONNECTIONS: &str = "
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) {
            super(configuration);
            window.connections.push(this);
        }
    };
    window.numbers = new Set();
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
        const number = JSON.parse(text).data?.number;
        if (number) window.numbers.add(number);
        send.call(this, text);
    };";

/// The connections that are not closed: their states, the pairs of candidates in use, and numbers of their pictures.
const REPORT: &str = "
    const open = window.connections.filter((each) => each.connectionState !== 'closed');
    const of = async (each) => {
        const remote = each.remoteDescription?.sdp.match(/^o=.*/m)?.[0];
        const all = [...(await each.getStats()).values()];
        const chosen = (wanted) => all.filter(wanted).map(({ codecId, transportId, mid, ...rest }) => rest);
        const pairs = chosen(({ type, state }) => type === 'candidate-pair' && state === 'succeeded');
        const ends = pairs.flatMap((pair) => [pair.localCandidateId, pair.remoteCandidateId]);
        return {
            states: [each.connectionState, each.iceConnectionState, each.signalingState],
            remote,
            transports: chosen(({ type }) => type === 'transport'),
            pairs,
            candidates: chosen(({ id }) => ends.includes(id)),
            pictures: chosen(({ kind, type }) => kind === 'video' && type.includes('bound-rtp')),
        };
    };
    return Promise.all(open.map((each) => of(each).catch(String)));";

/// The bytes of a file, by their places.
const BYTE: &str = "(_, place) => (place * 7 + (place >> 8) * 13) & 255";

/// The length of a file.
pub(crate) const FILE: usize = 5 * 1024 * 1024;

/// How long pictures may take to come, or to come back.
const PICTURES: Duration = Duration::from_secs(60);
