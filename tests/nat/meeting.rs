//! The meeting place of two browsers: a page on the Internet, and a board that both can write on.

use lab::{
    board::Board,
    internet::{WEB, server_v4},
};
use serde_json::Value;

/// The board, on the host that serves `tests/pages/meeting.html`.
pub(crate) struct Meeting(Board);

impl Meeting {
    /// For peers that will use `ice_servers`.
    pub(crate) fn open(ice_servers: Value) -> Self {
        let page = include_str!("../pages/meeting.html");
        let board = Board::serve((server_v4(WEB), 80), page);
        board.pin("ice-servers", ice_servers);
        Self(board)
    }

    /// The page for the browser that is to be `role`.
    pub(crate) fn url(&self, role: &str) -> String {
        format!("{}#{role}", self.0.url())
    }

    /// The result of `role`, once there is one.
    pub(crate) fn result(&self, role: &str) -> Option<Value> {
        self.0.read(&format!("{role}-result"))
    }
}
