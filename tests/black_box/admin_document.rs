//! Every command line of `docs/admin.md`, as written, beside a running server; and every answer there, compared with
//! the server's in its keys, or in the names of its rows.

use std::{
    collections::BTreeSet, env, fs, net::SocketAddr, os::unix::process::ExitStatusExt, path::Path,
    process::Command,
};

use lab::{
    PATIENCE,
    authority::Authority,
    live::{Code, LiveClient},
    program::Program,
    server::{Server, TOKEN, serving},
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{PEER_V4, SERVER_V4, World},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

#[test]
fn every_command_and_every_answer_of_the_document_is_the_servers() {
    let place = TempDir::new().expect("a temporary directory");
    let at = |name: &str| place.path().join(name).display().to_string();
    fs::write(at("token"), TOKEN).expect("ours");
    let setup = Setup::default().with_tls().with(&format!(
        "admin.socket = '{}'\nadmin.listen = '{SERVER_V4}:9640'\nadmin.token-file = '{}'\n\
         allocation.per-user = 0\nclients.ban-after = 3\nusage.file = '{}'\n\
         usage.spool = '{}'\nusage.every = '5s'",
        at("admin.sock"),
        at("token"),
        at("usage.jsonl"),
        at("spool")
    ));
    serving(setup, |world, server| {
        server.wait_for_line(&["admin.listening"]);
        let shell = Shell {
            world,
            place: place.path(),
            root: Authority::lab().root_file(),
        };
        let mut last = String::new();
        let mut session = Session::begin();
        let (mut lines, mut answers) = (0, 0);
        for (language, block) in blocks() {
            match &*language {
                "sh" => {
                    for line in &block {
                        if ["hairpin bans", "/v1/bans"]
                            .iter()
                            .any(|it| line.contains(it))
                        {
                            ban(server);
                        // A server that drains has its session already.
                        } else if !line.contains("drain") {
                            session = Session::begin();
                        }
                        last = shell.run(line, &mut session);
                        lines += 1;
                    }
                }
                "json" => {
                    let told = serde_json::from_str(&block.join("\n")).expect("JSON");
                    let said = serde_json::from_str(&last);
                    compare(
                        "",
                        &told,
                        &said.unwrap_or_else(|why| panic!("{why}: {last}")),
                    );
                    answers += 1;
                }
                "jsonl" => {
                    compare_lines(&block, &last);
                    answers += 1;
                }
                "text" => {
                    compare_words(&block, &last);
                    answers += 1;
                }
                _ => {}
            }
        }
        assert!(
            lines >= 40 && answers >= 22,
            "{lines} lines, {answers} answers"
        );
    });
}

#[test]
fn the_document_has_every_request_of_the_api_and_every_command_that_asks() {
    let text = document();
    let openapi = fs::read_to_string(repository().join("docs/openapi.json")).expect("a document");
    let openapi: Value = serde_json::from_str(&openapi).expect("JSON");
    let paths = openapi["paths"].as_object().expect("paths");
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths.keys() {
        let path = path.replace("{id}", "ID").replace("{prefix}", "PREFIX");
        assert!(
            text.contains(&format!(" {path}`")),
            "{path} is not in docs/admin.md"
        );
    }
    let has_example = examples();
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let request = format!("{} {path}", method.to_uppercase());
            assert!(
                has_example.contains(&request),
                "docs/admin.md has no answer to {request}, behind a line with curl: {has_example:?}"
            );
        }
    }
    let mut hairpin = Command::new(lab::server::binary());
    let help = Program::succeed({
        hairpin.arg("--help");
        hairpin
    });
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = commands.filter(|line| line.starts_with(char::is_alphabetic));
    let mut seen = 0;
    for command in commands.filter_map(|line| line.split(' ').next()) {
        let mut hairpin = Command::new(lab::server::binary());
        hairpin.args([command, "--help"]);
        let help = Program::run(hairpin, PATIENCE);
        if help.output.contains("--socket <PATH>") {
            let named = format!("hairpin {command}");
            assert!(text.contains(&named), "{named} is not in docs/admin.md");
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}

/// A shell on the server's host that runs lines of the document.
struct Shell<'w> {
    world: &'w World,
    place: &'w Path,
    root: NamedTempFile,
}

impl Shell<'_> {
    /// Runs a line, with the names of this server and session in place of those of the document; returns its output.
    fn run(&self, line: &str, session: &mut Session) -> String {
        let at = |name: &str| self.place.join(name).display().to_string();
        let socket = at("admin.sock");
        let id = || session.id(self.world, &socket);
        let line = match line.contains(ID) {
            true => line.replace(ID, &id()),
            false => line.to_owned(),
        };
        let line = line
            .replace("/run/hairpin/admin.sock", &socket)
            .replace("/etc/hairpin/admin.token", &at("token"))
            .replace("turn.example.org:9640", &format!("{SERVER_V4}:9640"));
        let line = without_limit(&line);
        if line.starts_with("hairpin trace") || line.contains("/v1/trace") {
            return self.trace(&line, session);
        }
        let ran = self.start(&line).wait(PATIENCE);
        assert!(ran.status.success(), "{line}: {}", ran.output);
        ran.output
    }

    /// Runs a line of a trace, which goes on until it is ended; returns its output.
    fn trace(&self, line: &str, session: &mut Session) -> String {
        // The signal is for the program, not for a shell before it.
        let mut trace = self.start(&format!("exec {line}"));
        trace.wait_for_words("begun");
        if line.contains("/v1/trace") {
            session.act();
            // Told last, of the data of a second.
            trace.wait_for_words("no-permission");
        }
        trace.signal(Signal::TERM);
        let ran = trace.wait(PATIENCE);
        let ended_by = ran.status.signal();
        assert_eq!(ended_by, Some(Signal::TERM.as_raw()), "{line}: {ran:?}");
        ran.output
    }

    fn start(&self, line: &str) -> Program {
        let socket = self.place.join("admin.sock").display().to_string();
        let mut shell = on_host(self.world, "sh", &socket);
        shell.args(["-ec", line]).current_dir(self.place);
        shell.env("HAIRPIN_CA_FILE", self.root.path());
        shell.env("CURL_CA_BUNDLE", self.root.path());
        Program::start(shell)
    }
}

/// A line without the seconds that a reader waits at most: a busy machine may need more.
fn without_limit(line: &str) -> String {
    let Some((before, limited)) = line.split_once("--max-time ") else {
        return line.to_owned();
    };
    let (_seconds, after) = limited.split_once(' ').expect("a URL");
    format!("{before}{after}")
}

/// The session of the document.
const ID: &str = "0.be76a450";

/// Two sessions of alice, one of which has a channel with data both ways.
struct Session {
    client: LiveClient,
    peer: SocketAddr,
    _other: LiveClient,
}

impl Session {
    fn begin() -> Self {
        let (mut client, _) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
        client.bind_channel(address).expect("a channel");
        client.send(address, b"five!");
        peer.recv(&mut [0; 9]).expect("what the client sent");
        let (_other, _) = LiveClient::udp().allocated();
        Self {
            client,
            peer: address,
            _other,
        }
    }

    /// Is refused a peer, sends data to another one, and some for the first all the same.
    fn act(&mut self) {
        let private = ([10, 0, 0, 1], 9).into();
        assert_eq!(self.client.create_permission(private), Err(Code(403)));
        for peer in [self.peer, private] {
            self.client.send(peer, b"five!");
        }
    }

    /// The id of the one that has a channel.
    fn id(&self, world: &World, socket: &str) -> String {
        let mut hairpin = on_host(world, &lab::server::binary(), socket);
        hairpin.args(["sessions", "--json"]);
        let all: Value = serde_json::from_str(&Program::succeed(hairpin)).expect("JSON");
        let client = self.client.address().to_string();
        let mut all = all.as_array().expect("sessions").iter();
        let own = all.find(|session| session["client"] == client);
        own.expect("the session")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }
}

/// Has the network of clients banned, unless it is.
fn ban(server: &Server) {
    let bans = || server.log().matches("client.banned").count();
    let ends = || server.log().matches("client.unbanned").count();
    if bans() > ends() {
        return;
    }
    let before = bans();
    for _ in 0..3 {
        let guesser = LiveClient::udp().login("mallory", "guessed");
        assert_eq!({ guesser }.allocate(), Err(Code(401)));
    }
    wait_for("a ban", PATIENCE, || (bans() > before).then_some(()));
}

/// A program on the server's host that finds `hairpin`, and `hairpin` the server.
fn on_host(world: &World, program: &str, socket: &str) -> Command {
    let binary = lab::server::binary();
    let directory = Path::new(&binary).parent().expect("a directory");
    let path = env::var("PATH").unwrap_or_default();
    let mut command = world.on_server_host(program);
    command.env("PATH", format!("{}:{path}", directory.display()));
    command.env("HAIRPIN_SOCKET", socket);
    command
}

/// Both have the same keys, wherever both have something. A key `…` stands for more of them.
fn compare(place: &str, told: &Value, said: &Value) {
    match (told, said) {
        (Value::Object(told), Value::Object(said)) => {
            for (key, value) in told.iter().filter(|(key, _)| *key != "…") {
                let place = format!("{place}.{key}");
                let said = said.get(key);
                let said = said.unwrap_or_else(|| panic!("no answer has {place}"));
                compare(&place, value, said);
            }
            for key in said.keys() {
                let is_told = told.contains_key(key) || told.contains_key("…");
                assert!(is_told, "{place}.{key} is not in the document");
            }
        }
        (Value::Array(told), Value::Array(said)) => {
            if let (Some(told), Some(said)) = (told.first(), said.first()) {
                compare(&format!("{place}[]"), told, said);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (told, said) => {
            let kind = std::mem::discriminant::<Value>;
            assert!(kind(told) == kind(said), "{place}: {told} is {said}");
        }
    }
}

/// Each line of a trace in the document is like one of the server's that tells of the same event.
fn compare_lines(told: &[String], said: &str) {
    let said = said.lines().filter(|line| !line.is_empty());
    let said =
        said.map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")));
    let said: Vec<Value> = said.collect();
    for line in told {
        let told: Value = serde_json::from_str(line).expect("JSON");
        let keys: Vec<&String> = told.as_object().expect("an object").keys().collect();
        let has_all = |it: &Value| keys.iter().all(|key| **key == "…" || it.get(key).is_some());
        let mut same = said.iter();
        let same = same.rfind(|it| it["event"] == told["event"] && has_all(it));
        let same = same.unwrap_or_else(|| panic!("no line like {line} in {said:#?}"));
        compare("", &told, same);
    }
}

/// The words that a command prints have the headings and the names of rows that the document has, in its order.
fn compare_words(told: &[String], said: &str) {
    let names = |lines: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<String> = lines.map(name).collect();
        names.dedup();
        names
    };
    let told = names(&mut told.iter().map(String::as_str));
    assert_eq!(names(&mut said.lines()), told, "{said}");
}

/// The name of a row; of a heading in capitals all of it. A word with a digit is another one each time.
fn name(line: &str) -> String {
    let is_heading =
        !line.contains(char::is_lowercase) && !line.contains(|it: char| it.is_ascii_digit());
    let line = line.trim();
    let name = if is_heading {
        line
    } else {
        line.split("  ").next().unwrap_or(line)
    };
    let word = |word: &str| {
        let has_digit = word.contains(|it: char| it.is_ascii_digit());
        if has_digit {
            "#".to_owned()
        } else {
            word.to_owned()
        }
    };
    let words: Vec<String> = name.split_whitespace().map(word).collect();
    words.join(" ")
}

/// The requests of which the document has the line with curl and, behind it, the answer.
fn examples() -> BTreeSet<String> {
    let blocks = blocks();
    let pairs = blocks.windows(2);
    let answered =
        pairs.filter(|pair| pair[0].0 == "sh" && pair[1].0 != "sh" && pair[1].0 != "toml");
    let lines = answered.filter_map(|pair| pair[0].1.last());
    lines.filter_map(|line| request(line)).collect()
}

/// The request of a line with curl, with the path as the OpenAPI document has it.
fn request(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split([' ', '\'']).collect();
    let path = words
        .iter()
        .find_map(|it| it.strip_prefix("http://hairpin"))?;
    let path = path.split('?').next().unwrap_or(path);
    let path = path
        .replace(ID, "{id}")
        .replace("198.51.100.0%2F24", "{prefix}");
    let method = words.iter().position(|it| *it == "-X");
    let method = method.and_then(|at| words.get(at + 1)).copied();
    let usual = if words.contains(&"--json") {
        "POST"
    } else {
        "GET"
    };
    Some(format!("{} {path}", method.unwrap_or(usual)))
}

/// The blocks of the document in their order, each with its language.
fn blocks() -> Vec<(String, Vec<String>)> {
    let text = document();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((language.to_owned(), block.map(str::to_owned).collect()));
        }
    }
    blocks
}

fn document() -> String {
    fs::read_to_string(repository().join("docs/admin.md")).expect("a document")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
