//! A log that is no longer read: `hairpin serve 2>&1 | head` must not end the server.

use std::{
    io::{PipeWriter, Write, pipe},
    net::UdpSocket,
    process::{Child, Stdio},
    sync::mpsc::channel,
    thread::spawn,
    time::Duration,
};

use lab::{PATIENCE, program::here, server::BINDING, wait_for, world::in_own_world};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::{SERVER, setup};

#[test]
fn a_server_whose_log_nobody_reads_goes_on() {
    in_own_world(|_| {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        Logging::to(writer).goes_on();
    });
}

#[test]
fn a_server_whose_log_is_not_read_fast_enough_goes_on() {
    in_own_world(|_| {
        let (_reader, writer) = pipe().expect("a pipe");
        let server = Logging::to(writer.try_clone().expect("a pipe"));
        server.answers(&BINDING);
        // Nothing more fits, and the reader does not read.
        fill(writer);
        server.goes_on();
    });
}

/// A server, and a client of it.
struct Logging {
    server: Child,
    client: UdpSocket,
    _files: TempDir,
}

impl Logging {
    /// A server that writes its log there.
    #[track_caller]
    fn to(log: PipeWriter) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let mut command = setup().command(here, files.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let client = UdpSocket::bind("127.0.0.2:0").expect("a socket");
        let patience = Some(Duration::from_millis(100));
        client.set_read_timeout(patience).expect("a socket");
        client.connect(SERVER).expect("a socket");
        Self {
            server: command.spawn().expect("the server"),
            client,
            _files: files,
        }
    }

    #[track_caller]
    fn answers(&self, request: &[u8]) {
        wait_for("an answer", PATIENCE, || {
            let mut answer = [0; 128];
            self.client.send(request).ok()?;
            self.client.recv(&mut answer).ok()
        });
    }

    /// It answers, also after it had lines to log, and ends when it is told to.
    #[track_caller]
    fn goes_on(mut self) {
        for request in [&BINDING, REFUSED, &BINDING, REFUSED, &BINDING] {
            self.answers(request);
        }
        kill_process(Pid::from_child(&self.server), Signal::TERM).expect("a living server");
        let status = wait_for("the server to end", PATIENCE, || {
            self.server.try_wait().expect("our child")
        });
        assert_eq!(status.code(), Some(0));
    }
}

/// Writes until nothing more fits; the thread that waits then ends with the process.
fn fill(mut pipe: PipeWriter) {
    let (full, is_full) = channel();
    spawn(
        move || {
            while pipe.write_all(&[b'\n'; 512]).is_ok() && full.send(()).is_ok() {}
        },
    );
    while is_full.recv_timeout(Duration::from_millis(200)).is_ok() {}
}

/// A request with an unknown comprehension-required attribute: each refusal is a line for the log.
const REFUSED: &[u8] = b"\x00\x01\x00\x04\x21\x12\xA4\x42over and out\x00\x02\x00\x00";
