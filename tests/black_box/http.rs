//! The pages and endpoints over HTTP, as browsers and web services use them: by curl, by Node's `fetch`, through nginx, and with
//! credentials that are then used.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use client::Transport;
use lab::{
    PATIENCE,
    authority::{Authority, Wish},
    daemons::nginx,
    live::LiveClient,
    program::{Program, here},
    server::{SECRET, Server, hairpin_by},
    setup::Setup,
    wait_for,
    world::{CLIENT_V4, SERVER_V4, World, in_own_world},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const TOKEN: &str = "a-token-of-thirty-two-characters";

/// The world's server with an HTTP port of its own, and a token.
fn setup() -> Setup {
    Setup::default().with(&format!(
        "[http]\nlisten = '{SERVER_V4}:8080'\n[[http.token]]\nid = 'web'\nsecret = '{TOKEN}'"
    ))
}

#[track_caller]
fn serve(world: &World, setup: Setup) -> Server {
    let server = world.serve(setup);
    server.wait_for_line(&["protocol=\"HTTP and HTTPS\""]);
    server
}

/// The answer to a request of curl, and its status behind it.
#[track_caller]
fn curl(arguments: &[&str]) -> (String, u16) {
    by(Command::new("curl"), arguments)
}

#[track_caller]
fn by(mut curl: Command, arguments: &[&str]) -> (String, u16) {
    curl.args(["--silent", "--show-error", "--max-time", "10"]);
    curl.args(["--write-out", "\n%{http_code}"]);
    curl.args(arguments);
    let output = Program::succeed(curl);
    let (body, status) = output.trim_end().rsplit_once('\n').expect("a status");
    (body.to_owned(), status.parse().expect("a number"))
}

fn at(path: &str) -> String {
    format!("http://{SERVER_V4}:8080{path}")
}

/// The answer to a request for credentials.
#[track_caller]
fn ask(path: &str, token: &str, body: &str) -> (Value, u16) {
    let path = at(&format!("/v1/turn/keys/web/credentials/{path}"));
    let bearer = format!("Authorization: Bearer {token}");
    let json = "Content-Type: application/json";
    let (answer, status) = curl(&[&path, "--header", &bearer, "--header", json, "--data", body]);
    (serde_json::from_str(&answer).expect("JSON"), status)
}

/// A client that has what an entry of `iceServers` says.
fn client(server: &Value) -> LiveClient {
    let text = |key: &str| server[key].as_str().expect("a text");
    LiveClient::udp().login(text("username"), text("credential"))
}

#[test]
fn a_service_that_knows_cloudflares_endpoint_is_answered_in_its_shape() {
    in_own_world(|world| {
        let mut server = serve(world, setup());
        let (answer, status) = ask("generate-ice-servers", TOKEN, "{\"ttl\": 86400}");
        assert_eq!(status, 201);
        let servers = answer["iceServers"].as_array().expect("an array");
        assert_eq!(servers.len(), 1);
        let urls = servers[0]["urls"].as_array().expect("an array");
        assert!(urls.len() <= 4, "{urls:?}");
        assert_eq!(urls[0], format!("turn:{SERVER_V4}:3478?transport=udp"));
        client(&servers[0]).allocate().expect("an allocation");

        let wish = "{\"ttl\": 60, \"customIdentifier\": \"bob\"}";
        let (answer, status) = ask("generate", TOKEN, wish);
        assert_eq!(status, 201);
        let alone = &answer["iceServers"];
        let name = alone["username"].as_str().expect("a text");
        assert!(name.ends_with(":bob"), "{name}");
        client(alone).allocate().expect("an allocation");

        let (answer, status) = ask("generate", TOKEN, "{\"ttl\": 86401}");
        let sentence = answer["error"].as_str().expect("a sentence");
        assert!(
            status == 400 && sentence.contains("86400 seconds"),
            "{answer}"
        );
        assert_eq!(ask("generate", "another", "{\"ttl\": 60}").1, 401);
        assert_eq!(ask("1%3Abob/revoke", TOKEN, "").1, 501);
        let ended = server.stop();
        assert_eq!(ended.http("credentials-minted"), 2);
        assert_eq!(ended.http("token-wrong"), 1);
    });
}

#[test]
fn a_token_makes_no_credential_that_is_of_another_realm() {
    in_own_world(|world| {
        let realms =
            "[[auth.realm]]\nname = 'shop.example'\nsecrets = ['the secret of the shop, and long']";
        let _server = serve(world, setup().with(realms));
        let named = |user: &str| {
            let wish = format!("{{\"customIdentifier\": \"{user}\"}}");
            ask("generate", TOKEN, &wish)
        };
        let (answer, status) = named("alice@shop.example");
        let sentence = answer["error"].as_str().expect("a sentence");
        assert!(
            status == 400 && sentence.contains("another realm"),
            "{answer}"
        );
        // A text that is no realm is a part of the name.
        let (answer, status) = named("alice@mail.example");
        assert_eq!(status, 201);
        let client = client(&answer["iceServers"]).allocate();
        client.expect("an allocation");
    });
}

/// As the gateway Janus asks: by GET, and by POST with a form.
#[test]
fn the_old_draft_is_answered_in_its_shape() {
    in_own_world(|world| {
        let _server = serve(world, setup());
        let query = format!("service=turn&api={TOKEN}&key={TOKEN}&username=bob");
        let by_get = curl(&[&at(&format!("/?{query}"))]);
        let by_post = curl(&[&at("/"), "--data", &query]);
        for (answer, status) in [by_get, by_post] {
            assert_eq!(status, 200);
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer["ttl"], 86400);
            assert_eq!(
                answer["uris"][0],
                format!("turn:{SERVER_V4}:3478?transport=udp")
            );
            let text = |key: &str| answer[key].as_str().expect("a text");
            let (user, password) = (text("username"), text("password"));
            assert!(user.ends_with(":bob"), "{user}");
            let client = LiveClient::udp().login(user, password).allocate();
            client.expect("an allocation");
        }
        let (_, status) = curl(&[&at("/?service=turn&key=guess")]);
        assert_eq!(status, 401);
    });
}

/// Node's `fetch` sends what a browser does, but for the origin.
#[test]
fn a_page_of_a_listed_origin_is_answered_and_another_one_is_not() {
    in_own_world(|world| {
        let origins = "http.origins = ['https://app.example.org']";
        let _server = serve(world, setup().with(origins));
        let fetch = |origin: &str| {
            let script = format!(
                "const answer = await fetch('{}', {{ method: 'POST', body: '{{}}', headers: {{ \
                 origin: '{origin}', authorization: 'Bearer {TOKEN}' }} }}); \
                 console.log(answer.status, answer.headers.get('access-control-allow-origin'));",
                at("/v1/turn/keys/web/credentials/generate")
            );
            let mut node = Command::new("node");
            node.args(["--input-type=module", "--eval", &script]);
            Program::succeed(node).trim().to_owned()
        };
        let listed = "https://app.example.org";
        assert_eq!(fetch(listed), format!("201 {listed}"));
        assert_eq!(fetch("https://other.example.org"), "403 null");
        // A page of this server needs no entry.
        let own = format!("http://{SERVER_V4}:8080");
        assert!(fetch(&own).starts_with("201 "));
    });
}

/// Browsers ask first where a page shows its token as a bearer, and read no refusal without the header.
#[test]
fn a_listed_page_is_let_ask_in_both_shapes_and_may_read_why_it_is_refused() {
    in_own_world(|world| {
        let listed = "https://app.example.org";
        let origins = format!("http.origins = ['{listed}']");
        let _server = serve(world, setup().with(&origins));
        let head = |origin: &str, path: &str, more: &[&str]| {
            let origin = format!("Origin: {origin}");
            let url = at(path);
            curl(&[&["--head", "--header", &origin, &url], more].concat())
        };
        let preflight = [
            "--request",
            "OPTIONS",
            "--header",
            "Access-Control-Request-Method: GET",
        ];
        let allowed = format!("access-control-allow-origin: {listed}");
        let paths = [
            "/?service=turn",
            "/",
            "/v1/turn/keys/web/credentials/generate",
        ];
        for path in paths {
            let (headers, status) = head(listed, path, &preflight);
            assert!(status == 204 && headers.contains(&allowed), "{headers}");
            assert!(headers.contains("authorization"), "{headers}");
            let (headers, status) = head("https://other.example.org", path, &preflight);
            assert!(
                status == 403 && !headers.contains("access-control"),
                "{headers}"
            );
        }
        // Before any route sees it.
        let long = "a".repeat(65_537);
        let post = ["--include", "--data", &long, "--header"];
        let refused = |path: &str| {
            let origin = format!("Origin: {listed}");
            curl(&[&post[..], &[&origin, &at(path)]].concat())
        };
        for path in paths {
            let (answer, status) = refused(path);
            assert!(status == 413 && answer.contains(&allowed), "{answer}");
        }
        assert!(!refused("/other").0.contains(&allowed));
    });
}

#[test]
fn a_reload_takes_new_tokens_and_a_new_secret() {
    in_own_world(|world| {
        let server = serve(world, setup());
        let (old, _) = ask("generate", TOKEN, "{}");
        let path = server.config();
        let config = fs::read_to_string(&path).expect("the configuration");
        let other = "another-token-of-many-characters";
        let config = config.replace(TOKEN, other);
        let config = config.replace(SECRET, "another secret of the web application");
        fs::write(&path, config).expect("the directory is ours");
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["configuration.reloaded", "[[http.token]]"]);
        assert_eq!(ask("generate", TOKEN, "{}").1, 401);
        let (new, status) = ask("generate", other, "{}");
        assert_eq!(status, 201);
        client(&new["iceServers"])
            .allocate()
            .expect("an allocation");
        client(&old["iceServers"])
            .allocate()
            .expect_err("its secret is gone");
    });
}

/// The page for tests, by its address and with the lab's root.
fn secure(port: u16, more: &[&str]) -> (String, u16) {
    let root = Authority::lab().root_file();
    let root = root.path().to_str().expect("a path of ASCII");
    let url = format!("https://{SERVER_V4}:{port}/test");
    curl(&[&["--cacert", root, &url], more].concat())
}

#[test]
fn pages_come_through_the_relays_listener_for_tls_beside_a_call() {
    in_own_world(|world| {
        let listener = format!("[[listener]]\ntransport = 'auto'\nlisten = '{SERVER_V4}:443'");
        let setup = Setup::default().with_certificates(&[Wish::RIGHT]);
        let pages = "http.tls-listeners = true\ndemo.enabled = true";
        let mut server = world.serve(setup.with(&listener).with(pages));
        for transport in [Transport::Tls, Transport::Tcp, Transport::Udp] {
            let client = LiveClient::to((SERVER_V4, 443), transport);
            let (mut client, _) = client.allocated();
            for version in ["--http1.1", "--http2"] {
                let (page, status) = secure(443, &[version]);
                assert!(status == 200 && page.contains("<html"), "{status} {page}");
            }
            client.refresh(Duration::from_secs(600)).expect("a call");
        }
        let ended = server.stop();
        assert_eq!((ended.sockets("browsers"), ended.http("requests")), (6, 6));
    });
}

#[test]
fn https_begins_when_a_certificate_comes() {
    in_own_world(|world| {
        let server = serve(world, setup().with("demo.enabled = true"));
        let (_, status) = curl(&[&at("/test")]);
        assert_eq!(status, 200);
        let mut handshake = Command::new("curl");
        handshake.args([
            "--silent",
            "--insecure",
            &format!("https://{SERVER_V4}:8080/test"),
        ]);
        assert!(!Program::run(handshake, PATIENCE).status.success());
        let config = server.config();
        let directory = Path::new(&config).parent().expect("a directory");
        let certified = setup().with("demo.enabled = true");
        certified.with_certificates(&[Wish::RIGHT]).write(directory);
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["configuration.reloaded", "[[tls.certificates]]"]);
        assert_eq!(secure(8080, &[]).1, 200);
    });
}

/// The names by which visitors are counted, as the demo tells them.
fn visitor(answer: &(String, u16)) -> String {
    let answer: Value = serde_json::from_str(&answer.0).expect("JSON");
    let name = answer["iceServers"][0]["username"]
        .as_str()
        .expect("a text");
    let (_, visitor) = name.split_once(':').expect("an expiry");
    visitor.to_owned()
}

#[test]
fn a_proxy_that_is_named_says_who_its_visitors_are_and_another_is_told_of_once() {
    in_own_world(|world| {
        let block = format!(
            "http {{ server {{ listen {SERVER_V4}:80; location / {{ \
             proxy_pass http://{SERVER_V4}:8080; proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}"
        );
        let _nginx = nginx(|it| world.on_server_host(it), &block);
        let demo = setup().with("demo.enabled = true");
        let through = format!("http://{SERVER_V4}:80/ice");
        let lie = ["--header", "X-Forwarded-For: 192.0.2.77"];
        {
            let named = format!("http.forwarded-from = ['{SERVER_V4}']");
            let _server = serve(world, demo.clone().with(&named));
            let direct = visitor(&curl(&[&at("/ice")]));
            // The client's own word on its address is not believed, by the proxy's help or without.
            assert_eq!(visitor(&curl(&[&through])), direct);
            assert_eq!(visitor(&curl(&[&[&*through], &lie[..]].concat())), direct);
            assert_eq!(
                visitor(&curl(&[&[&*at("/ice")], &lie[..]].concat())),
                direct
            );
            let told = ["--header", "X-Forwarded-For: 203.0.113.8"];
            let of_proxy = by(
                world.on_server_host("curl"),
                &[&[&*at("/ice")], &told[..]].concat(),
            );
            assert_ne!(visitor(&of_proxy), direct, "{CLIENT_V4}");
        }
        let server = serve(world, demo);
        for _ in 0..3 {
            curl(&[&through]);
        }
        server.wait_for_line(&["http.forwarded"]);
        assert_eq!(server.log().matches("http.forwarded").count(), 1);
    });
}

#[test]
fn a_refusal_is_logged_without_what_was_shown_and_another_method_is_told_so() {
    in_own_world(|world| {
        let server = serve(world, setup());
        // A secret may stand in the place of the id by mistake.
        let mistaken = at(&format!("/v1/turn/keys/{TOKEN}/credentials/generate"));
        assert_eq!(curl(&[&mistaken, "--request", "POST"]).1, 401);
        server.wait_for_line(&["credentials.refused", "reason=\"token-wrong\""]);
        assert!(!server.log().contains(TOKEN), "{}", server.log());
        let path = at("/v1/turn/keys/web/credentials/generate-ice-servers");
        let (answer, status) = curl(&[&path]);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(status, 405);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains("POST"), "{answer}");
    });
}

#[test]
fn a_demo_on_a_fresh_machine_prints_links_that_work() {
    in_own_world(|world| {
        let home = TempDir::new().expect("a temporary directory");
        let how = |program: &str| world.on_server_host(program);
        let server = Server::unconfigured(how, home.path(), &["--demo"]);
        let link = format!("https://{SERVER_V4}:8080/");
        wait_for("the links", PATIENCE, || {
            server.log().contains(&link).then_some(())
        });
        let (page, status) = curl(&["--insecure", &link]);
        assert!(status == 200 && page.contains("<html"), "{status} {page}");
        let (answer, status) = curl(&["--insecure", &format!("{link}ice")]);
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let (mut client, _) = client(&answer["iceServers"][0]).allocated();
        client.refresh(Duration::from_secs(60)).expect("a call");
    });
}

/// A page of a stranger whose name leads to this server by now (DNS rebinding).
#[test]
fn a_demo_gives_nothing_to_a_page_that_calls_it_by_a_strangers_name() {
    in_own_world(|world| {
        let setup = setup().with("demo.enabled = true");
        let server = serve(world, setup.with_certificates(&[Wish::RIGHT]));
        let ask = |path: &str, name: &str, more: &[&str]| {
            let host = format!("Host: {name}");
            let origin = format!("Origin: http://{name}");
            let own = ["--header", &host, "--header", &origin];
            curl(&[&own, more, &[&*at(path)]].concat()).1
        };
        let upgrade: Vec<&str> = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol: hairpin.v1",
        ]
        .iter()
        .flat_map(|header| ["--header", header])
        .collect();
        let evil = "evil.example:8080";
        assert_eq!(ask("/ice", evil, &[]), 403);
        assert_eq!(ask("/signal", evil, &upgrade), 403);
        assert_eq!(ask("/test", evil, &[]), 200);
        server.wait_for_lines("http.host", 1);
        for own in [&format!("{SERVER_V4}:8080"), "localhost:8080"] {
            assert_eq!(ask("/ice", own, &[]), 200);
        }
    });
}

#[test]
fn a_demo_whose_port_is_taken_names_the_option() {
    in_own_world(|_| {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).expect("a port");
        let home = TempDir::new().expect("a temporary directory");
        let mut demo = hairpin_by(here);
        demo.args(["serve", "--demo"]).env("HOME", home.path());
        let ended = Program::run(demo, PATIENCE);
        assert_eq!(ended.status.code(), Some(1));
        let words = "port 8080 is taken: give the pages another one, such as --demo=8081";
        assert!(ended.output.contains(words), "{}", ended.output);
        drop(taken);
    });
}
