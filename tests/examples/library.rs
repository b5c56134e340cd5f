//! The programs of docs/embed.md: they are those of `examples/`, as long as it says, and they work.

use std::{fs, io::Write, net::SocketAddr, path::Path};

use client::Transport;
use lab::{
    PATIENCE,
    foreign::example,
    live::LiveClient,
    program::{Program, here},
    world::in_own_world,
};

#[test]
fn the_document_shows_the_programs_as_they_are_and_counts_their_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("a file");
    let document = read("docs/embed.md");
    for (name, most) in [("without_sockets", 40), ("embed", 60)] {
        let program = read(&format!("examples/{name}.rs"));
        let (_, program) = program.split_once("\n\n").expect("a comment at its head");
        assert!(
            document.contains(&format!("```rust\n{program}```")),
            "{name}"
        );
        let (_, main) = program.split_once("\nfn main").expect("imports");
        let lines = main.lines().map(str::trim);
        let count = lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count();
        let counted = format!("(../examples/{name}.rs); {count} lines of code after the imports");
        assert!(document.contains(&counted), "{counted}");
        assert!(count <= most, "{name}: {count}");
    }
}

#[test]
fn the_relay_without_sockets_gives_its_client_an_allocation() {
    let told = Program::succeed(example(here, "without_sockets"));
    assert!(told.contains("Allocated"), "{told}");
    assert!(told.contains("198.51.100.1:500"), "{told}");
}

#[test]
fn the_relay_in_a_program_serves_its_user() {
    in_own_world(|_| {
        let (mut program, mut enter) = Program::start_talking(example(here, "embed"));
        program.wait_for_words("relaying at 127.0.0.1:3479");
        let at = SocketAddr::from(([127, 0, 0, 1], 3479));
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut client = LiveClient::to(at, transport).login("alice", "wonderland");
            let relayed = client.allocate().expect("an allocation");
            assert!((50_000..=50_099).contains(&relayed.port()), "{relayed}");
        }
        enter.write_all(b"\n").expect("the program reads");
        let ended = program.wait(PATIENCE);
        assert!(ended.status.success(), "{}", ended.output);
        assert!(ended.output.contains("2 allocations"), "{}", ended.output);
    });
}
