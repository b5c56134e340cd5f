//! The API under Schemathesis, which makes requests of the OpenAPI document: good ones and bad ones.

use std::time::Duration;

use lab::{
    foreign::python,
    live::LiveClient,
    program::Program,
    server::{Server, TOKEN, serving},
    setup::Setup,
    world::World,
};

#[test]
fn schemathesis_finds_nothing_at_a_running_server() {
    serving(operated(), |world, server| {
        let _session = LiveClient::udp().allocated();
        // A server that drains ends with its last session, and the tool ends sessions; a stream ends with nobody.
        let all_but = ["/v1/drain", "/v1/live", "/v1/trace"];
        try_all(
            world,
            server,
            &[
                all_but.map(|path| ["--exclude-path", path]).as_flattened(),
                &["--max-time", "12"],
            ]
            .concat(),
        );
    });
}

#[test]
fn schemathesis_finds_nothing_in_draining_and_going_on_again() {
    serving(operated(), |world, server| {
        let (mut session, _) = LiveClient::udp().allocated();
        try_all(world, server, &["--include-path", "/v1/drain"]);
        for told in ["server.draining", "server.undrained"] {
            assert!(server.log().contains(told), "{}", server.log());
        }
        assert_eq!(session.refresh(Duration::from_secs(60)), Ok(()));
    });
}

/// Runs the tool at paths of the API.
#[track_caller]
fn try_all(world: &World, server: &Server, paths: &[&str]) {
    server.wait_for_line(&["server.listening", "path=\"/v1\""]);
    let mut tool = world.on_server_host(&python());
    tool.args(["-m", "schemathesis.cli", "run"]);
    tool.arg(format!("http://{LISTEN}/v1/openapi.json"));
    tool.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    tool.args(paths);
    tool.env("SCHEMATHESIS_HOOKS", "drained");
    tool.env(
        "PYTHONPATH",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/black_box"),
    );
    tool.env("PYTHONDONTWRITEBYTECODE", "1");
    // Formats, such as an address, are more than a schema says: what it allows may be refused (400).
    tool.args(["--exclude-checks", "positive_data_acceptance"]);
    tool.args(["--phases", "examples,coverage,fuzzing"]);
    tool.args([
        "--max-examples",
        "10",
        "--seed",
        "1",
        "--rate-limit",
        "100/s",
        "--no-color",
    ]);
    tool.args(["--generation-database", "none", "--request-timeout", "10"]);
    let ended = Program::run(tool, Duration::from_secs(90));
    assert!(ended.status.success(), "{}", ended.output);
    assert!(ended.output.contains(" passed"), "{}", ended.output);
    let unread = ended.output.contains("Unresolvable");
    assert!(!unread, "{}", ended.output);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

fn operated() -> Setup {
    Setup::default().with(&format!(
        "admin.listen = '{LISTEN}'\nadmin.token = '{TOKEN}'\nadmin.socket = 'off'"
    ))
}

const LISTEN: &str = "127.0.0.1:9640";
