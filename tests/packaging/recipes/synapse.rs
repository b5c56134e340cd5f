//! `synapse.md`: the Synapse of PyPI reads the lines of the page, and the page's own command lines prove that it works.

use std::{env, fs, io::Write, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use lab::{
    authority::Authority,
    foreign::synapse,
    machine::{add_to_etc, name_hosts, replace},
    program::{Program, here},
    server::binary,
    world::{SERVER_V4, in_own_world_for},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Directory, Page, SECRET, base, certificate_for, parsed::yaml, products::wait_for_port,
};

#[test]
fn what_synapse_hands_out_opens_an_allocation_as_the_page_says() {
    in_own_world_for(5 * START, |world| {
        let page = Page::read("synapse");
        add_to_etc("matrix-synapse/turn.secret", &format!("{SECRET}\n"));
        let hosts = [
            (SERVER_V4.into(), "turn.example.org"),
            ([127, 0, 0, 1].into(), "matrix.example.org"),
        ];
        name_hosts(&hosts);
        let root = Authority::lab().root();
        replace("/etc/ssl/certs/ca-certificates.crt", root);
        let directory = Directory::certified(&base());
        let server = directory.serve(world);
        let place = TempDir::new().expect("a temporary directory");
        let _synapse = start(&page, place.path());
        // The shell finds the page's `hairpin` there, for which the lab's authority stands in for a public one.
        let ca = place.path().join("ca.pem");
        fs::write(&ca, root).expect("the directory is ours");
        let line = format!(
            "#!/bin/sh\nexec {} \"$@\" --ca {}\n",
            binary(),
            ca.display()
        );
        executable(&place.path().join("hairpin"), &line);
        let path = env::var("PATH").expect("a path");
        let mut shell = here("bash");
        shell.env("PATH", format!("{}:{path}", place.path().display()));
        shell.current_dir(place.path());
        let lines = page.only("See that it works", "sh");
        shell.args(["-e", "-o", "pipefail", "-c", lines]);
        let (mut shell, mut keyboard) = Program::start_talking(shell);
        writeln!(keyboard, "{}", token()).expect("a shell that reads");
        let told = shell.wait(START);
        assert!(told.status.success(), "{}{}", told.output, server.output());
        // The doctor allocated with the name that Synapse made, which looks as the page says.
        let answer = fs::read_to_string(place.path().join("answer.json")).expect("the page's file");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let lines = yaml(page.only("Synapse", "yaml")).remove(0);
        assert_eq!(answer["uris"], lines["turn_uris"]);
        assert_eq!(answer["ttl"], 86400);
        let user = answer["username"].as_str().expect("a text");
        assert!(user.ends_with(":@alice:example.org"), "{answer}");
        let log = server.output();
        let mut opened = log
            .lines()
            .filter(|line| line.contains("allocation.opened"));
        assert!(opened.any(|line| line.contains(user)), "{log}");
    });
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("the directory is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

/// Starts Synapse with the lines of the page and a user, and waits until it serves.
fn start(page: &Page, place: &Path) -> Program {
    certificate_for("matrix.example.org").write(place, "matrix");
    let file = |name: &str| place.join(name).display().to_string();
    let own = json!({
        "server_name": "example.org",
        "listeners": [
            { "type": "http", "port": 8008, "bind_addresses": ["127.0.0.1"], "resources": [{ "names": ["client"] }] },
            { "type": "http", "port": 443, "bind_addresses": ["127.0.0.1"], "resources": [{ "names": ["client"] }], "tls": true },
        ],
        "tls_certificate_path": file("matrix.pem"),
        "tls_private_key_path": file("matrix.key"),
        "database": { "name": "sqlite3", "args": { "database": file("homeserver.db") } },
        "media_store_path": file("media"),
        "signing_key_path": file("signing.key"),
        "registration_shared_secret": "known to this test alone",
        "macaroon_secret_key": "known to this test alone, too",
        "form_secret": "and this one",
        "trusted_key_servers": [],
        "report_stats": false,
    });
    // JSON is YAML, in which the lines of the page are the other file.
    fs::write(file("own.yaml"), own.to_string()).expect("the directory is ours");
    fs::write(file("page.yaml"), page.only("Synapse", "yaml")).expect("the directory is ours");
    let files = [
        "--config-path",
        &file("own.yaml"),
        "--config-path",
        &file("page.yaml"),
    ];
    // What `--generate-keys` would make with one more start.
    let key = format!("ed25519 a_key {}\n", "A".repeat(43));
    fs::write(file("signing.key"), key).expect("the directory is ours");
    let mut command = here(&synapse("python"));
    command.args(["-m", "synapse.app.homeserver"]).args(files);
    command.current_dir(place);
    let mut synapse = Program::start(command);
    wait_for_port(&mut synapse, 8008, START);
    let mut register = here(&self::synapse("register_new_matrix_user"));
    register.args(["--user", "alice", "--password", PASSWORD, "--no-admin"]);
    register.args(["--config", &file("own.yaml"), "http://127.0.0.1:8008"]);
    let registered = Program::run(register, START);
    assert!(registered.status.success(), "{}", registered.output);
    synapse
}

/// An access token of the user, which a client has when it has logged in.
fn token() -> String {
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": PASSWORD,
    });
    let mut curl = here("curl");
    curl.args(["--silent", "--json", &login.to_string()]);
    curl.arg("http://127.0.0.1:8008/_matrix/client/v3/login");
    let told = Program::succeed(curl);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    told["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{told}"))
        .to_owned()
}

const PASSWORD: &str = "jabberwocky";

/// How long a large program of Python may take beside other tests: it compiles itself the first time.
const START: Duration = Duration::from_secs(120);
