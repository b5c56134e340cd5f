//! A browser as a peer: the values that the page leaves on its board, in the form of the contract.

use std::process::ExitStatus;

use lab::{
    board::Board,
    browser::{Browser, Window},
    internet::{Home, OTHER_WEB, WEB, server_v4},
    server::{PASSWORD, USER},
};
use serde_json::{Value, json};

/// A browser that shows `tests/pages/talk.html`. It ends with this value.
pub(crate) struct Page {
    browser: Window,
    board: Board,
}

impl Page {
    /// Opens it at `home`. It sends until it is closed.
    pub(crate) fn open(browser: Browser, home: &Home, uri: &str, role: &str) -> Self {
        let page = include_str!("../pages/talk.html");
        // Both ends may be behind firewalls that let only this port pass.
        let web = if role == "offer" { WEB } else { OTHER_WEB };
        let board = Board::serve((server_v4(web), 443), page);
        let end = json!({
            "name": "peer",
            "partner": "other",
            "offers": role == "offer",
            "iceServers": [{ "urls": uri, "username": USER, "credential": PASSWORD }],
            "strangers": [],
            "seconds": A_DAY,
            "meetsAgain": false,
            "reports": true,
        });
        board.pin("ends", json!([end]));
        let at = |program: &str| home.host.command(program);
        Self {
            browser: browser.open_at(at, &format!("{}#ends", board.url())),
            board,
        }
    }

    /// Gives it the description of the other peer.
    pub(crate) fn tell(&self, description: &Value) {
        self.board.pin("other", description.clone());
    }

    /// All reports that can be made now.
    pub(crate) fn reports(&self) -> Vec<Value> {
        let report = |(what, pin): (&str, &str)| Some(json!({ (what): self.board.read(pin)? }));
        let reports = [
            ("description", "peer"),
            ("connected", "peer-talks"),
            ("received", "peer-heard"),
            ("closed", "peer-result"),
        ];
        reports.into_iter().filter_map(report).collect()
    }

    /// How the browser ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.browser.ended()
    }
}

/// In seconds: longer than any test.
const A_DAY: u32 = 86_400;
