//! Certificates that come by themselves, with Pebble as the authority. Renewal information and
//! profiles, which it has not, are tested against a double, in `crates/acme/tests`.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    live::LiveClient,
    pebble::{ACCOUNT, Habits, Pebble},
    server::Server,
    setup::Setup,
    wait_for,
    world::{PEER_V4, SERVER_V4, World, in_own_world},
};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;

use crate::certificates::{Client, ask, shown};

const NAME: &str = "turn.example.org";

/// A server that has its state in `home`.
fn start(world: &World, home: &TempDir, setup: Setup) -> Server {
    let with_state = |program: &str| {
        let mut command = world.on_server_host("env");
        command.arg(format!("STATE_DIRECTORY={}", home.path().display()));
        command.arg(program);
        command
    };
    Server::start_by(with_state, setup)
}

/// The world's server with a listener for TLS at 443 besides, and these keys.
fn setup(keys: &str) -> Setup {
    Setup::default().with(&format!(
        "[[listener]]\ntransport = 'tls'\nlisten = '{}'\n{keys}",
        https()
    ))
}

fn https() -> SocketAddr {
    (SERVER_V4, 443).into()
}

fn home() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A client that trusts the root in a file, and has no session to resume: one that resumes keeps the
/// certificate that it knows.
fn client(root: &str) -> Client {
    Client::trusting(CertificateDer::from_pem_file(root).expect("a certificate"))
}

/// Waits for so many certificates.
#[track_caller]
fn wait_for_certificates(server: &Server, count: usize) {
    wait_for("a certificate", 3 * PATIENCE, || {
        let issued = server.log().matches("certificate.issued").count();
        (issued == count).then_some(())
    });
}

/// Changes the configuration, and has it read again.
fn reload(server: &Server, setup: Setup) {
    let config = server.config();
    setup.write(Path::new(&config).parent().expect("a directory"));
    server.program.signal(Signal::HUP);
}

#[test]
fn one_certificate_comes_for_a_name_and_an_address_and_a_restart_asks_nobody() {
    in_own_world(|world| {
        let (mut pebble, home) = (Pebble::start(Habits::default()), home());
        let address = SERVER_V4.to_string();
        let setup = setup(&pebble.keys(&[NAME, &address]));
        let mut server = start(world, &home, setup.clone());
        wait_for_certificates(&server, 1);
        let root = pebble.root();
        let first = client(&root)
            .connect_to(https(), NAME)
            .expect("a good certificate");
        let second = client(&root)
            .connect_to(https(), &address)
            .expect("a good certificate");
        assert_eq!(shown(&first), shown(&second));

        let ended = server.stop();
        assert!(
            ended.output.contains("issued=1 failed=0"),
            "{}",
            ended.output
        );
        assert!(!ended.output.contains("PRIVATE"), "{}", ended.output);
        pebble.stop();
        let mut server = start(world, &home, setup);
        let again = client(&root)
            .connect_to(https(), NAME)
            .expect("the same certificate");
        assert_eq!(shown(&again), shown(&first));
        let log = server.stop().output;
        assert!(!log.contains("certificate.failed"), "{log}");
    });
}

#[test]
fn a_certificate_comes_by_http_where_port_80_is_given() {
    in_own_world(|world| {
        let (pebble, home) = (Pebble::start(Habits::default()), home());
        // Nobody takes TLS at 443.
        let setup = Setup::default().with(&format!(
            "[[listener]]\ntransport = 'tls'\nlisten = '{SERVER_V4}:5349'\n{}http-01 = '0.0.0.0:80'",
            pebble.keys(&[NAME])
        ));
        let server = start(world, &home, setup);
        wait_for_certificates(&server, 1);
        let listener = (SERVER_V4, 5349).into();
        let session = client(&pebble.root()).connect_to(listener, NAME);
        session.expect("a good certificate");
        std::net::TcpStream::connect((SERVER_V4, 80)).expect_err("the order is over");
    });
}

#[test]
fn an_account_that_was_opened_elsewhere_is_proved() {
    in_own_world(|world| {
        let habits = Habits {
            wants_account: true,
            ..Habits::default()
        };
        let (pebble, home) = (Pebble::start(habits), home());
        let keys = pebble.keys(&[NAME]);
        let server = start(world, &home, setup(&keys));
        server.wait_for_line(&["certificate.failed", "externalAccountRequired"]);
        let [id, key] = ACCOUNT;
        let file = home.path().join("account.key");
        fs::write(&file, key).expect("our directory");
        let with_account = format!("{keys}account-id = '{id}'\naccount-key-file = {file:?}\n");
        reload(&server, setup(&with_account));
        wait_for_certificates(&server, 1);
        let log = server.log();
        assert!(!log.contains(key), "{log}");
    });
}

#[test]
fn a_certificate_is_renewed_in_time_and_sessions_go_on() {
    in_own_world(|world| {
        let habits = Habits {
            lifetime: Duration::from_secs(30),
            ..Habits::default()
        };
        let (pebble, home) = (Pebble::start(habits), home());
        let server = start(world, &home, setup(&pebble.keys(&[NAME])));
        wait_for_certificates(&server, 1);
        let root = pebble.root();
        let mut session = client(&root)
            .connect_to(https(), NAME)
            .expect("a good certificate");
        wait_for_certificates(&server, 2);
        let renewed = client(&root)
            .connect_to(https(), NAME)
            .expect("a good certificate");
        assert_ne!(shown(&renewed), shown(&session));
        ask(&mut session).expect("a session that goes on");
    });
}

#[test]
fn a_directory_that_is_dead_costs_a_line_and_nobody_a_call() {
    in_own_world(|world| {
        let (mut pebble, home) = (Pebble::start(Habits::default()), home());
        pebble.stop();
        let begin = Instant::now();
        let server = start(world, &home, setup(&pebble.keys(&[NAME])));
        server.wait_for_line(&[
            "ERROR",
            "certificate.failed",
            "reason=",
            "directory=",
            "names=",
            "again=\"1",
        ]);
        LiveClient::udp().binding();
        client_without_certificate();
        server.wait_for_line(&["INFO", "certificate.awaited", "names=", "directory="]);
        server.wait_for_line(&["WARN", "tls.unserved", "there is no certificate yet"]);
        let failed = server.log().matches("certificate.failed").count();
        // One for each try: between two of them there are ten seconds at least.
        let tries = 1 + begin.elapsed().as_secs() / 10;
        assert!(failed as u64 <= tries, "{failed} lines, {tries} tries");
        // It is said again to an operator who has the configuration read again.
        reload(&server, setup(&pebble.keys(&[NAME])));
        server.wait_for_line(&["configuration.reloaded"]);
        let awaited = "certificate.awaited: clients over TLS are refused";
        assert_eq!(server.log().matches(awaited).count(), 2);
    });
}

#[test]
fn a_server_without_a_place_for_its_state_says_so_and_orders_nothing() {
    in_own_world(|world| {
        let pebble = Pebble::start(Habits::default());
        let server = world.serve(setup(&pebble.keys(&[NAME])));
        server.wait_for_line(&["ERROR", "certificate.failed", "--state-dir"]);
        LiveClient::udp().binding();
    });
}

/// A handshake that nobody can answer yet ends, and does not hang.
fn client_without_certificate() {
    let stranger =
        rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
    let client = Client::trusting(stranger.cert.der().clone());
    client
        .connect_to(https(), NAME)
        .expect_err("no certificate");
}

#[test]
fn a_name_that_leads_elsewhere_is_told_with_what_the_authority_saw() {
    in_own_world(|world| {
        let (pebble, home) = (Pebble::start(Habits::default()), home());
        let elsewhere = PEER_V4.to_string();
        let server = start(world, &home, setup(&pebble.keys(&[NAME, &elsewhere])));
        let told = format!("{elsewhere}: Failed to connect");
        server.wait_for_line(&["ERROR", "certificate.failed", &told, "again=\"2m"]);
        // The name that is right is none of the reasons.
        let log = server.log();
        assert!(!log.contains(&format!("{NAME}: ")), "{log}");
        LiveClient::udp().binding();
    });
}

#[test]
fn other_names_are_ordered_at_a_reload_and_the_old_certificate_stays_until_they_come() {
    in_own_world(|world| {
        let (pebble, home) = (Pebble::start(Habits::default()), home());
        let server = start(world, &home, setup(&pebble.keys(&[NAME])));
        wait_for_certificates(&server, 1);
        let root = pebble.root();
        let elsewhere = PEER_V4.to_string();
        reload(&server, setup(&pebble.keys(&[NAME, &elsewhere])));
        server.wait_for_line(&["configuration.reloaded", "changed=\"[tls.acme]\""]);
        server.wait_for_line(&["INFO", "certificate.awaited", "are shown another one"]);
        server.wait_for_line(&["WARN", "certificate.failed", "the one that there is stays"]);
        client(&root)
            .connect_to(https(), NAME)
            .expect("the old certificate");

        let other = "turn.example.net";
        reload(&server, setup(&pebble.keys(&[NAME, other])));
        wait_for_certificates(&server, 2);
        for name in [NAME, other] {
            client(&root)
                .connect_to(https(), name)
                .expect("the new certificate");
        }
    });
}
