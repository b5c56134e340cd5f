//! One measurement: a server is started, `hairpin bench` puts its load on it, and the server is ended.

use std::process::Command;
use std::time::Duration;

use super::found::Found;
use super::rows::{Place, Row, Way};
use super::servers::{Kind, LOOPBACK, PASSWORD, PORT, Programs, TLS_PORT, USER};
use crate::background::Background;
use crate::command::output;
use crate::failure::Failure;

/// A row's load on a server.
pub(super) struct Turn<'p> {
    programs: &'p Programs,
    row: &'p Row,
    kind: Kind,
}

impl<'p> Turn<'p> {
    pub(super) const fn new(programs: &'p Programs, row: &'p Row, kind: Kind) -> Self {
        Self {
            programs,
            row,
            kind,
        }
    }

    /// Measures for so long.
    pub(super) fn measure(&self, duration: Duration) -> Result<Found, Failure> {
        let server = self.programs.start(self.kind, self.row.place)?;
        let mut load = load(self.programs, self.row.place, duration);
        load.args(self.row.load.split(' '));
        aim(&mut load, self.row.way);
        found(load, &server)
    }
}

/// `hairpin bench` on its processor, for so long. It is ended if it hangs.
pub(super) fn load(programs: &Programs, place: Place, duration: Duration) -> Command {
    let hairpin = programs.hairpin.to_string_lossy();
    let mut command = match place {
        Place::Pinned => programs.processors.for_load("timeout"),
        Place::Free => Command::new("timeout"),
    };
    let patience = duration * 2 + Duration::from_secs(60);
    command.arg(patience.as_secs().to_string());
    command.args([&hairpin, "bench", "--json", "--duration"]);
    command.arg(format!("{}ms", duration.as_millis()));
    command
}

/// The findings of a load at a server.
pub(super) fn found(mut load: Command, server: &Background) -> Result<Found, Failure> {
    load.args(["--pid", &server.id().to_string()]);
    let told = output(&mut load)?;
    Found::read(&told).map_err(|source| Failure::Json {
        command: "hairpin bench --json",
        source,
    })
}

/// Tells a load its server and the credentials.
pub(super) fn aim(load: &mut Command, way: Way) {
    load.arg(match way {
        Way::Udp => format!("turn:{LOOPBACK}:{PORT}"),
        Way::Tcp => format!("turn:{LOOPBACK}:{PORT}?transport=tcp"),
        Way::Tls => format!("turns:{LOOPBACK}:{TLS_PORT}"),
    });
    load.args(["--user", USER, "--password", PASSWORD]);
}
