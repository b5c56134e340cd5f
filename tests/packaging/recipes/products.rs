//! Products that Debian has, with the lines that their pages say: what they get of the server opens an allocation.

use std::{fs, net::TcpStream, path::PathBuf, time::Duration};

use client::Transport;
use lab::{
    PATIENCE,
    authority::Authority,
    foreign::script,
    live::LiveClient,
    machine::{name_hosts, replace},
    program::{Program, here},
    wait_for,
    world::{SERVER_V4, in_own_world},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Directory, JANUS_TOKEN, PLACE, Page, SECRET, base, configuration};

/// Waits until a program of this host takes connections.
pub(super) fn wait_for_port(program: &mut Program, port: u16, patience: Duration) {
    wait_for("a listener", patience, || {
        assert_eq!(program.ended(), None, "{}", program.output());
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}

/// `jitsi.md`.
#[test]
fn what_prosody_hands_out_opens_an_allocation() {
    in_own_world(|world| {
        let directory = Directory::certified(&base());
        let server = directory.serve(world);
        let page = Page::read("jitsi");
        let place = TempDir::new().expect("a temporary directory");
        let lines = page.only("Jitsi", "lua").replace(PLACE, SECRET);
        let text = format!(
            "run_as_root = true\npidfile = \"{0}/pid\"\ndata_path = \"{0}\"\nmodules_enabled = {{ \"saslauth\" }}\nlog = \"*console\"\n\
             interfaces = {{ \"127.0.0.1\" }}\nc2s_require_encryption = false\n{lines}\
             VirtualHost \"meet.example.org\"\n authentication = \"anonymous\"\n \
             modules_enabled = {{ \"external_services\" }}\n",
            place.path().display()
        );
        let path = place.path().join("prosody.cfg.lua");
        fs::write(&path, text).expect("the directory is ours");
        let mut prosody = here("prosody");
        prosody.arg("--config").arg(&path).arg("-F");
        let mut prosody = Program::start(prosody);
        wait_for_port(&mut prosody, 5222, PATIENCE);
        let mut guest = script(here, "/usr/bin/python3", "xmpp_services.py");
        guest.args(["127.0.0.1", "meet.example.org"]);
        let told = Program::succeed(guest);
        let services: Value = serde_json::from_str(&told).expect("JSON");
        let services = services.as_array().expect("a list");
        let kinds: Vec<_> = services.iter().map(|it| it["type"].as_str()).collect();
        assert_eq!(kinds, [Some("stun"), Some("turn"), Some("turns")]);
        for service in &services[1..] {
            let text = |key: &str| service[key].as_str().expect("a text");
            assert_eq!(text("host"), "turn.example.org");
            let mut client = LiveClient::to((SERVER_V4, 3478), Transport::Udp)
                .login(text("username"), text("password"));
            assert!(client.allocate().is_ok(), "{service}: {}", server.output());
        }
    });
}

/// `janus.md`: Janus is the client of the server, at the name that the page says, and believes its certificate.
#[test]
fn janus_asks_for_a_credential_and_has_an_allocation() {
    in_own_world(|world| {
        name_hosts(&[(SERVER_V4.into(), "turn.example.org")]);
        replace(
            "/etc/ssl/certs/ca-certificates.crt",
            Authority::lab().root(),
        );
        let page = Page::read("janus");
        let directory = Directory::certified(&configuration(page.only("Hairpin", "toml")));
        let server = directory.serve(world);
        let place = TempDir::new().expect("a temporary directory");
        let lines = page.only("Janus", "jcfg").replace(PLACE, JANUS_TOKEN);
        let main = format!(
            "general: {{ plugins_folder = \"{0}/plugins\"; transports_folder = \"{0}/transports\"; }}\n\
             nat: {{\n{lines}}}\n\
             plugins: {{ disable = \"{PLUGINS}\"; }}\n\
             transports: {{ disable = \"{TRANSPORTS}\"; }}\n",
            modules().display()
        );
        let http = "general: { json = \"plain\"; http = true; port = 8088; ip = \"127.0.0.1\"; }\n";
        let echo = "general: { }\n";
        for (name, text) in [
            ("janus.jcfg", main.as_str()),
            ("janus.transport.http.jcfg", http),
            ("janus.plugin.echotest.jcfg", echo),
        ] {
            fs::write(place.path().join(name), text).expect("the directory is ours");
        }
        let mut janus = here("janus");
        janus.arg("--config").arg(place.path().join("janus.jcfg"));
        janus.arg("--configs-folder").arg(place.path());
        let mut janus = Program::start(janus);
        wait_for_port(&mut janus, 8088, PATIENCE);
        assert!(janus.output().contains("https://turn.example.org:8080/"));
        let mut caller = script(here, "/usr/bin/python3", "janus_echo.py");
        caller.arg("http://127.0.0.1:8088/janus");
        let answer = Program::succeed(caller);
        let relayed = answer.lines().find(|line| line.contains(" typ relay "));
        let relayed = relayed.unwrap_or_else(|| panic!("{answer}{}", server.output()));
        assert!(relayed.contains(&SERVER_V4.to_string()), "{relayed}");
    });
}

/// The directory in which Debian has the parts of Janus, which is named after the kind of machine.
fn modules() -> PathBuf {
    let all = fs::read_dir("/usr/lib").expect("a directory");
    let mut all = all.map(|entry| entry.expect("a directory").path().join("janus"));
    all.find(|path| path.join("plugins").is_dir())
        .expect("Janus, of Debian's package janus")
}

/// All but the echo test.
const PLUGINS: &str = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_lua.so,libjanus_nosip.so,\
     libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,\
     libjanus_videoroom.so,libjanus_voicemail.so";
/// All but HTTP.
const TRANSPORTS: &str = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,\
     libjanus_websockets.so";
