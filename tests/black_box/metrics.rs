//! Metrics, scraped by Prometheus itself with the configuration, the alerts and the dashboard that are in the tree, and
//! by curl.

mod prometheus;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use client::Transport;
use lab::{
    PATIENCE,
    authority::{Authority, Wish},
    live::{Code, LiveClient},
    program::{Program, here},
    server::{PORT, USER, serving},
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{CLIENT_V4, FAR_V4, PEER_V4, SERVER_V4, World, in_own_world},
};
use rustix::process::Signal;
use tempfile::TempDir;
use wire::AddressFamily;

use prometheus::{Prometheus, examples};

const LISTEN: &str = "127.0.0.1:9641";
const TOKEN: &str = "a-token-of-thirty-two-characters";

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
            let is = |query: &str, value: &str| prometheus.wait_for(query, value);
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
fn a_scrape_has_what_was_counted_until_now_and_names_nobody() {
    let keys = "allocation.total = 7\n[[auth.realm]]\nname = 'other.test'\ntotal = 5\n";
    serving(
        Setup::default().with(&scraped("")).with(keys),
        |world, server| {
            let metrics = Scraper(world);
            let (mut client, relayed) = LiveClient::udp().allocated();
            let (over_tcp, _) = LiveClient::over(Transport::Tcp, AddressFamily::V4).allocated();
            let (peer, address) = peer_at(PEER_V4);
            client.bind_channel(address).expect("a channel");
            client.send(address, b"five!");
            peer.recv(&mut [0; 5]).expect("what the client sent");
            for answer in ["at first", "and then"] {
                peer.send_to(answer.as_bytes(), relayed).expect("sent");
                assert_eq!(client.receive().1, answer.as_bytes());
            }
            // Nobody permitted this one.
            client.post((FAR_V4, 9).into(), b"lost");
            let guess = LiveClient::udp().login("mallory", "a wrong password");
            assert_eq!({ guess }.allocate(), Err(Code(401)));
            for (series, value) in [
                ("turn_relayed_packets_total{direction=\"out\"}", 1.0),
                ("turn_relayed_packets_total{direction=\"in\"}", 2.0),
                ("turn_relayed_bytes_total{direction=\"out\"}", 5.0),
                ("turn_relayed_bytes_total{direction=\"in\"}", 16.0),
                ("turn_packets_dropped_total{cause=\"no-permission\"}", 1.0),
                ("turn_packets_dropped_total{cause=\"no-channel\"}", 0.0),
                ("turn_connections", 1.0),
                ("turn_allocations", 2.0),
                ("turn_allocations_limit", 7.0),
                ("turn_realm_allocations{realm=\"hairpin.test\"}", 2.0),
                ("turn_realm_allocations_limit{realm=\"hairpin.test\"}", 0.0),
                ("turn_realm_allocations_limit{realm=\"other.test\"}", 5.0),
                (
                    "turn_unauthenticated_limit_bytes{scope=\"total\"}",
                    262_144.0,
                ),
                (BUILD, 1.0),
                ("turn_reloads_total{outcome=\"ok\"}", 0.0),
            ] {
                metrics.wait_for(series, value);
            }
            let scraped = metrics.scrape();
            // The challenges are longer than the requests were.
            assert!(value_of(&scraped, "turn_unauthenticated_bytes_total") > Some(0.0));
            assert_names_nobody(&scraped);

            server.program.signal(Signal::HUP);
            metrics.wait_for("turn_reloads_total{outcome=\"ok\"}", 1.0);
            let good = fs::read_to_string(server.config()).expect("a configuration");
            fs::write(server.config(), format!("bogus = 1\n{good}")).expect("ours");
            server.program.signal(Signal::HUP);
            metrics.wait_for("turn_reloads_total{outcome=\"failed\"}", 1.0);
            metrics.wait_for("turn_reloads_total{outcome=\"ok\"}", 1.0);
            drop(over_tcp);
            metrics.wait_for("turn_connections", 0.0);
        },
    );
}

#[test]
fn metrics_are_off_until_an_address_is_written() {
    serving(Setup::default(), |world, server| {
        LiveClient::udp().allocated();
        let mut listening = world.on_server_host("ss");
        listening.args(["-Htln"]);
        for line in Program::succeed(listening).lines() {
            assert!(line.contains(&format!(":{PORT} ")), "{line}");
        }
        assert!(!server.log().contains("/metrics"), "{}", server.log());
    });
}

#[test]
fn metrics_are_for_those_who_show_the_token_and_nobody_shows_it_in_the_clear() {
    in_own_world(|world| {
        let token = format!("token = '{TOKEN}'");
        let setup = Setup::default().with_tls();
        let server = world.serve(setup.with(&scraped(&token)));
        let root = Authority::lab().root_file();
        let curl = |header: &str, url: &str| {
            let mut curl = world.on_server_host("curl");
            curl.args([
                "-s",
                "-w",
                "%{http_code} %{time_total}",
                "-o",
                "/dev/null",
                "-H",
                header,
            ]);
            curl.arg("--cacert")
                .arg(root.path())
                .arg(format!("{url}/metrics"));
            curl
        };
        let status = |header: &str, url: &str| Program::succeed(curl(header, url))[..3].to_owned();
        let right = format!("Authorization: Bearer {TOKEN}");
        let here = format!("http://{LISTEN}");
        assert_eq!(status(&right, &here), "200");
        assert_eq!(
            status(&format!("authorization: bearer {TOKEN}"), &here),
            "200"
        );
        let wrong = [
            "X-Nothing: 1".to_owned(),
            "Authorization: Bearer".to_owned(),
            format!("{right}x"),
            format!("Authorization: Basic {TOKEN}"),
        ];
        // Each of them waits.
        let asked = wrong.map(|header| (Program::start(curl(&header, &here)), header));
        for (mut program, header) in asked {
            let answer = program.wait(PATIENCE).output;
            let (status, seconds) = answer.split_once(' ').expect("two numbers");
            assert_eq!(status, "401", "{header}");
            assert!(
                seconds.parse::<f64>().expect("seconds") >= 1.0,
                "{header}: {answer}"
            );
        }
        server.wait_for_line(&["metrics.refused", "reason=\"wrong-token\""]);
        // Its own address is none of loopback.
        let elsewhere = format!("{SERVER_V4}:9641");
        assert_eq!(status(&right, &format!("https://{elsewhere}")), "200");
        assert_eq!(status(&right, &format!("http://{elsewhere}")), "403");
        server.wait_for_line(&["metrics.refused", "reason=\"in-the-clear\""]);
        assert!(!server.log().contains(TOKEN));
    });
}

#[test]
fn scrapers_show_a_certificate_of_the_authority_and_prometheus_shows_its_own_with_the_token() {
    in_own_world(|world| {
        let files = TempDir::new().expect("a temporary directory");
        let (ours, others) = (Authority::make(), Authority::make());
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).expect("our directory");
            path.display().to_string()
        };
        let scraper = made_as_the_document_says(files.path());
        let theirs = fs::read_to_string(files.path().join("metrics-ca.pem")).expect("an authority");
        let ca = file("ca.pem", &format!("{}{theirs}", ours.root()));
        let root = file("root.pem", Authority::lab().root());
        let token = file("token", TOKEN);
        let keys = format!("token-file = '{token}'\nclient-ca = '{ca}'");
        let server = world.serve(Setup::default().with_tls().with(&scraped(&keys)));
        let expired = Wish {
            days: -1,
            ..Wish::RIGHT
        };
        let [own, foreign, of_server, old] = [
            ("own", ours.issue_for_client(Wish::RIGHT)),
            ("foreign", others.issue_for_client(Wish::RIGHT)),
            ("of-server", ours.issue(Wish::RIGHT)),
            ("old", ours.issue_for_client(expired)),
        ]
        .map(|(name, issued)| issued.write(files.path(), name));
        let asked = |url: &str, shown: Option<&[String; 2]>, header: &str| {
            let mut curl = world.on_server_host("curl");
            curl.args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--cacert",
                &root,
            ]);
            curl.args(["-H", header, &format!("{url}/metrics")]);
            if let Some([chain, key]) = shown {
                curl.args(["--cert", chain, "--key", key]);
            }
            Program::run(curl, PATIENCE).output
        };
        let right = format!("Authorization: Bearer {TOKEN}");
        let elsewhere = format!("https://{SERVER_V4}:9641");
        for shown in [&own, &scraper] {
            assert_eq!(asked(&elsewhere, Some(shown), &right), "200");
        }
        assert_eq!(asked(&elsewhere, Some(&own), "X-None: 1"), "401");
        assert_eq!(
            asked(&format!("http://{SERVER_V4}:9641"), None, &right),
            "403"
        );
        // On this host it is the same. There is no HTTP without a certificate.
        let here = format!("https://{LISTEN}");
        assert_eq!(asked(&here, Some(&own), &right), "200");
        for shown in [None, Some(&foreign), Some(&of_server), Some(&old)] {
            assert_eq!(asked(&here, shown, &right), "000", "{shown:?}");
        }
        assert_eq!(asked(&format!("http://{LISTEN}"), None, &right), "403");

        let [chain, key] = &scraper;
        let secure = format!(
            "    scheme: https\n    authorization: {{ credentials_file: {token} }}\n    tls_config: {{ ca_file: \
             {root}, cert_file: {chain}, key_file: {key} }}\n    static_configs:"
        );
        let prometheus = Prometheus::configured(world, |example| {
            let example = example.replace(LISTEN, &format!("{SERVER_V4}:9641"));
            example.replace("    static_configs:", &secure)
        });
        prometheus.wait_for("up", "1");
        prometheus.wait_for("turn_allocations", "0");
        server.wait_for_line(&["metrics.refused", "reason=\"in-the-clear\""]);
        server.wait_for_line(&["metrics.refused", "reason=\"handshakes-failed\""]);
        // It was the certificates, and not that so many came.
        assert!(!server.log().contains("refused-rate"), "{}", server.log());
    });
}

/// The files of a scraper's certificate and of its key, beside that of the authority.
fn made_as_the_document_says(directory: &Path) -> [String; 2] {
    let mut blocks = include_str!("../../docs/metrics.md").split("```");
    let script = blocks.find_map(|block| {
        block
            .strip_prefix("sh\n")
            .filter(|it| it.contains("openssl req"))
    });
    let mut shell = here("sh");
    shell
        .args(["-ec", script.expect("commands")])
        .current_dir(directory);
    Program::succeed(shell);
    ["scraper.pem", "scraper.key"].map(|name| directory.join(name).display().to_string())
}

/// Asks as Prometheus does, at once.
struct Scraper<'w>(&'w World);

impl Scraper<'_> {
    fn scrape(&self) -> String {
        let mut curl = self.0.on_server_host("curl");
        curl.args(["-s", "--fail", &format!("http://{LISTEN}/metrics")]);
        Program::succeed(curl)
    }

    #[track_caller]
    fn wait_for(&self, series: &str, value: f64) {
        wait_for(&format!("{series} to be {value}"), PATIENCE, || {
            (value_of(&self.scrape(), series) == Some(value)).then_some(())
        });
    }
}

/// The value of a series in a scrape.
fn value_of(scraped: &str, series: &str) -> Option<f64> {
    let mut lines = scraped.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

/// No user is in any line, nor an address of anybody.
#[track_caller]
fn assert_names_nobody(scraped: &str) {
    for word in [USER, "mallory"] {
        assert!(!scraped.contains(word), "{word} in {scraped}");
    }
    for label in scraped
        .lines()
        .flat_map(|line| line.split('"').skip(1).step_by(2))
    {
        let is_address = label.parse::<IpAddr>().is_ok() || label.parse::<SocketAddr>().is_ok();
        assert!(!is_address, "{label}");
    }
    for address in [CLIENT_V4, PEER_V4, SERVER_V4, FAR_V4] {
        assert!(!scraped.contains(&address.to_string()), "{address}");
    }
}

/// Metrics on loopback, and where somebody is let in by what he shows, at an address of the server, too.
fn scraped(more: &str) -> String {
    let elsewhere = if more.is_empty() {
        String::new()
    } else {
        format!(", '{SERVER_V4}:9641'")
    };
    format!("[metrics]\nlisten = ['{LISTEN}'{elsewhere}]\n{more}")
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

const BUILD: &str = concat!("turn_build{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
