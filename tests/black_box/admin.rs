//! The commands that look into a running server and steer it.

use std::{fs, path::PathBuf, process::Command};

use lab::{
    live::{Code, LiveClient},
    program::Program,
    server::{Server, serving},
    setup::Setup,
    socket::peer_at,
    world::{PEER_V4, World},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn sessions_are_listed_shown_and_ended_by_all_that_is_known_of_them() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (mut alice, relayed) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
        alice.bind_channel(address).expect("a channel");
        alice.send(address, b"five!");
        peer.recv(&mut [0; 9]).expect("what the client sent");
        let (mut other, _) = LiveClient::udp().allocated();

        let all = asked.json(&["sessions"]);
        assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
        let with_peer = asked.json(&["sessions", "--peer", &PEER_V4.to_string()]);
        let [session] = with_peer.as_array().expect("sessions").as_slice() else {
            panic!("one session in {with_peer}");
        };
        assert_eq!(session["user"], "alice");
        assert_eq!(session["transport"], "udp");
        assert_eq!(session["client"], alice.address().to_string());
        assert_eq!(session["relayed"][0], relayed.to_string());
        assert_eq!(session["sent"]["bytes"], 5);
        let near = "198.51.100.0/24";
        for (filter, count) in [
            (["--user", "alice"], 2),
            (["--user", "bob"], 0),
            (["--realm", "hairpin.test"], 2),
            (["--client", near], 2),
            (["--client", "192.0.2.0/24"], 0),
        ] {
            let listed = asked.json(&["sessions", filter[0], filter[1]]);
            assert_eq!(listed.as_array().map(Vec::len), Some(count), "{filter:?}");
        }

        let id = session["id"].as_str().expect("an id");
        let details = asked.json(&["session", id]);
        assert_eq!(details["permissions"][0]["peer"], PEER_V4.to_string());
        assert_eq!(details["channels"][0]["peer"], address.to_string());
        let words = asked.succeed(&["session", id]);
        assert!(words.contains(&address.to_string()), "{words}");

        assert_eq!(asked.succeed(&["end", id]), "1 session ended\n");
        let minute = std::time::Duration::from_secs(60);
        assert_eq!(alice.refresh(minute), Err(Code(437)));
        assert_eq!(other.refresh(minute), Ok(()));
        assert_eq!(
            asked.succeed(&["end", "--user", "alice"]),
            "1 session ended\n"
        );
        assert_eq!(other.refresh(minute), Err(Code(437)));
        let gone = asked.fail(&["end", id]);
        assert!(gone.contains("there is no session"), "{gone}");
        let gone = asked.fail(&["session", id]);
        assert!(gone.contains("there is no session"), "{gone}");
        assert_eq!(asked.json(&["status"])["opened"], 2);
    });
}

#[test]
fn many_sessions_are_listed_whole_shard_by_shard() {
    let place = place();
    serving(
        operated(
            &place,
            "relay.ports = '50000-52000'\n[allocation]\nper-user = 0",
        ),
        |world, server| {
            let asked = &Asked::begin(world, server, &place);
            let clients: Vec<_> = (0..100).map(|_| LiveClient::udp().allocated()).collect();
            let mut relayed: Vec<String> = clients.iter().map(|(_, at)| at.to_string()).collect();
            relayed.sort();
            let listed = asked.json(&["sessions"]);
            let listed = listed.as_array().expect("sessions");
            let mut seen: Vec<&str> = listed
                .iter()
                .filter_map(|it| it["relayed"][0].as_str())
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, relayed);
            let mut curl = asked.on_host("curl");
            curl.args(["-s", "--unix-socket"]).arg(asked.socket());
            curl.arg("http://hairpin/v1/sessions?limit=1");
            let page: Value = serde_json::from_str(&Program::succeed(curl)).expect("JSON");
            assert!(page["next"].is_string(), "{}", page["next"]);
        },
    );
}

#[test]
fn a_server_drains_and_goes_on_again_at_the_operators_word() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (mut client, _) = LiveClient::udp().allocated();
        let told = asked.succeed(&["drain"]);
        assert_eq!(
            told,
            "draining: the server ends with the last of 1 sessions\n"
        );
        assert_eq!(LiveClient::udp().allocate(), Err(Code(508)));
        let mut curl = asked.on_host("curl");
        curl.args(["-s", "--unix-socket"]).arg(asked.socket());
        curl.arg("http://hairpin/ready");
        assert_eq!(Program::succeed(curl), "draining\n");
        assert_eq!(
            asked.succeed(&["drain", "--undo"]),
            "sessions are granted\n"
        );
        LiveClient::udp().allocated();
        client.refresh(std::time::Duration::ZERO).expect("the end");
        // Ended, had it still drained when its first session ended.
        assert_eq!(asked.json(&["status"])["draining"], false);
        server.program.signal(Signal::TERM);
    });
}

#[test]
fn a_reload_answers_with_what_changed_or_with_every_fault() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        assert_eq!(asked.succeed(&["reload"]), "changed: nothing\n");
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        fs::write(
            &file,
            good.replace("[allocation]", "[allocation]\nchannels = 7"),
        )
        .expect("ours");
        assert_eq!(
            asked.succeed(&["reload"]),
            "changed: [allocation] channels\n"
        );
        fs::write(&file, format!("bogus = 1\n{good}")).expect("ours");
        // What holds only after a restart is said, too.
        fs::write(
            &file,
            good.replace("[relay]", "[relay]\nports = '50000-50009'"),
        )
        .expect("ours");
        let told = asked.succeed(&["reload"]);
        assert!(told.contains("needs a restart: [relay] ports\n"), "{told}");
        fs::write(&file, format!("bogus = 1\n{good}")).expect("ours");
        let told = asked.fail(&["reload"]);
        assert!(told.contains("unknown key `bogus`"), "{told}");
        assert!(told.contains(":1:1"), "{told}");
    });
}

#[test]
fn the_socket_is_for_its_user_and_group_and_goes_with_the_server() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        use std::os::unix::fs::PermissionsExt;
        let socket = asked.socket();
        let mode = fs::metadata(&socket)
            .expect("a socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o660);
        server.stop();
        assert!(!socket.exists());
        let told = asked.fail(&["status"]);
        assert!(told.contains("cannot reach the server"), "{told}");
    });
}

/// The directory of the socket.
fn place() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A server with a socket, by which an operator asks.
fn operated(place: &TempDir, more: &str) -> Setup {
    let socket = place.path().join("admin.sock");
    Setup::default().with(&format!("admin.socket = '{}'\n{more}", socket.display()))
}

struct Asked<'w> {
    world: &'w World,
    place: &'w TempDir,
}

impl<'w> Asked<'w> {
    fn begin(world: &'w World, server: &Server, place: &'w TempDir) -> Self {
        server.wait_for_line(&["admin: listening"]);
        Self { world, place }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("admin.sock")
    }

    fn on_host(&self, program: &str) -> Command {
        self.world.on_server_host(program)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.on_host(&lab::server::binary());
        command.args(arguments).arg("--socket").arg(self.socket());
        command
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        Program::succeed(self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut command = self.command(arguments);
        command.arg("--json");
        serde_json::from_str(&Program::succeed(command)).expect("JSON")
    }

    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the binary");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
