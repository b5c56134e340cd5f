//! `cargo xtask bench` for seconds: it is the command that is tested, and no number.

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[test]
fn every_server_is_measured_by_turns_and_the_table_has_its_cells() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let json = place.path().join("found.json");
    let line = "--rounds 1 --duration 1 --only together-up,idle-tcp --json";
    let ran = bench(line, &[json.to_str().expect("UTF-8")]);
    let table = String::from_utf8_lossy(&ran.stdout);
    for (title, filled) in [
        ("| the same from a card that joins them (GRO), up |", 6),
        ("| the same over TCP |", 3),
    ] {
        let row = table.lines().find(|line| line.starts_with(title));
        let cells = row.unwrap_or_default().split('|').skip(2);
        let cells = cells.filter(|cell| !cell.trim().is_empty());
        assert_eq!(cells.count(), filled, "{title} in\n{table}");
    }

    let json = std::fs::read_to_string(&json).expect("the file of --json");
    let found: Value = serde_json::from_str(&json).expect("JSON");
    let servers = found["rows"][0]["servers"].as_object().expect("servers");
    assert_eq!(servers.len(), 4, "{json}");
    for (server, rounds) in servers {
        let packets = &rounds[0]["packets"];
        assert!(
            packets["received"].as_u64() > Some(50),
            "{server}: {packets}"
        );
        assert_eq!(packets["damaged"], 0, "{server}");
    }
}

#[test]
fn a_load_is_held_while_allocations_come_and_go_and_memory_returns() {
    let ran = bench("soak --minutes 0.02 --rate 1000 --cycles 20", &[]);
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(told.contains("1000 packets a second for 1 s"), "{told}");
    assert!(told.contains("p99 "), "{told}");
}

#[test]
fn a_row_that_is_not_there_is_refused_before_anything_is_built() {
    let refused = Command::new(XTASK)
        .args(["bench", "--only", "sideways"])
        .output()
        .expect("xtask");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("no row begins with `sideways`"), "{told}");
}

/// The command with programs that are built, which must succeed.
#[track_caller]
fn bench(line: &str, more: &[&str]) -> Output {
    let mut command = Command::new(XTASK);
    command.arg("bench").args(line.split(' ')).args(more);
    for (name, program) in [
        ("HAIRPIN_BIN", "hairpin"),
        ("HAIRPIN_TEST_FORWARDER", "forwarder"),
    ] {
        // Else those beside this one, of cargo's debug build.
        let built = Path::new(XTASK).with_file_name(program);
        let program = env::var_os(name).unwrap_or_else(|| built.into_os_string());
        assert!(
            Path::new(&program).exists(),
            "cargo build -p hairpin -p hairpin-bench builds what {name} names"
        );
        command.env(name, program);
    }
    let ran = command.output().expect("xtask");
    assert!(
        ran.status.success(),
        "{line}: {}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    ran
}

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
