//! A peer: a program that speaks the contract of `tests/clients/README.md`, or a browser.

use std::{
    io::Write,
    process::{ChildStdin, Command, ExitStatus},
};

use lab::{
    PATIENCE,
    authority::Authority,
    foreign::trust,
    internet::Home,
    program::Program,
    server::{PASSWORD, USER},
    wait_for,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    page::Page,
    stack::{End, Means},
};

/// A running peer. It ends with this value.
pub(crate) struct Peer {
    end: End,
    speaker: Speaker,
    description: Option<Value>,
    pub(crate) is_connected: bool,
    /// Messages received from the other peer.
    pub(crate) received: u64,
}

enum Speaker {
    Program(Talker),
    Page(Page),
}

/// A program that reports on its standard output.
struct Talker {
    program: Program,
    input: ChildStdin,
    /// Bytes of the program's output that were read.
    read: usize,
    /// The authority that the program trusts.
    _root: Option<NamedTempFile>,
}

impl Peer {
    /// Starts it at `home`, as a client of the first server there is.
    pub(crate) fn start(home: &Home, end: End, role: &str) -> Self {
        let uri = end.transport.uri(end.stack);
        let speaker = match end.stack.means(&home.host) {
            Means::Program(command) => Speaker::Program(Talker::start(command, &uri, role)),
            Means::Page(browser) => Speaker::Page(Page::open(browser, home, &uri, role)),
        };
        Self {
            end,
            speaker,
            description: None,
            is_connected: false,
            received: 0,
        }
    }

    /// Its description for the other peer, once it gives one.
    #[track_caller]
    pub(crate) fn description(&mut self) -> Value {
        let what = format!("{:?} to describe itself", self.end);
        // A page has to be opened first, by a browser that has to start.
        let patience = match self.speaker {
            Speaker::Program(_) => PATIENCE,
            Speaker::Page(_) => 4 * PATIENCE,
        };
        wait_for(&what, patience, || {
            self.listen();
            self.description.clone()
        })
    }

    /// Gives it the description of the other peer.
    pub(crate) fn tell(&mut self, description: &Value) {
        match &mut self.speaker {
            Speaker::Program(talker) => talker.tell(description),
            Speaker::Page(page) => page.tell(description),
        }
    }

    /// Ends its call in good order, if it can.
    #[track_caller]
    pub(crate) fn hang_up(self) {
        match self.speaker {
            Speaker::Program(talker) => {
                let status = talker.hang_up();
                assert!(status.success(), "{:?} ended with {status}", self.end);
            }
            // A browser is closed, and its page with it.
            Speaker::Page(_) => {}
        }
    }

    /// Reads its reports since the last time. Neither it nor its call may have ended.
    #[track_caller]
    pub(crate) fn listen(&mut self) {
        let reports = match &mut self.speaker {
            Speaker::Program(talker) => talker.reports(),
            Speaker::Page(page) => page.reports(),
        };
        for report in reports {
            self.note(&report);
        }
        if let Some(status) = self.speaker.ended() {
            panic!("{:?} ended with {status}", self.end);
        }
    }

    #[track_caller]
    fn note(&mut self, report: &Value) {
        if let Some(description) = report.get("description") {
            self.description = Some(description.clone());
        } else if let Some(received) = report["received"].as_u64() {
            self.received = received;
        } else if report["connected"] == true {
            self.is_connected = true;
        } else {
            panic!("{:?} reported {report}", self.end);
        }
    }
}

impl Speaker {
    fn ended(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Program(talker) => talker.program.ended(),
            Self::Page(page) => page.ended(),
        }
    }
}

impl Talker {
    fn start(mut command: Command, uri: &str, role: &str) -> Self {
        let root = Authority::lab_if_any().map(Authority::root_file);
        if let Some(root) = &root {
            trust(&mut command, root.path());
        }
        command.args(["--role", role, "--uri", uri]);
        command.args(["--username", USER, "--password", PASSWORD]);
        let (program, input) = Program::start_talking(command);
        Self {
            program,
            input,
            read: 0,
            _root: root,
        }
    }

    fn tell(&mut self, description: &Value) {
        let line = json!({ "description": description });
        writeln!(self.input, "{line}").expect("a peer that listens");
    }

    /// Closes its input, and waits for it to end.
    #[track_caller]
    fn hang_up(self) -> ExitStatus {
        let Self {
            mut program, input, ..
        } = self;
        drop(input);
        program.wait(PATIENCE).status
    }

    /// Its reports since the last time.
    #[track_caller]
    fn reports(&mut self) -> Vec<Value> {
        let output = self.program.output();
        let new = &output[self.read..];
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole;
        let reports = new[..whole].lines().filter(|line| line.starts_with('{'));
        reports
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
            })
            .collect()
    }
}
