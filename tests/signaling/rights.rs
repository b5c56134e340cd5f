//! Members whom a running server lets in, and how it says farewell.

use std::fs;

use lab::{
    PATIENCE,
    authority::{Authority, SERVER_NAME},
    foreign::{python, script, trust},
    program::{Program, here},
    server::{Server, serving},
    setup::Setup,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use signal::{Client, ClientError};

use crate::{SIGNAL, open, run};

#[test]
fn rooms_with_a_secret_follow_a_reload_and_those_in_them_stay() {
    let setup = Setup::default().with(&keys("signal.secrets = ['3vQ0cW1hZ2ljIG51bWJlcnM=']"));
    serving(setup, |_world, server| {
        run(async {
            let (mut alice, told) = enter(json!({"secret": "3vQ0cW1hZ2ljIG51bWJlcnM="})).await;
            assert_eq!(told["type"], "joined");
            let servers = &told["iceServers"][0];
            assert!(servers["credential"].is_string(), "{told}");
            let (mut thief, told) = enter(json!({"secret": "guessed"})).await;
            assert_eq!(told["code"], "forbidden");
            assert!(matches!(
                thief.receive().await,
                Err(ClientError::Closed(4003))
            ));

            reload(
                server,
                "3vQ0cW1hZ2ljIG51bWJlcnM=",
                "YW5vdGhlciBzZWNyZXQgdG8gdHJ5",
            );
            let (_, told) = enter(json!({"secret": "3vQ0cW1hZ2ljIG51bWJlcnM="})).await;
            assert_eq!(told["code"], "forbidden");
            let (_bob, told) = enter(json!({"secret": "YW5vdGhlciBzZWNyZXQgdG8gdHJ5"})).await;
            assert_eq!(told["members"][0]["id"], "m1");
            assert_eq!(alice.receive().await.expect("news")["type"], "member");
        });
        let log = server.log();
        assert!(log.contains("signal.refused code=\"forbidden\""), "{log}");
        assert!(
            !log.contains("guessed") && !log.contains("blue-fox"),
            "{log}"
        );
    });
}

#[test]
fn a_server_that_ends_says_so_to_every_member() {
    serving(open(Setup::default()), |_world, server| {
        run(async {
            let (mut alice, _) = enter(json!({})).await;
            server.program.signal(Signal::TERM);
            assert!(matches!(
                alice.receive().await,
                Err(ClientError::Closed(1001))
            ));
        });
        let ended = server.wait();
        assert!(
            ended.output.contains("what=\"joined\" count=1"),
            "{}",
            ended.output
        );
    });
}

#[test]
fn members_over_tls_meet_those_in_the_clear() {
    serving(open(Setup::default()).with_tls(), |_world, _server| {
        run(async {
            let (mut alice, _) = enter(json!({})).await;
            let root = Authority::lab().root_file();
            let mut command = script(here, &python(), "signaling_wire.py");
            trust(&mut command, root.path());
            let [host, port] = [SIGNAL.ip().to_string(), SIGNAL.port().to_string()];
            command.args([&host, &port, "a_member_over_tls", SERVER_NAME]);
            let mut bob = Program::start(command);
            assert_eq!(alice.receive().await.expect("news")["type"], "member");
            alice
                .signal("m2", json!("hello"))
                .await
                .expect("a connection");
            let ended = bob.wait(PATIENCE);
            assert!(ended.status.success(), "{}", ended.output);
        });
    });
}

/// Enters a room by these fields.
async fn enter(by: Value) -> (Client, Value) {
    let mut client = Client::connect(SIGNAL).await.expect("a server");
    let mut join = json!({"type": "join", "room": "blue-fox", "name": "N"});
    let fields = join.as_object_mut().expect("an object");
    fields.extend(by.as_object().expect("fields").clone());
    client.send(join).await.expect("a connection");
    let told = client.receive().await.expect("an answer");
    (client, told)
}

fn reload(server: &Server, old: &str, new: &str) {
    let config = fs::read_to_string(server.config()).expect("a configuration");
    assert!(config.contains(&format!("\"{old}\"")), "{config}");
    fs::write(server.config(), config.replace(old, new)).expect("a configuration");
    server.program.signal(Signal::HUP);
    server.wait_for_line(&["configuration.reloaded", "[signal] secrets"]);
}

fn keys(access: &str) -> String {
    format!(
        "http.listen = '0.0.0.0:8080'\nsignal.enabled = true\n{access}\n\
         auth.secrets = ['c2VjcmV0IG9mIGNyZWRlbnRpYWxz']"
    )
}
