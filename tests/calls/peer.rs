//! A peer: a program that speaks the contract of `tests/clients/README.md`.

use std::{io::Write, process::ChildStdin};

use serde_json::{Value, json};

use crate::{
    lab::{
        PATIENCE,
        program::Program,
        server::{PASSWORD, USER},
        wait_for,
    },
    net::{Home, server_v4},
    stack::End,
};

/// A running peer. It is gone with this value.
pub(crate) struct Peer {
    end: End,
    program: Program,
    input: ChildStdin,
    /// Bytes of the program's output that were read.
    read: usize,
    description: Option<Value>,
    pub(crate) is_connected: bool,
    /// Messages of the other peer.
    pub(crate) received: u64,
}

impl Peer {
    /// Starts it at `home`, as a client of the first server there is.
    pub(crate) fn start(home: &Home, end: End, role: &str) -> Self {
        let transport = end.transport.name();
        let uri = format!("turn:{}:3478?transport={transport}", server_v4(1));
        let mut command = end.stack.command(&home.host);
        command.args(["--role", role, "--uri", &uri]);
        command.args(["--username", USER, "--password", PASSWORD]);
        let (program, input) = Program::start_talking(command, "util-linux");
        Self {
            end,
            program,
            input,
            read: 0,
            description: None,
            is_connected: false,
            received: 0,
        }
    }

    /// How it describes itself to the other peer, once it does.
    #[track_caller]
    pub(crate) fn description(&mut self) -> Value {
        let what = format!("{:?} to describe itself", self.end);
        wait_for(&what, PATIENCE, || {
            self.listen();
            self.description.clone()
        })
    }

    /// Tells it how the other peer describes itself.
    pub(crate) fn tell(&mut self, description: &Value) {
        let line = json!({ "description": description });
        writeln!(self.input, "{line}").expect("a peer that listens");
    }

    /// Ends its input, and waits for it to end.
    #[track_caller]
    pub(crate) fn hang_up(self) {
        let Self {
            end,
            mut program,
            input,
            ..
        } = self;
        drop(input);
        let status = program.wait(PATIENCE).status;
        assert!(status.success(), "{end:?} ended with {status}");
    }

    /// Reads what it reported since the last time. It must not have ended, nor its call.
    #[track_caller]
    pub(crate) fn listen(&mut self) {
        let output = self.program.output();
        let new = &output[self.read..];
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole;
        for line in new[..whole].lines().filter(|line| line.starts_with('{')) {
            let report = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{:?} reported {line}: {error}", self.end));
            self.note(&report);
        }
        if let Some(status) = self.program.ended() {
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
