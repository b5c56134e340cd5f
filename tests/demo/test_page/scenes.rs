//! Texts that visitors of the test page paste, and the page's answers.

use std::time::{SystemTime, UNIX_EPOCH};

use lab::{
    authority::SERVER_NAME,
    browser::Browser,
    credentials::password_of,
    server::{PASSWORD, SECRET, USER},
    world::{SERVER_V4, SERVER_V6},
};
use serde_json::Value;

use super::text_of;

/// A text that is pasted, and the page's answer.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) text: String,
    level: &'static str,
    /// Words of the verdict.
    verdict: &'static str,
    /// The codes of errors, URL by URL.
    pub(super) errors: Vec<&'static [&'static str]>,
}

pub(super) fn healthy() -> Scene {
    Scene {
        name: "healthy",
        text: format!(
            "const configuration = {{ iceServers: [{{ urls: ['turn:{SERVER_V4}', \
             'turn:{SERVER_V4}?transport=tcp', 'turns:{SERVER_NAME}', \
             'turn:[{SERVER_V6}]'], {} }}] }};",
            user(USER, PASSWORD)
        ),
        level: "good",
        verdict: "Calls work from here over UDP, TCP and TLS",
        errors: vec![&[], &[], &[], &[]],
    }
}

/// Peers here are none that this server relays to, which is no fault of it.
pub(super) fn refusing() -> Scene {
    Scene {
        name: "peer-refused",
        text: format!(
            "{{ urls: 'turn:{SERVER_V4}:{REFUSING}', {} }}",
            user(USER, PASSWORD)
        ),
        level: "good",
        verdict: "Calls work from here over UDP.",
        errors: vec![&[]],
    }
}

pub(super) fn faults(browser: Browser) -> Vec<Scene> {
    let scene = |name, urls: &[String], login: String, level, verdict, errors| Scene {
        name,
        text: format!("[{{ urls: {urls:?}, {login} }}]"),
        level,
        verdict,
        errors,
    };
    let both =
        |port: u16| ["udp", "tcp"].map(|way| format!("turn:{SERVER_V4}:{port}?transport={way}"));
    let alice = || user(USER, PASSWORD);
    let [in_an_hour, an_hour_ago] =
        [now() + 3600, now() - 3600].map(|expiry| format!("{expiry}:visitor"));
    let wrong = user(&in_an_hour, &password_of("another secret", &in_an_hour));
    let expired = user(&an_hour_ago, &password_of(SECRET, &an_hour_ago));
    let [udp, _] = both(3478);
    let mismatch = [
        udp,
        format!("turns:{OTHER_NAME}"),
        format!("turns:{SERVER_NAME}"),
    ];
    let [without_udp, _] = both(WITHOUT_UDP);
    // Firefox believes no address of this kind, and takes the server for a silent one.
    let hidden = match browser {
        Browser::Chromium => "The relay works, but does not see where its clients are",
        Browser::Firefox => "The relay does not see where its clients are",
    };
    vec![
        scene(
            "wrong-secret",
            &both(3478),
            wrong,
            "bad",
            "The relay refuses the user name and credential.",
            vec![&["D030"], &["D030"]],
        ),
        scene(
            "expired",
            &both(3478),
            expired,
            "bad",
            "The relay refuses the credential, which has expired.",
            vec![&["D032"], &["D032"]],
        ),
        scene(
            "relay-ports-closed",
            &both(CLOSED),
            alice(),
            "bad",
            "its ports are closed to peers outside",
            vec![&["D043"], &["D043"]],
        ),
        scene(
            "down",
            &both(DOWN),
            alice(),
            "bad",
            "The relay does not answer: it is down",
            vec![&["D002"], &["D003"]],
        ),
        scene(
            "udp-blocked",
            &both(WITHOUT_UDP),
            alice(),
            "poor",
            "only through the relay over TCP: UDP is blocked",
            vec![&["D002"], &[]],
        ),
        scene(
            "udp-blocked-alone",
            &[without_udp],
            alice(),
            "bad",
            "UDP is blocked, and no URL for TCP or TLS is in the list",
            vec![&["D002"]],
        ),
        scene(
            "name-mismatch",
            &mismatch,
            alice(),
            "poor",
            "Calls work from here over UDP and TLS; 1 of 3 URLs does not.",
            vec![&[], &["D013"], &[]],
        ),
        scene(
            "name-mismatch-alone",
            &[format!("turns:{OTHER_NAME}")],
            alice(),
            "bad",
            "The relay does not work from here: the certificate cannot be used.",
            vec![&["D017"]],
        ),
        scene(
            "clients-hidden",
            &both(PROXY),
            alice(),
            "bad",
            hidden,
            vec![&["D064"], &["D064"]],
        ),
        scene(
            "external-address-of-somebody-else",
            &both(ELSEWHERE),
            alice(),
            "bad",
            "its ports are closed to peers outside",
            vec![&["D043"], &["D043"]],
        ),
    ]
}

impl Scene {
    #[track_caller]
    pub(super) fn assert(&self, said: &Value) {
        let name = self.name;
        assert!(
            text_of(said, "verdict").contains(self.verdict),
            "{name}: {said:#}"
        );
        assert_eq!(
            text_of(said, "level"),
            format!("summary {}", self.level),
            "{name}: {said:#}"
        );
        let errors = |codes: &Value| -> Vec<String> {
            let codes = codes.as_array().expect("a list").iter();
            let errors = codes.filter_map(|code| code.as_str()?.strip_suffix(" error"));
            errors.map(str::to_owned).collect()
        };
        let urls = said["codes"].as_array().expect("a list");
        let errors: Vec<_> = urls.iter().map(errors).collect();
        assert_eq!(errors, self.errors, "{name}: {said:#}");
    }
}

fn user(name: &str, password: &str) -> String {
    format!("username: '{name}', credential: '{password}'")
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock that is right").as_secs()
}

pub(super) const CLOSED: u16 = 3480;
pub(super) const WITHOUT_UDP: u16 = 3482;
pub(super) const PROXY: u16 = 3484;
/// The proxy's server, on the same host.
pub(super) const BEHIND: u16 = 3486;
pub(super) const DOWN: u16 = 3490;
pub(super) const REFUSING: u16 = 3492;
pub(super) const ELSEWHERE: u16 = 3494;
/// A name of the server that its certificate lacks.
pub(super) const OTHER_NAME: &str = "other.example";
