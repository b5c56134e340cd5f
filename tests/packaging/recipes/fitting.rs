//! What the pages tell the other side: its URLs and ports are those that Hairpin serves, and the secret stands where the
//! product reads it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{PLACE, Page, base, configuration, parsed::yaml};

/// Something that a client can be told: `turn` or `turns` (or the same of STUN), port, and transport.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    is_secure: bool,
    port: u16,
    transport: String,
}

#[test]
fn every_url_on_the_pages_leads_to_a_listener() {
    let mut count = 0;
    for page in Page::all() {
        let served = served(&page);
        for block in &page.blocks {
            for uri in uris(&block.text) {
                let target = target(&uri);
                let is_served = target.is_some_and(|target| served.contains(&target));
                assert!(is_served, "{}: {uri} of {}", page.name, block.text);
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn hosts_ports_and_protocols_that_stand_apart_lead_to_a_listener() {
    let page = Page::read("livekit");
    let livekit = yaml(page.only("LiveKit", "yaml")).remove(0);
    let servers = livekit["rtc"]["turn_servers"].as_array().expect("a list");
    let livekit = servers.iter().map(|server| {
        let port = server["port"].as_u64().expect("a port");
        let (scheme, transport) = match server["protocol"].as_str() {
            Some("tls") => ("turns", "tcp"),
            other => ("turn", other.expect("a protocol")),
        };
        (host(&server["host"]), scheme, port, transport.to_owned())
    });
    let jitsi = Page::read("jitsi");
    let services = jitsi.only("Jitsi", "lua").lines();
    let services = services.filter(|line| line.contains("type ="));
    let jitsi = services.map(|line| {
        let scheme = value(line, "type").trim_end_matches('s');
        let is_secure = value(line, "type").ends_with('s');
        let transport = if line.contains("transport") {
            value(line, "transport")
        } else {
            "udp"
        };
        (
            value(line, "host").to_owned(),
            if is_secure { "turns" } else { scheme },
            value(line, "port").parse().expect("a port"),
            transport.to_owned(),
        )
    });
    let told: Vec<_> = livekit.chain(jitsi).chain(nextcloud()).collect();
    assert_eq!(told.len(), 2 + 3 + 4, "{told:?}");
    let served = served(&page);
    for (host, scheme, port, transport) in told {
        assert_eq!(host, "turn.example.org");
        let target = target(&format!("{scheme}:{host}:{port}?transport={transport}"));
        let target = target.expect("a URI");
        assert!(served.contains(&target), "{target:?}");
    }
}

/// What Talk makes of its two command lines: each scheme over each protocol, but no `turns` over UDP.
fn nextcloud() -> Vec<(String, &'static str, u64, String)> {
    let page = Page::read("nextcloud-talk");
    let lines = page.only("Nextcloud", "sh").to_owned();
    let words = |name: &str| -> Vec<String> {
        let line = lines.lines().find(|line| line.contains(name));
        let words = line.expect("a command line").split(' ');
        words.map(str::to_owned).collect()
    };
    let turn = words("talk:turn:add");
    let [.., schemes, server, protocols] = turn.as_slice() else {
        panic!("{turn:?}");
    };
    let (host, port) = server.split_once(':').expect("a port");
    let port = port.parse().expect("a port");
    let mut told = Vec::new();
    for (known, transports) in [("turn", protocols.as_str()), ("turns", "tcp")] {
        if schemes.split(',').any(|scheme| scheme == known) {
            let transports = transports.split(',');
            told.extend(transports.map(|it| (host.to_owned(), known, port, it.to_owned())));
        }
    }
    let stun = words("talk:stun:add");
    let (host, port) = stun
        .last()
        .and_then(|it| it.split_once(':'))
        .expect("a port");
    told.push((
        host.to_owned(),
        "stun",
        port.parse().expect("a port"),
        "udp".to_owned(),
    ));
    told
}

#[test]
fn the_secret_stands_where_each_product_reads_it() {
    let is_hexadecimal = PLACE.len() == 64 && u128::from_str_radix(&PLACE[..32], 16).is_ok();
    assert!(is_hexadecimal, "not as `openssl rand -hex 32` prints it");
    let content = |page: &Page, file: &str| {
        let words = format!("content of `/etc/hairpin/{file}`");
        assert!(page.text.contains(&words), "{}: {words}", page.name);
    };

    let page = Page::read("bigbluebutton");
    content(&page, "turn.secret");
    let beans = beans(page.only("BigBlueButton", "xml"));
    assert_eq!(beans.len(), 3);
    for [secret, uri, _] in beans {
        assert_eq!(secret, PLACE);
        assert!(target(&uri).is_some(), "{uri}");
    }

    let page = Page::read("galene");
    content(&page, "turn.secret");
    let galene: Value = serde_json::from_str(page.only("Galène", "json")).expect("JSON");
    assert_eq!(galene[0]["credential"], PLACE);
    assert_eq!(galene[0]["credentialType"], "hmac-sha1");

    let page = Page::read("jitsi");
    content(&page, "turn.secret");
    let lua = page.only("Jitsi", "lua");
    assert_eq!(value(lua, "external_service_secret"), PLACE);
    for line in lua.lines().filter(|line| line.contains("type = \"turn")) {
        assert_eq!(value(line, "secret"), "true");
        assert_eq!(value(line, "algorithm"), "turn");
    }

    let page = Page::read("janus");
    content(&page, "janus.token");
    let lines = page.only("Janus", "jcfg");
    assert_eq!(value(lines, "turn_rest_api_key"), PLACE);
    let ours: toml::Table = configuration(page.only("Hairpin", "toml"))
        .parse()
        .expect("TOML");
    assert_eq!(
        ours["http"]["token"][0]["secret-file"].as_str(),
        Some("janus.token")
    );
    let listen = ours["http"]["listen"][0].as_str().expect("an address");
    let port = listen.rsplit(':').next().expect("a port");
    let url = format!("https://turn.example.org:{port}/");
    assert_eq!(value(lines, "turn_rest_api"), url);
}

#[test]
fn a_file_of_the_secret_is_the_one_that_the_command_lines_make() {
    let page = Page::read("synapse");
    let synapse = yaml(page.only("Synapse", "yaml")).remove(0);
    assert_is_made(&page, &synapse["turn_shared_secret_path"]);
    let page = Page::read("livekit");
    let livekit = yaml(page.only("LiveKit", "yaml")).remove(0);
    for server in livekit["rtc"]["turn_servers"].as_array().expect("a list") {
        assert_is_made(&page, &server["secret_file"]);
    }
    let page = Page::read("monitoring");
    let line = page.only("From outside", "cron");
    let (_, path) = line.split_once("--secret-file ").expect("an option");
    let path = path.split(' ').next().expect("a path");
    assert_is_made(&page, &Value::from(path));
}

/// Whether the page's command lines make the file, readable for somebody alone, and copy the secret into it.
#[track_caller]
fn assert_is_made(page: &Page, path: &Value) {
    let path = path.as_str().expect("a path");
    let lines: Vec<&str> = page
        .under("", "sh")
        .into_iter()
        .flat_map(str::lines)
        .collect();
    let has = |beginning: &str, end: &str| {
        let mut lines = lines.iter();
        lines.any(|line| line.starts_with(beginning) && line.ends_with(end))
    };
    let made = format!(" /dev/null {path}");
    assert!(has("sudo install ", &made), "{}: {made}", page.name);
    let copied = format!("sudo cat /etc/hairpin/turn.secret | sudo tee {path} >/dev/null");
    assert!(
        has("ssh turn.example.org ", &copied),
        "{}: {path}",
        page.name
    );
}

/// The arguments of each TURN server in BigBlueButton's file: the secret, the URL, and the seconds.
pub(super) fn beans(xml: &str) -> Vec<[String; 3]> {
    let beans = xml
        .split("<bean ")
        .filter(|bean| bean.contains(".TurnServer\""));
    beans
        .map(|bean| {
            [0, 1, 2].map(|index| {
                let (_, rest) = bean
                    .split_once(&format!("index=\"{index}\" value=\""))
                    .expect("an argument");
                rest.split('"').next().expect("a value").to_owned()
            })
        })
        .collect()
}

fn host(value: &Value) -> String {
    value.as_str().expect("a host").to_owned()
}

/// The value of `key = value` or `key = "value"`.
#[track_caller]
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("{key} = "))
        .unwrap_or_else(|| panic!("no {key}: {text}"));
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => rest.split([',', ';', ' ', '\n']).next().unwrap_or_default(),
    }
}

/// The URIs of STUN and TURN in a text. `talk:turn:add` is none: there is a colon before it.
fn uris(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for scheme in ["stun:", "stuns:", "turn:", "turns:"] {
        for (start, _) in text.match_indices(scheme) {
            let before = text[..start].chars().next_back();
            let is_start = before.is_none_or(|it| !it.is_alphanumeric() && !":-./_\\".contains(it));
            let is_part = |letter: char| letter.is_alphanumeric() || ":.?=[]-".contains(letter);
            let end = text[start..].find(|letter| !is_part(letter));
            let uri = end.map_or(&text[start..], |end| &text[start..start + end]);
            if is_start && uri.len() > scheme.len() {
                uris.push(uri.to_owned());
            }
        }
    }
    uris
}

/// The target of a URI of `turn.example.org`. RFC 7064 and 7065.
fn target(uri: &str) -> Option<Target> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_secure = scheme.ends_with('s');
    let (place, transport) = match rest.split_once("?transport=") {
        Some((place, transport)) => (place, transport),
        None => (rest, if is_secure { "tcp" } else { "udp" }),
    };
    let port = match place.strip_prefix("turn.example.org")? {
        "" if is_secure => 5349,
        "" => 3478,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    Some(Target {
        is_secure,
        port,
        transport: transport.to_owned(),
    })
}

/// What is served with the base configuration, or with that of the page.
fn served(page: &Page) -> BTreeSet<Target> {
    let blocks = page.blocks.iter().filter(|it| it.language == "toml");
    let mut configurations: Vec<String> = blocks.map(|it| configuration(&it.text)).collect();
    configurations.push(base());
    let mut served = BTreeSet::new();
    for configuration in configurations {
        let configuration: toml::Table = configuration.parse().expect("TOML");
        for listener in configuration["listener"].as_array().expect("a list") {
            let listen = listener["listen"].as_str().expect("an address");
            let port = listen.rsplit(':').next().and_then(|it| it.parse().ok());
            let mut add = |is_secure, transport: &str| {
                served.insert(Target {
                    is_secure,
                    port: port.expect("a port"),
                    transport: transport.to_owned(),
                });
            };
            // "auto" takes DTLS only where [dtls] is on.
            match listener["transport"].as_str() {
                Some("auto") => {
                    add(false, "udp");
                    add(false, "tcp");
                    add(true, "tcp");
                }
                Some("tls") => add(true, "tcp"),
                other => panic!("{other:?}"),
            }
        }
    }
    served
}
