//! Calls with video over TLS, which the firewall of a client may leave as the only way, and a certificate
//! that is replaced meanwhile.

use std::fs;

use client::Transport;
use lab::{
    PATIENCE,
    authority::{Authority, SERVER_NAME, Wish},
    browser::Browser,
    machine::name_hosts,
    server::{PASSWORD, Server, TLS_PORT, USER, serving},
    setup::{Setup, certificate_name},
    socket::LiveSocket,
    talks::uri_of,
    wait_for,
    world::SERVER_V4,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Page, ice_servers};

#[test]
fn video_over_tls_and_tcp_goes_on_in_chromium_while_the_certificate_is_replaced() {
    serving(Setup::closed().with_tls(), |_, server| {
        video_goes_on(server, Browser::Chromium, ["tls", "tcp"]);
    });
}

#[test]
fn video_over_tls_and_udp_goes_on_in_firefox_while_the_certificate_is_replaced() {
    serving(Setup::closed().with_tls(), |_, server| {
        video_goes_on(server, Browser::Firefox, ["tls", "udp"]);
    });
}

/// Both ends see each other for ten seconds, and a mebibyte goes there and back meanwhile.
fn video_goes_on(server: &Server, browser: Browser, transports: [&str; 2]) {
    name_hosts(&[(SERVER_V4.into(), SERVER_NAME)]);
    let ends = transports.map(|transport| ice_servers(&uri_of(transport), [USER, PASSWORD]));
    let mut page = Page::open(browser, json!({ "ends": ends, "seconds": 10 }));
    page.read("video");
    replace_certificate(server);
    let result = page.result();
    for (end, transport) in transports.into_iter().enumerate() {
        let way = &result["pairs"][end]["local"]["relayProtocol"];
        assert_eq!(way, transport, "{result:#}");
        assert_seen(&result["video"][end]);
    }
    let again = shown();
    println!("{browser:?}: {:#}", result["video"]);
    assert_eq!(again, shown(), "the certificate stays");
}

#[track_caller]
fn assert_seen(video: &Value) {
    let number = |name: &str| video[name].as_f64().expect("a number");
    // Quiet machines lose none. Firefox drops a few of its own where other tests take the processor;
    // a session that is cut loses all that follow.
    assert!(number("packetsLost") <= 5.0, "{video:#}");
    assert!(number("frames") >= 50.0, "{video:#}");
    // A machine that compiles other tests meanwhile shows pictures late.
    assert!(number("freeze") <= 3000.0, "{video:#}");
}

/// Gives the server another certificate, waits until it is shown, and takes the files away.
#[track_caller]
fn replace_certificate(server: &Server) {
    let before = shown();
    let issued = Authority::lab().issue(Wish::RIGHT);
    let config = server.config();
    let directory = std::path::Path::new(&config).parent().expect("a directory");
    let files = issued.write(directory, &certificate_name(0));
    server.program.signal(Signal::HUP);
    wait_for("the new certificate", PATIENCE, || {
        (shown() != before).then_some(())
    });
    for file in files {
        fs::remove_file(file).expect("the directory is ours");
    }
}

/// The certificate that a new client is shown.
fn shown() -> Vec<u8> {
    let socket = LiveSocket::to((SERVER_V4, TLS_PORT).into(), Transport::Tls, 0);
    let LiveSocket::Tls(session) = &socket else {
        panic!("a client on TLS");
    };
    session.chain().first().expect("a certificate").to_vec()
}
