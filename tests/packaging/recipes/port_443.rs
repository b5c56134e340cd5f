//! `port-443.md`: a relay and a web server behind one port, with Debian's haproxy, nginx and Caddy.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use client::Transport;
use lab::{
    PATIENCE,
    authority::Authority,
    daemons::{Daemon, haproxy, nginx},
    live::LiveClient,
    pebble::{Habits, Pebble},
    program::{Program, here},
    socket::LiveSocket,
    tls::{TlsSession, trusting_root},
    wait_for,
    world::{CLIENT_V4, SERVER_V4, World, in_own_world},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use wire::AddressFamily;

use super::{
    Directory, Page, assert_meet, certificate_for, client, secure, with_acme, with_credential,
};

/// The web server of the page on nginx, with its own certificate, and its files.
struct Web {
    _nginx: Daemon,
    _files: TempDir,
}

impl Web {
    fn start(world: &World, block: &str) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let [chain, key] = certificate_for("www.example.org").write(files.path(), "www");
        let block = block
            .replace("/etc/nginx/www/fullchain.pem", &chain)
            .replace("/etc/nginx/www/privkey.pem", &key);
        Self {
            _nginx: nginx(|program| world.on_server_host(program), &block),
            _files: files,
        }
    }
}

/// The page that a browser gets from `www.example.org`, which trusts the lab's authority.
fn fetched() -> String {
    let root = Authority::lab().root_file();
    Program::succeed(browser(root.path()))
}

/// A request for the page of `www.example.org`, which trusts an authority.
fn browser(root: &Path) -> Command {
    let mut curl = here("curl");
    curl.args(["--silent", "--show-error", "--cacert"])
        .arg(root)
        .arg("--resolve")
        .arg(format!("www.example.org:443:{SERVER_V4}"))
        .arg("https://www.example.org/");
    curl
}

/// A client through port 443 has an allocation, and is told its own address; a browser reaches the web server.
fn assert_one_port_serves_both() {
    let to = SocketAddr::new(SERVER_V4.into(), 443);
    let mut first = LiveClient::on(secure(to, "turn.example.org"));
    assert_eq!(first.binding(), first.address());
    let first = with_credential(first, super::SECRET, "alice");
    let other = client(SERVER_V4, 3478, Transport::Udp);
    assert_meet(first, other, AddressFamily::V4);
}

#[test]
fn with_haproxy_in_front_clients_relay_as_themselves_and_browsers_reach_the_web_server() {
    in_own_world(|world| {
        let page = Page::read("port-443");
        let directory = Directory::certified(page.only("haproxy in front", "toml"));
        let _server = directory.serve(world);
        // haproxy brings no header to the web server.
        let web = page.only("Hairpin in front", "nginx");
        let web = web.replace("8443 ssl proxy_protocol;", "8443 ssl;");
        let _web = Web::start(world, &web);
        let sections = page.only("haproxy in front", "haproxy");
        let at = SocketAddr::new(SERVER_V4.into(), 443);
        let _haproxy = haproxy(|program| world.on_server_host(program), sections, at);
        assert_one_port_serves_both();
        assert!(fetched().starts_with("hello "));
    });
}

#[test]
fn with_nginx_in_front_clients_and_browsers_are_seen_at_their_own_addresses() {
    in_own_world(|world| {
        let page = Page::read("port-443");
        // The page has nginx take the configuration of haproxy.
        let directory = Directory::certified(page.only("haproxy in front", "toml"));
        let _server = directory.serve(world);
        let _web = Web::start(world, page.only("Hairpin in front", "nginx"));
        let stream = page.only("nginx in front", "nginx");
        let _nginx = nginx(|program| world.on_server_host(program), stream);
        assert_one_port_serves_both();
        assert_eq!(fetched(), format!("hello {}", CLIENT_V4));
    });
}

#[test]
fn behind_hairpin_nginx_is_told_the_addresses_of_browsers() {
    in_own_world(|world| {
        let page = Page::read("port-443");
        let block = page.only("Hairpin in front", "toml").to_owned();
        let directory = Directory::certified(&(block + "proxy-protocol = true\n"));
        let _server = directory.serve(world);
        let _web = Web::start(world, page.only("Hairpin in front", "nginx"));
        assert_one_port_serves_both();
        assert_eq!(fetched(), format!("hello {}", CLIENT_V4));
    });
}

#[test]
fn behind_hairpin_caddy_serves_its_pages_with_a_certificate_that_came_through_it() {
    in_own_world(|world| {
        let pebble = Pebble::start(Habits::default());
        let page = Page::read("port-443");
        let directory = Directory::certified(page.only("Hairpin in front", "toml"));
        let _server = directory.serve(world);
        let place = TempDir::new().expect("a temporary directory");
        // Pebble in place of Let's Encrypt, and the way through port 443 alone.
        let [url, root] = pebble.directory();
        let options = format!("{{\n\tadmin off\n\tacme_ca {url}\n\tacme_ca_root {root}\n");
        let issuer =
            "\ttls {\n\t\tissuer acme {\n\t\t\tdisable_http_challenge\n\t\t}\n\t}\n\trespond";
        let file = page.only("Hairpin in front", "caddy");
        let file = file.replacen("{\n", &options, 1);
        let file = file.replace("\trespond", issuer);
        let path = place.path().join("Caddyfile");
        fs::write(&path, file).expect("the directory is ours");
        let mut caddy = world.on_server_host("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]);
        caddy.arg(&path).env("HOME", place.path());
        let caddy = Program::start(caddy);
        let root = pebble.root();
        let page = wait_for("Caddy's page", 2 * PATIENCE, || {
            let ended = Program::run(browser(Path::new(&root)), PATIENCE);
            ended.status.success().then_some(ended.output)
        });
        assert_eq!(page, "hello", "{}", caddy.output());
        assert_one_port_serves_both();
    });
}

#[test]
fn a_certificate_comes_through_haproxy() {
    in_own_world(|world| {
        let pebble = Pebble::start(Habits::default());
        let page = Page::read("port-443");
        let sections = page.only("haproxy in front", "haproxy");
        let at = SocketAddr::new(SERVER_V4.into(), 443);
        let _haproxy = haproxy(|program| world.on_server_host(program), sections, at);
        let keys = pebble.keys(&["turn.example.org"]);
        let configuration = with_acme(page.only("haproxy in front", "toml"), &keys);
        let directory = Directory::with(&configuration);
        let mut server = directory.serve(world);
        server.wait_for_words("certificate.issued");
        let root = CertificateDer::from_pem_file(pebble.root()).expect("a certificate");
        let stream = TcpStream::connect(at).expect("a listener");
        let name = "turn.example.org".try_into().expect("a name of DNS");
        let session = TlsSession::connect(stream, name, trusting_root(root).into());
        let session = session.expect("the certificate that came");
        let mut client = LiveClient::on(LiveSocket::Tls(session));
        assert_eq!(client.binding(), client.address());
    });
}
