//! `--json` of every command that asks the running server.

use std::{collections::BTreeSet, process::Command};

use lab::{
    PATIENCE,
    live::LiveClient,
    program::Program,
    server::{binary, serving},
};
use serde_json::Value;

use crate::admin::{Asked, operated, place};

#[test]
fn every_command_that_asks_prints_its_answer_as_json_and_nothing_beside_it() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (_alice, _) = LiveClient::udp().allocated();
        let sessions = asked.json(&["sessions"]);
        let id = sessions[0]["id"].as_str().expect("an id");
        let config = server.config();
        // What is in each answer, as a JSON pointer.
        let commands: [(&[&str], &str); 21] = [
            (&["status"], "/allocations"),
            (&["sessions"], "/0/id"),
            (&["sessions", "--user", "nobody"], ""),
            (&["session", id], "/permissions"),
            (&["session", "--user", "alice"], "/sessions/0/id"),
            (&["end", "--user", "nobody"], "/ended"),
            (&["bans"], "/bans"),
            (&["config"], "/values/realm"),
            (&["policy", "explain", "8.8.8.8", "--running"], "/allowed"),
            (&["log-level"], "/level"),
            (&["log-level", "debug", "--for", "1m"], "/left"),
            (&["log-level", "--undo"], "/level"),
            (&["top", "--by", "users"], "/top/top/0/name"),
            (&["usage"], "/counted"),
            (&["reload", "--dry-run"], "/changed"),
            (&["reload"], "/changed"),
            (&["check", "--against-running"], "/dry_run"),
            (
                &["check", "--against-running", "--config", &config],
                "/dry_run",
            ),
            (&["health", "--config", &config], "/healthy"),
            (&["drain", "--within", "10m"], "/left/ends"),
            (&["drain", "--undo"], "/draining"),
        ];
        for (command, pointer) in commands {
            let mut hairpin = asked.command(command);
            let output = hairpin.arg("--json").output().expect("the binary");
            assert!(output.status.success(), "{command:?}: {output:?}");
            let answer: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|why| panic!("{command:?}: {why}: {output:?}"));
            assert!(
                answer.pointer(pointer).is_some(),
                "{pointer} of {command:?}: {answer}"
            );
        }
        let trace = asked.command(&["trace", "--user", "alice", "--json"]);
        let mut trace = Program::start(trace);
        trace.wait_for_words("\n");
        let first = trace.output();
        let first: Value =
            serde_json::from_str(first.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["event"], "begun");

        let named = commands.iter().map(|(command, _)| command[0]);
        let named: BTreeSet<String> = named.chain(["trace"]).map(str::to_owned).collect();
        assert_eq!(that_ask(&[]), named, "each command that has --socket");
    });
}

/// The commands that take the place of a socket, below these.
fn that_ask(above: &[&str]) -> BTreeSet<String> {
    let mut hairpin = Command::new(binary());
    hairpin.args(above).arg("--help");
    let help = Program::run(hairpin, PATIENCE).output;
    if help.contains("--socket <PATH>") {
        assert!(help.contains("--json"), "{above:?} has no --json");
        return above
            .iter()
            .take(1)
            .map(|name| (*name).to_owned())
            .collect();
    }
    let commands = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names
        .flat_map(|name| that_ask(&[above, &[name]].concat()))
        .collect()
}
