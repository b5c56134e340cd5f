//! Metrics, scraped by Prometheus itself with the configuration, the alerts and the dashboard that are in the tree.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::{
    live::{Code, LiveClient},
    program::Program,
    server::serving,
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{PEER_V4, World, in_own_world},
};
use serde_json::Value;
use tempfile::TempDir;

const LISTEN: &str = "127.0.0.1:9641";
const TOKEN: &str = "a token of thirty-two characters";

#[test]
fn prometheus_scrapes_what_clients_do_and_all_that_the_dashboard_and_the_alerts_name() {
    serving(
        Setup::default().with_tls().with(&scraped("")),
        |world, server| {
            let mut client = LiveClient::udp();
            client.allocate().expect("an allocation");
            let (peer, address) = peer_at(PEER_V4);
            client.bind_channel(address).expect("a channel");
            client.send(address, b"five!");
            let mut heard = [0; 5];
            peer.recv(&mut heard).expect("what the client sent");
            let guess = LiveClient::udp()
                .login("alice", "a wrong password")
                .allocate();
            assert_eq!(guess, Err(Code(401)));

            let prometheus = Prometheus::start(world);
            let is = |query: &str, value: &str| {
                wait_for(&format!("{query} to be {value}"), PATIENCE, || {
                    (prometheus.value(query).as_deref() == Some(value)).then_some(())
                });
            };
            is("up", "1");
            is("turn_allocations", "1");
            is(
                "turn_allocations_opened_total{transport='udp',family='ipv4'}",
                "1",
            );
            is("turn_relayed_bytes_total{direction='out'}", "5");
            is("turn_authentications_failed_total", "1");
            is(
                "turn_requests_refused_total{code='401',cause='bad-integrity'}",
                "1",
            );
            // One for each client, and one for each that had asked without credentials.
            is("sum(turn_requests_refused_total{cause='challenge'})", "2");
            is("turn_ports_taken", "1");

            let known = prometheus.metrics();
            for name in named_in_examples() {
                assert!(known.contains(&name), "{name} is not among {known:?}");
            }
            client.refresh(Duration::ZERO).expect("the end");
            is("turn_allocations", "0");
            is("turn_allocations_ended_total{cause='deleted'}", "1");
            drop(prometheus);
            assert!(
                server.log().contains("path=\"/metrics\""),
                "{}",
                server.log()
            );
        },
    );
}

#[test]
fn metrics_are_for_those_who_show_the_token() {
    in_own_world(|world| {
        let token = format!("token = '{TOKEN}'");
        let _server = world.serve(Setup::default().with(&scraped(&token)));
        let status = |header: &str| {
            let mut curl = world.on_server_host("curl");
            curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header]);
            curl.arg(format!("http://{LISTEN}/metrics"));
            Program::succeed(curl)
        };
        assert_eq!(status(&format!("Authorization: Bearer {TOKEN}")), "200");
        assert_eq!(status(&format!("authorization: bearer {TOKEN}")), "200");
        for wrong in [
            "X-Nothing: 1".to_owned(),
            "Authorization: Bearer".to_owned(),
            format!("Authorization: Bearer {TOKEN}x"),
            format!("Authorization: Basic {TOKEN}"),
        ] {
            assert_eq!(status(&wrong), "401", "{wrong}");
        }
    });
}

fn scraped(more: &str) -> String {
    format!("[metrics]\nlisten = '{LISTEN}'\n{more}")
}

/// Prometheus on the server's host, as the examples configure it, but in a hurry.
struct Prometheus<'w> {
    world: &'w World,
    _program: Program,
    _files: TempDir,
}

impl<'w> Prometheus<'w> {
    fn start(world: &'w World) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let examples = examples("prometheus");
        let read = |name: &str| fs::read_to_string(examples.join(name)).expect("an example");
        let hasty =
            read("prometheus.yml").replace("scrape_interval: 15s", "scrape_interval: 100ms");
        assert!(hasty.contains("100ms"), "{hasty}");
        let configuration = files.path().join("prometheus.yml");
        fs::write(&configuration, hasty).expect("our directory");
        fs::write(files.path().join("alerts.yml"), read("alerts.yml")).expect("our directory");
        let mut promtool = world.on_server_host("promtool");
        Program::succeed({
            promtool.args(["check", "config"]).arg(&configuration);
            promtool
        });
        let mut command = world.on_server_host("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                files.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:9090");
        Self {
            world,
            _program: Program::start(command),
            _files: files,
        }
    }

    /// The value of a query whose answer is one number.
    fn value(&self, query: &str) -> Option<String> {
        let answer = self.ask("query", query)?;
        let value = answer["data"]["result"].get(0)?["value"][1].as_str()?;
        Some(value.to_owned())
    }

    /// The names of all metrics.
    fn metrics(&self) -> Vec<String> {
        let answer = self.ask("label/__name__/values", "").expect("an answer");
        serde_json::from_value(answer["data"].clone()).expect("names")
    }

    fn ask(&self, what: &str, query: &str) -> Option<Value> {
        let mut curl = self.world.on_server_host("curl");
        curl.args(["-s", "-G", "--data-urlencode"]);
        curl.arg(format!("query={query}"));
        curl.arg(format!("http://127.0.0.1:9090/api/v1/{what}"));
        let output = curl.output().expect("curl");
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// The metrics that the dashboard and the alerts name.
fn named_in_examples() -> Vec<String> {
    let files = ["grafana/hairpin.json", "prometheus/alerts.yml"];
    let texts = files.map(|file| fs::read_to_string(examples(file)).expect("an example"));
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = texts
        .iter()
        .flat_map(|text| text.split(|letter| !is_of_name(letter)));
    let names: Vec<String> = words
        .filter(|word| word.starts_with("turn_"))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

fn examples(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(file)
}

/// Prometheus takes its time to start.
const PATIENCE: Duration = Duration::from_secs(20);
