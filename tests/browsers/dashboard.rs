//! The dashboard, in a real browser: it follows what clients do, and asks nobody but its server.

mod charts;
mod door;
mod keyboard;

use std::{
    env, fs, io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
};

use lab::{
    browser::Browser,
    driven::Driven,
    live::LiveClient,
    machine::Machine,
    modules::run_modules,
    program::Program,
    server::PASSWORD,
    setup::Setup,
    traffic::{Exchange, Traffic},
    world::in_own_world,
};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_dashboard_follows_clients_asks_nobody_else_and_comes_back_with_the_server() {
    in_own_world(|world| {
        let place = TempDir::new().expect("a temporary directory");
        let socket = place.path().join("admin.sock");
        // A client that knows a secret may choose any name.
        let setup = || {
            let more = format!(
                "admin.socket = '{}'\n[auth.users]\n\"{NAME}\" = '{PASSWORD}'",
                socket.display()
            );
            Setup::default().with_tls().with(&more)
        };
        let mut server = world.serve(setup());
        server.wait_for_line(&["admin.listening"]);
        let Dashboard { page, origin, .. } = &mut Dashboard::open(&socket);
        page.wait_until(&tile("Sessions", "0"));

        let clients = [LiveClient::udp(), LiveClient::tls().login(NAME, PASSWORD)];
        let traffic = Traffic::of(clients.map(|it| Exchange::begin(it, [800, 400])).into());
        let mut guesser = LiveClient::udp().login("alice", "a guess");
        guesser.allocate().expect_err("a wrong password");
        page.wait_until(&tile("Sessions", "2"));
        page.wait_until(&says("talkers", NAME));
        page.wait_until(&says("talkers", "kbit/s"));
        page.wait_until(&says("causes", "bad-integrity"));
        page.wait_until(&says("certificates", "days left"));
        page.wait_until(&says("limits", "relay ports"));
        let made = page.evaluate("return document.querySelectorAll('#talkers img').length;");
        assert_eq!(made, 0, "a name became an element");
        let narrow = page.picture(390, true);
        let is_wider = "return document.documentElement.scrollWidth > innerWidth;";
        assert_eq!(
            page.evaluate(is_wider),
            false,
            "a phone has to scroll sideways"
        );
        keep("dashboard-phone.png", &narrow);
        traffic.end();

        let asked =
            "return performance.getEntriesByType('resource').map((it) => new URL(it.name).origin);";
        let asked = page.evaluate(asked);
        let asked = asked.as_array().expect("a list");
        assert!(
            asked.len() > 5 && asked.iter().all(|it| *it == *origin),
            "{asked:?}"
        );
        assert_eq!(page.complaints(), [""; 0]);

        server.stop();
        page.wait_until(&says("state", "trying again"));
        let _server = world.serve(setup());
        page.wait_until(&says("state", "Live"));
        page.wait_until(&tile("Sessions", "0"));
    });
}

#[test]
fn the_modules_of_the_dashboard_hold_their_promises() {
    run_modules(
        ["crates/httpd/static/dashboard", "tests/browsers/dashboard"],
        &["format", "stream"],
    );
}

/// An expression: whether an element has this text.
pub(crate) fn says(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').textContent.includes({text:?})")
}

/// An expression: whether the number of this name is so.
pub(crate) fn tile(name: &str, value: &str) -> String {
    format!(
        "[...document.querySelectorAll('#now > div')].some((it) => it.textContent === '{name}{value}')"
    )
}

/// Every text that is seen has a contrast of at least 4.5 to 1 against its ground, in the dark and in the light.
#[track_caller]
fn assert_readable(page: &mut Driven) {
    for is_dark in [true, false] {
        page.look(1280, is_dark);
        let scheme = "return matchMedia('(prefers-color-scheme: dark)').matches;";
        assert_eq!(page.evaluate(scheme), is_dark);
        let seen = page.evaluate(include_str!("dashboard/contrast.js"));
        let texts = seen.as_array().expect("a list");
        let ratio = |text: &Value| text["ratio"].as_f64().expect("a number");
        let low: Vec<_> = texts.iter().filter(|it| ratio(it) < 4.5).collect();
        assert!(low.is_empty(), "dark: {is_dark}, {low:#?}");
        let least = texts.iter().map(ratio).fold(f64::INFINITY, f64::min);
        println!(
            "dark: {is_dark}, {} texts, at least {least:.2}",
            texts.len()
        );
        assert!(texts.len() > 4, "{texts:#?}");
    }
}

/// The page of a server, which is live, in a browser that reaches nothing else.
pub(crate) struct Dashboard {
    // The browser must be gone before its host.
    pub(crate) page: Driven,
    origin: String,
    _host: Machine,
}

impl Dashboard {
    /// Opens the page at a server's socket.
    #[track_caller]
    pub(crate) fn open(socket: &Path) -> Self {
        // No network but its own: nothing that the page asks elsewhere would be answered.
        let host = Machine::make();
        let mut up = host.command("ip");
        up.args(["link", "set", "lo", "up"]);
        Program::succeed(up);
        let origin = forward(&host, socket);
        let mut page = Driven::open(Browser::Chromium, &host, None);
        page.visit(&origin);
        page.wait_until(&says("state", "Live"));
        Self {
            page,
            origin,
            _host: host,
        }
    }
}

/// Has the socket at a port of a host, as `ssh -L` does; returns the page's origin.
fn forward(host: &Machine, socket: &Path) -> String {
    let listener = host.listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0));
    let listener: TcpListener = listener.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let socket: PathBuf = socket.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(browser), Ok(server)) = (stream, UnixStream::connect(&socket)) else {
                continue;
            };
            let _ = pass_on(browser, server);
        }
    });
    format!("http://localhost:{port}")
}

/// Passes bytes on, both ways.
fn pass_on(browser: TcpStream, server: UnixStream) -> io::Result<()> {
    let (mut asking, mut asked) = (browser.try_clone()?, server.try_clone()?);
    let (mut answering, mut answered) = (server, browser);
    thread::spawn(move || {
        let _ = io::copy(&mut asking, &mut asked);
        asked.shutdown(Shutdown::Write)
    });
    thread::spawn(move || {
        let _ = io::copy(&mut answering, &mut answered);
        answered.shutdown(Shutdown::Write)
    });
    Ok(())
}

/// Keeps a picture where `HAIRPIN_TEST_PICTURES` says, for the documents.
fn keep(name: &str, picture: &[u8]) {
    if let Some(directory) = env::var_os("HAIRPIN_TEST_PICTURES") {
        fs::write(Path::new(&directory).join(name), picture).expect("a directory");
    }
}

/// A name that would run in a page that took it for anything but text.
const NAME: &str = "<img src=x onerror=alert(1)>";
