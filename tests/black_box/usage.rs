//! Usage events: what other systems are told.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ChildStdin;
use std::time::{Duration, Instant};
use std::{fs, path::PathBuf, process::Command};

use lab::{
    PATIENCE,
    authority::{Authority, Wish},
    foreign::python,
    live::LiveClient,
    program::{Program, here},
    server::{Server, binary, serving},
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{PEER_V4, World, in_own_world},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn events_say_what_each_allocation_has_used_in_a_file_and_to_a_webhook() {
    let place = Place::new();
    serving(place.setup(&place.told()), |world, server| {
        let receiver = Receiver::start(world, 8080, "200");
        let mut caller = LiveClient::udp();
        caller.allocate().expect("an allocation");
        // Two shards tell of what they do in no order.
        receiver.wait_for("usage.started", 1);
        let mut spare = LiveClient::udp();
        spare.allocate().expect("an allocation");
        let (peer, address) = peer_at(PEER_V4);
        caller.create_permission(address).expect("a permission");
        // The server reads 16 datagrams at once: an update has all of them, or none.
        server.program.while_stopped(|| {
            for _ in 0..16 {
                caller.post(address, &[7; 1250]);
            }
        });
        for _ in 0..16 {
            peer.recv(&mut [0; 1250]).expect("what the client sent");
        }
        // Each five seconds, of what passes alone.
        let updated = receiver.wait_for("usage.updated", 1);
        assert_eq!(updated[0]["sent"]["bytes"], 20_000);
        // Others rotate the file.
        let moved = place.path("usage.jsonl.1");
        fs::rename(place.path("usage.jsonl"), &moved).expect("a file of events");
        spare.refresh(Duration::ZERO).expect("the end");
        receiver.wait_for("usage.ended", 1);
        caller.refresh(Duration::ZERO).expect("the end");
        let ended = receiver.wait_for("usage.ended", 2);
        let [unused, used] = [&ended[0], &ended[1]];
        assert_eq!(
            (&unused["unused"], &used["unused"]),
            (&true.into(), &false.into())
        );
        for event in &ended {
            assert_eq!(event["cause"], "deleted");
            assert_eq!(event["realm"], "hairpin.test");
            assert_eq!(event["user"], "alice");
            assert_eq!(event["transport"], "udp");
            assert!(event.get("client").is_none(), "{event}");
        }
        assert_eq!(used["sent"]["packets"], 16);
        assert_eq!(used["allocation"], updated[0]["allocation"]);
        let started = receiver.wait_for("usage.started", 2);
        assert_eq!(started[0]["allocation"], used["allocation"]);

        let (before, since) = (events_in(&moved), events_in(&place.path("usage.jsonl")));
        let in_files: Vec<&Value> = before.iter().chain(&since).collect();
        assert_eq!((before.len(), since.len()), (3, 2));
        let posted = receiver.events();
        assert_eq!(in_files, posted.iter().collect::<Vec<_>>());
        assert_commands_tell_of_them(&place, world, server);
    });
}

/// The user, and all five events.
#[track_caller]
fn assert_commands_tell_of_them(place: &Place, world: &World, server: &Server) {
    // The receiver tells of a post before it answers it.
    let asked = wait_for("five events to be delivered", PATIENCE, || {
        let asked = place.ask(world, server, &["usage", "--json"]);
        let asked: Value = serde_json::from_str(&asked).expect("JSON");
        (asked["events"]["delivered"] == 5).then_some(asked)
    });
    let user = &asked["users"][0];
    assert_eq!(
        (&user["user"], &user["bytes"]),
        (&"alice".into(), &20_000.into())
    );
    assert_eq!(
        (&user["allocations"], &user["unused"]),
        (&2.into(), &1.into())
    );
    let words = place.ask(world, server, &["usage", "--user", "alice"]);
    assert!(words.contains("20.0 kB"), "{words}");
    assert!(
        words.contains("events since the start: 5 delivered, 0 waiting, 0 lost"),
        "{words}"
    );
    let status = place.ask(world, server, &["status"]);
    assert!(
        in_one_line(&status).contains("usage events since the start: 5 delivered"),
        "{status}"
    );
}

#[test]
fn no_event_is_lost_while_the_webhook_fails_and_the_server_is_killed() {
    let place = Place::new();
    in_own_world(|world| {
        let setup = place.setup(&place.told());
        let server = world.serve(setup.clone());
        // Nobody is there.
        let (mut first, _) = LiveClient::udp().allocated();
        server.wait_for_line(&["usage.webhook-failed", "refused"]);
        let mut receiver = Receiver::start(world, 8080, "500");
        receiver.wait_for("usage.started", 1);
        // It tells of a post before it answers it.
        wait_for("the webhook to fail by its answer", PATIENCE, || {
            let asked = place.ask(world, &server, &["usage"]);
            let told = "the webhook fails: it answers 500";
            asked.contains(told).then_some(())
        });
        receiver.answer("302");
        // Pauses have become long meanwhile.
        wait_for("a redirection", 4 * PATIENCE, || {
            receiver
                .posts()
                .iter()
                .any(|post| post["habit"] == "302")
                .then_some(())
        });
        first.refresh(Duration::ZERO).expect("the end");
        let (mut open, _) = LiveClient::udp().allocated();
        let (_peer, address) = peer_at(PEER_V4);
        open.create_permission(address).expect("a permission");
        open.post(address, b"five!");
        wait_for("what has passed to be seen", PATIENCE, || {
            let events = events_in(&place.path("usage.jsonl"));
            events
                .iter()
                .any(|it| it["type"] == "usage.updated")
                .then_some(())
        });
        server.program.signal(Signal::KILL);
        let killed = server;
        wait_for("the server to be gone", PATIENCE, || {
            let gone = place
                .command(world, &["status"])
                .output()
                .expect("the binary");
            (!gone.status.success()).then_some(())
        });
        std::mem::forget(killed);

        let mut server = world.serve(setup);
        // Its answer is not read, and has no end.
        receiver.answer("flood");
        let started = receiver.arrived("usage.started", 2);
        let ended = receiver.arrived("usage.ended", 2);
        assert_eq!(
            (&ended[0]["cause"], &ended[1]["cause"]),
            (&"deleted".into(), &"killed".into())
        );
        assert_eq!(ended[1]["allocation"], started[1]["allocation"]);
        assert_eq!(ended[1]["run"], started[1]["run"]);
        assert_eq!(ended[1]["sent"]["bytes"], 5);
        // The same events were posted under the same id at each try.
        let posts = receiver.posts();
        let ids: BTreeSet<&str> = posts
            .iter()
            .filter_map(|post| post["id"].as_str())
            .collect();
        for id in ids {
            let mut of_id = posts.iter().filter(|post| post["id"] == id);
            let first = of_id.next().expect("a post");
            assert!(of_id.all(|post| post["events"] == first["events"]), "{id}");
        }
        assert!(
            posts.iter().all(|post| post["path"] == "/usage"),
            "{posts:?}"
        );
        server.stop();
    });
}

#[test]
fn a_receiver_over_tls_is_believed_by_its_own_root_and_one_that_hangs_delays_no_end_and_loses_nothing()
 {
    let place = Place::new();
    in_own_world(|world| {
        let files = Authority::lab()
            .issue(Wish::RIGHT)
            .write(place.0.path(), "receiver");
        let root = Authority::lab().root_file();
        let mut receiver = Receiver::over_tls(world, 8080, "hang", &files);
        let keys = place.told().replace("http://", "https://");
        // No browser knows that root.
        let mut server = world.serve(place.setup(&keys));
        let (_first, _) = LiveClient::udp().allocated();
        server.wait_for_line(&["usage.webhook-failed", "UnknownIssuer"]);
        server.stop();
        assert_eq!(receiver.posts().len(), 0);

        let keys = format!("{keys}\nusage.ca-file = '{}'", root.path().display());
        let mut server = world.serve(place.setup(&keys));
        // The post of the run before hangs, and this one waits behind it.
        receiver.wait_for("usage.ended", 1);
        let (_second, _) = LiveClient::udp().allocated();
        let begin = Instant::now();
        server.stop();
        assert!(begin.elapsed() < Duration::from_secs(6), "{}", server.log());
        receiver.answer("200");
        let _server = world.serve(place.setup(&keys));
        let ended = receiver.arrived("usage.ended", 2);
        assert!(
            ended.iter().all(|it| it["cause"] == "shutdown"),
            "{ended:?}"
        );
        receiver.arrived("usage.started", 2);
    });
}

#[test]
fn events_come_although_the_disk_is_full_and_an_end_of_the_server_is_one_of_them() {
    let place = Place::new();
    in_own_world(|world| {
        let full = place.path("full");
        fs::create_dir(&full).expect("a directory");
        let mut mount = here("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
            .arg(&full);
        Program::succeed(mount);
        let receiver = Receiver::start(world, 8080, "200");
        let keys = format!("usage.spool = '{}'", full.display());
        let file = format!("usage.file = '{}'", full.join("usage.jsonl").display());
        let setup = place.setup(&place.told()).with(&format!("{keys}\n{file}"));
        let mut server = world.serve(setup);
        fs::write(full.join("rest"), vec![0; 8192]).expect("room");
        let _ = fs::write(full.join("more"), vec![0; 8192]);
        let (_client, _) = LiveClient::udp().allocated();
        server.wait_for_line(&["usage.unkept", "No space left"]);
        server.wait_for_line(&["usage.file-failed", "No space left"]);
        receiver.arrived("usage.started", 1);
        fs::remove_file(full.join("rest")).expect("ours");
        let _ = fs::remove_file(full.join("more"));
        server.wait_for_line(&["usage.file-written"]);
        server.stop();
        let ended = receiver.arrived("usage.ended", 1);
        assert_eq!(ended[0]["cause"], "shutdown");
        let in_file = events_in(&full.join("usage.jsonl"));
        assert_eq!(in_file.len(), 2, "{in_file:?}");
    });
}

/// Sends so many kilobytes to a peer.
pub(crate) fn pass(client: &mut LiveClient, kilobytes: usize) {
    let (peer, address) = peer_at(PEER_V4);
    client.create_permission(address).expect("a permission");
    for _ in 0..kilobytes {
        client.post(address, &[7; 1000]);
        peer.recv(&mut [0; 1000]).expect("what the client sent");
    }
}

pub(crate) fn events_in(file: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    whole_lines(&text)
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect()
}

/// The lines of a text but for one that is being written.
fn whole_lines(text: &str) -> std::str::Lines<'_> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines()
}

/// The directory of a server's socket, file and spool.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn setup(&self, keys: &str) -> Setup {
        let socket = self.path("admin.sock");
        Setup::default().with(&format!("admin.socket = '{}'\n{keys}", socket.display()))
    }

    /// Events go to a file.
    pub(crate) fn written(&self) -> String {
        format!(
            "usage.every = '5s'\nusage.file = '{}'\nusage.spool = '{}'",
            self.path("usage.jsonl").display(),
            self.path("spool").display()
        )
    }

    /// And to the receiver.
    fn told(&self) -> String {
        let webhook = "usage.webhook = 'http://127.0.0.1:8080/usage'";
        format!("{}\n{webhook}\nusage.secret = '{SECRET}'", self.written())
    }

    fn command(&self, world: &World, arguments: &[&str]) -> Command {
        let mut command = world.on_server_host(&binary());
        command
            .args(arguments)
            .arg("--socket")
            .arg(self.path("admin.sock"));
        command
    }

    pub(crate) fn ask(&self, world: &World, server: &Server, arguments: &[&str]) -> String {
        server.wait_for_line(&["admin.listening"]);
        Program::succeed(self.command(world, arguments))
    }
}

/// Takes events, and checks their signatures with a library of Standard Webhooks.
struct Receiver {
    program: Program,
    input: ChildStdin,
}

impl Receiver {
    /// Answers requests in this way, from the first one on.
    fn start(world: &World, port: u16, habit: &str) -> Self {
        Self::over_tls(world, port, habit, &[])
    }

    /// With the files of a certificate and its key.
    fn over_tls(world: &World, port: u16, habit: &str, files: &[String]) -> Self {
        let mut command = world.on_server_host(&python());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/black_box/webhook.py");
        command.arg(script).arg(port.to_string());
        command.args([SECRET, habit]).args(files);
        let (mut program, input) = Program::start_talking(command);
        program.wait_for_words("receiving");
        Self { program, input }
    }

    /// How requests are answered from now on.
    fn answer(&mut self, habit: &str) {
        writeln!(self.input, "{habit}").expect("a pipe");
        self.program.wait_for_words(&format!("habit {habit}"));
    }

    fn posts(&self) -> Vec<Value> {
        let output = self.program.output();
        let posts = whole_lines(&output).filter_map(|line| line.strip_prefix("post "));
        posts
            .map(|post| serde_json::from_str(post).expect("JSON"))
            .collect()
    }

    /// The events that came, each once.
    fn events(&self) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        for post in self.posts() {
            for event in post["events"].as_array().expect("events") {
                if !events.contains(event) {
                    events.push(event.clone());
                }
            }
        }
        events
    }

    /// Waits until so many of a kind have come.
    #[track_caller]
    fn wait_for(&self, kind: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} {kind}"), 4 * PATIENCE, || {
            let mut events = self.events();
            events.retain(|event| event["type"] == kind);
            (events.len() >= count).then_some(events)
        })
    }

    /// The same, and no more.
    #[track_caller]
    fn arrived(&self, kind: &str, count: usize) -> Vec<Value> {
        let events = self.wait_for(kind, count);
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

/// The words of a table, however wide its columns are.
pub(crate) fn in_one_line(table: &str) -> String {
    let words: Vec<&str> = table.split_whitespace().collect();
    words.join(" ")
}
