//! The commands that look into a running server and steer it.

use std::{
    collections::{HashSet, VecDeque},
    net::IpAddr,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use client::Transport;
use lab::{
    live::{Code, LiveClient},
    program::Program,
    server::{Server, USER, serving},
    setup::Setup,
    socket::peer_at,
    world::{PEER_V4, SERVER_V4, World},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::credentials::VALID_UNTIL_2038;
use crate::realms::{OTHER_PASSWORD, another_realm};

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
        assert_eq!(alice.refresh(MINUTE), Err(Code(437)));
        assert_eq!(other.refresh(MINUTE), Ok(()));
        assert_eq!(
            asked.succeed(&["end", "--user", "alice"]),
            "1 session ended\n"
        );
        assert_eq!(other.refresh(MINUTE), Err(Code(437)));
        let gone = asked.fail(&["end", id]);
        assert!(gone.contains("there is no session"), "{gone}");
        assert_eq!(asked.json(&["session", id])["ended"]["cause"], "operator");
        let gone = asked.fail(&["session", "0.00000000"]);
        assert!(gone.contains("there is no session"), "{gone}");
        assert_eq!(asked.json(&["status"])["opened"], 2);
    });
}

#[test]
fn sessions_are_found_by_their_bytes_and_ended_by_realm_and_by_credential() {
    let place = place();
    serving(operated(&place, &another_realm()), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let limited = || {
            let (name, password) = VALID_UNTIL_2038;
            LiveClient::udp().login(name, password).allocated().0
        };
        let of_net = || {
            let client = LiveClient::to((IpAddr::from(SERVER_V4), 3479), Transport::Udp);
            client.login(USER, OTHER_PASSWORD).allocated().0
        };
        let (mut alice, _) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
        alice.bind_channel(address).expect("a channel");
        alice.send(address, b"five!");
        peer.recv(&mut [0; 9]).expect("what the client sent");
        let [mut by_credential, mut by_realm] = [limited(), of_net()];

        let credential = VALID_UNTIL_2038.0;
        for (filter, value, count) in [
            ("min-bytes", "5", 1),
            ("min-bytes", "6", 0),
            ("min-age", "0s", 3),
            ("credential", credential, 1),
            ("credential", USER, 2),
            ("realm", "example.net", 1),
            ("user", USER, 3),
        ] {
            let listed = asked.json(&["sessions", &format!("--{filter}"), value]);
            assert_eq!(
                listed.as_array().map(Vec::len),
                Some(count),
                "{filter} {value}"
            );
            let key = filter.replace('-', "_");
            let value = value.trim_end_matches('s');
            let listed = asked.curl(&[], &format!("/v1/sessions?{key}={value}"));
            let listed = listed["sessions"].as_array().map(Vec::len);
            assert_eq!(listed, Some(count), "{key}={value}");
        }

        let told = asked.succeed(&["end", "--realm", "example.net"]);
        assert_eq!(told, "1 session ended\n");
        assert_eq!(by_realm.refresh(MINUTE), Err(Code(437)));
        let end = |body: &str| asked.curl(&["--json", body], "/v1/sessions/end")["ended"].clone();
        assert_eq!(end(&format!("{{\"credential\": \"{credential}\"}}")), 1);
        assert_eq!(by_credential.refresh(MINUTE), Err(Code(437)));
        // And the other way round.
        let [mut by_credential, mut by_realm] = [limited(), of_net()];
        assert_eq!(end("{\"realm\": \"example.net\"}"), 1);
        assert_eq!(by_realm.refresh(MINUTE), Err(Code(437)));
        let told = asked.succeed(&["end", "--credential", credential]);
        assert_eq!(told, "1 session ended\n");
        assert_eq!(by_credential.refresh(MINUTE), Err(Code(437)));
        assert_eq!(alice.refresh(MINUTE), Ok(()));
    });
}

#[test]
fn a_command_that_means_nobody_says_so_and_how_somebody_is_named() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        assert_eq!(asked.succeed(&["sessions"]), "no session\n");
        let _calls = [(); 2].map(|()| LiveClient::udp().allocated());
        for (filter, told) in [
            (["--user", "bob"], "no session of user bob\n"),
            (
                ["--client", "192.0.2.0/24"],
                "no session of client 192.0.2.0/24\n",
            ),
            (["--min-age", "1h"], "no session as old as 1 h 0 min\n"),
        ] {
            assert_eq!(asked.succeed(&["sessions", filter[0], filter[1]]), told);
        }
        let cut = asked.succeed(&["sessions", "--limit", "1"]);
        assert_eq!(cut.lines().count(), 2, "a heading and one session: {cut}");
        let told = asked.succeed(&["session", "--user", "bob"]);
        assert!(
            told.starts_with("no session of user bob, neither"),
            "{told}"
        );
        for command in ["end", "session"] {
            let told = asked.misuse(&[command]);
            assert!(
                told.contains("ID (`hairpin sessions` lists them)") && told.contains("--user"),
                "{told}"
            );
            let told = asked.fail(&[command, "zzz"]);
            assert!(told.contains("`zzz` is no session id"), "{told}");
            asked.misuse(&[command, "0.be76a450", "--user", "alice"]);
        }
        assert_eq!(asked.json(&["status"])["allocations"], 2);
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
            let page = asked.curl(&[], "/v1/sessions?limit=1");
            assert!(page["next"].is_string(), "{}", page["next"]);
        },
    );
}

/// Those who come may take the places of those who went, on pages before and after.
#[test]
fn the_pages_of_a_list_name_who_stays_once_while_others_come_and_go() {
    let place = place();
    let more = "threads = 3\nrelay.ports = '50000-52000'\nallocation.per-user = 0\n\
                unauthenticated.per-prefix = 'unlimited'\nunauthenticated.total = 'unlimited'";
    serving(operated(&place, more), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let opened = |_| {
            let (client, relayed) = LiveClient::udp().allocated();
            (client, relayed.to_string())
        };
        let staying: Vec<_> = (0..600).map(opened).collect();
        let mut passing: VecDeque<_> = (0..60).map(opened).collect();
        let (mut ids, mut named) = (HashSet::new(), HashSet::new());
        let mut pages = 0;
        let mut cursor = Some("0.0".to_owned());
        while let Some(from) = cursor {
            let page = asked.curl(&[], &format!("/v1/sessions?limit=50&cursor={from}"));
            let sessions = page["sessions"].as_array().expect("sessions");
            // A shard looks at 128 places in one turn.
            assert!(sessions.len() < 50 + 128, "{}", sessions.len());
            for session in sessions {
                let name = |of: &Value| of.as_str().expect("a name").to_owned();
                let id = name(&session["id"]);
                assert!(ids.insert(id.clone()), "{id} is named twice");
                named.insert(name(&session["relayed"][0]));
            }
            cursor = page["next"].as_str().map(str::to_owned);
            pages += 1;
            for _ in 0..6 {
                let (mut leaving, _) = passing.pop_front().expect("some pass");
                leaving.refresh(Duration::ZERO).expect("its end");
                passing.push_back(opened(0));
            }
        }
        assert!(pages >= 6, "{pages} pages");
        for (_, relayed) in &staying {
            assert!(named.contains(relayed), "{relayed} is left out");
        }
    });
}

/// The directory of the socket.
pub(crate) fn place() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A server with a socket, by which an operator asks.
pub(crate) fn operated(place: &TempDir, more: &str) -> Setup {
    let socket = place.path().join("admin.sock");
    Setup::default().with(&format!("admin.socket = '{}'\n{more}", socket.display()))
}

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Asked<'w> {
    world: &'w World,
    place: &'w TempDir,
}

impl<'w> Asked<'w> {
    pub(crate) fn begin(world: &'w World, server: &Server, place: &'w TempDir) -> Self {
        server.wait_for_line(&["admin.listening"]);
        Self { world, place }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.place.path().join("admin.sock")
    }

    pub(crate) fn on_host(&self, program: &str) -> Command {
        self.world.on_server_host(program)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.on_host(&lab::server::binary());
        command.args(arguments).arg("--socket").arg(self.socket());
        command
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        Program::succeed(self.command(arguments))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut command = self.command(arguments);
        command.arg("--json");
        serde_json::from_str(&Program::succeed(command)).expect("JSON")
    }

    /// The answer of the API itself.
    pub(crate) fn curl(&self, options: &[&str], path: &str) -> Value {
        let mut curl = self.on_host("curl");
        curl.arg("-s")
            .args(options)
            .arg("--unix-socket")
            .arg(self.socket());
        curl.arg(format!("http://hairpin{path}"));
        serde_json::from_str(&Program::succeed(curl)).expect("JSON")
    }

    /// The output of a command whose answer is no.
    pub(crate) fn fail_quietly(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the binary");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        self.errors(arguments, 1)
    }

    /// The complaint of a command about a command line or a configuration that is wrong.
    pub(crate) fn misuse(&self, arguments: &[&str]) -> String {
        self.errors(arguments, 2)
    }

    fn errors(&self, arguments: &[&str], code: i32) -> String {
        let output = self.command(arguments).output().expect("the binary");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
