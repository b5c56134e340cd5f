//! The log in the journal: journald itself runs beside the server, in the namespaces of the test.

use std::{fs, path::Path, process::Command};

use lab::{
    PATIENCE,
    program::{Program, here},
    server::USER,
    socket::udp_to,
    wait_for,
    world::in_own_world,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::guessing::{banned, guess_with, nonce_for};
use crate::server::{SERVER, setup};

#[test]
fn the_journal_has_fields_and_priorities_and_no_user_forges_one() {
    in_own_world(|_| {
        let journal = Journal::start();
        let files = tempfile::tempdir().expect("a temporary directory");
        // Standard error leads to the journal, and the environment names the stream, as under systemd.
        let through = |program: &str| {
            let mut command = here("systemd-cat");
            command.args(["sh", "-c", NAMED, "sh", program]);
            command
        };
        let setup = setup().with("log.addresses = true");
        let mut server = Program::start(setup.command(through, files.path()));
        journal.wait_for("HAIRPIN_EVENT=server.listening");

        let (mut session, relayed) = crate::clients::on_udp().allocated();
        let opened = journal.wait_for("HAIRPIN_EVENT=allocation.opened");
        for (field, value) in [
            ("_TRANSPORT", "journal"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "hairpin"),
            ("HAIRPIN_USER", USER),
            ("HAIRPIN_RELAYED", &relayed.to_string()),
        ] {
            assert_eq!(opened[field], value, "{opened}");
        }
        session.refresh(std::time::Duration::ZERO).expect("the end");
        journal.wait_for("HAIRPIN_EVENT=allocation.ended");
        let id = opened["HAIRPIN_ALLOCATION"].as_str().expect("an id");
        let all = journal.entries(&format!("HAIRPIN_ALLOCATION={id}"));
        assert_eq!(all.len(), 2, "{all:?}");

        let liar = udp_to(SERVER);
        let nonce = nonce_for(&liar);
        liar.send(&guess_with(LIAR, &nonce)).expect("a route");
        liar.recv(&mut [0; 2048]).expect("a refusal");
        let failed = journal.wait_for("HAIRPIN_EVENT=auth.failed");
        assert_eq!(failed["PRIORITY"], "4");
        assert_eq!(failed["HAIRPIN_USER"], LIAR.escape_debug().to_string());
        assert!(journal.entries("HAIRPIN_EVENT=forged").is_empty());
        assert_eq!(banned(&journal.lines()), ["127.0.0.1"]);

        server.signal(Signal::TERM);
        assert!(server.wait(PATIENCE).status.success());
        journal.wait_for("HAIRPIN_EVENT=server.stopped");
    });
}

#[test]
fn without_a_journal_lines_are_text_and_the_log_says_so_where_one_is_asked_for() {
    in_own_world(|_| {
        hide_the_hosts_own();
        for (format, is_said) in [("auto", false), ("journal", true)] {
            let setup = setup().with(&format!("log.format = '{format}'"));
            let files = tempfile::tempdir().expect("a temporary directory");
            let mut command = setup.command(here, files.path());
            // Of a stream that is another one by now.
            command.env("JOURNAL_STREAM", "8:15");
            let mut server = Program::start(command);
            server.wait_for_words(" INFO server.listening");
            assert_eq!(server.output().contains("log.no-journal"), is_said);
            server.signal(Signal::TERM);
            assert!(server.wait(PATIENCE).status.success());
        }
    });
}

/// journald, with a directory of its own for sockets and entries.
struct Journal(#[expect(dead_code, reason = "it ends with the test")] Program);

impl Journal {
    fn start() -> Self {
        hide_the_hosts_own();
        fs::create_dir_all("/run/systemd/journal").expect("our own");
        let journald = Program::start(here("/lib/systemd/systemd-journald"));
        wait_for("journald", PATIENCE, || {
            let are_there = ["socket", "stdout"]
                .map(|name| Path::new("/run/systemd/journal").join(name).exists());
            (are_there == [true; 2]).then_some(())
        });
        Self(journald)
    }

    /// The entries that this names.
    fn entries(&self, matches: &str) -> Vec<Value> {
        let mut journalctl = self.journalctl();
        journalctl.args(["--output", "json", matches]);
        let all = Program::succeed(journalctl);
        let entries = all.lines().map(serde_json::from_str);
        entries
            .collect::<Result<_, _>>()
            .expect("JSON, a line each")
    }

    /// The last of them, once there is one.
    #[track_caller]
    fn wait_for(&self, matches: &str) -> Value {
        wait_for(matches, PATIENCE, || self.entries(matches).pop())
    }

    /// All of the server's, as people and Fail2Ban read them.
    fn lines(&self) -> String {
        let mut journalctl = self.journalctl();
        journalctl.args(["--output", "short-iso", "SYSLOG_IDENTIFIER=hairpin"]);
        Program::succeed(journalctl)
    }

    fn journalctl(&self) -> Command {
        let mut journalctl = here("journalctl");
        journalctl.args(["--no-pager", "--quiet", "--all"]);
        journalctl
    }
}

/// The test has a mount namespace of its own; from here on it has other directories in it, too.
fn hide_the_hosts_own() {
    for place in ["/run", "/var/log"] {
        let mut mount = here("mount");
        mount.args(["-t", "tmpfs", "none", place]);
        Program::succeed(mount);
    }
}

/// The variable that systemd sets for its services.
const NAMED: &str = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";
/// A name that passes for fields and a message of the journal, if it is let.
const LIAR: &str =
    "x\nPRIORITY=0\nHAIRPIN_EVENT=forged\nMESSAGE=auth.failed client=9.9.9.9:9 transport=udp";
